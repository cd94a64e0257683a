"""The steps of one 15 MB study into an idle service, and Redis commands. Usage: steps.py [--studies N]

Nothing in the service is changed for it: the times are those of Redis's MONITOR, of the files that are written (to the
kernel's tick, some 4 ms), and of the sender and the reader, all by the clock of one machine. The stages of decoding are
those of the record. The counts are of Redis: commands, and the reads of its sockets, a pipeline being one read.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from figures import lower, report
from latency import get, picture, send, study, until
from redis import Redis
from service import Service, load, table

from triage.spool.spool import Spool

_QUIET_S = 0.5
STEPS = (
    "C-STORE answered",
    "queued",
    "worker has the job",
    "given to a decoder",
    "assessment written",
    "decision written",
    "in the list's index",
    "out of the queue",
    "in the API",
)


@dataclass
class Commands:
    """The commands that Redis ran, each with its time in POSIX seconds and its words."""

    seen: list[tuple[float, str]] = field(default_factory=list)

    def first(self, text: str, since: float, and_not: str = "\0") -> float:
        """Return when the first command with ``text`` ran after ``since``; the end of time if none did."""
        return next((at for at, words in self.seen if at >= since and text in words and and_not not in words), 1e12)


@contextmanager
def monitored(socket: str) -> Iterator[Commands]:
    """Record every command of a Redis."""
    commands = Commands()
    client = Redis(unix_socket_path=socket)
    with client.monitor() as monitor:

        def listen() -> None:
            while True:
                try:
                    found: dict[str, Any] = monitor.next_command()
                except (OSError, ValueError):
                    return
                commands.seen.append((found["time"], found["command"]))

        threading.Thread(target=listen, daemon=True).start()
        yield commands
        client.connection_pool.disconnect()


def one(service: Service, spool: Spool, web: http.client.HTTPConnection, pixels: bytes, seen: Commands) -> list[float]:
    """Send a study, and return the milliseconds of each step from its last byte."""
    dataset = study(pixels)
    uid = str(dataset.StudyInstanceUID)
    offset = time.time() - time.perf_counter()
    last, answered = send(dataset, service.ports.dicom, "CXR_TRIAGE")
    shown = until(lambda: get(web, f"/api/worklist/{uid}") is not None, "the study in the API") - last
    time.sleep(_QUIET_S)
    began = last + offset
    folder = spool.study_folder(uid)
    job = f"score_{dataset.SOPInstanceUID.replace('.', '-')}"
    queued = seen.first("RPUSH rq:queue:score", began)
    started = seen.first("status started", began)
    times = [
        began + answered,
        queued,
        seen.first("", queued + 1e-6, "RPUSH"),
        started,
        next(folder.glob("*+*.json")).stat().st_mtime,
        (folder / "decision.json").stat().st_mtime,
        seen.first("EVALSHA", started),
        seen.first(f"DEL rq:job:{job}", began),
        began + shown,
    ]
    return [1e3 * (each - began) for each in times]


def stages(spool: Spool) -> dict[str, float]:
    """Return the median milliseconds of each stage, from the records."""
    found: dict[str, list[float]] = {}
    for path in spool.studies.glob("*/*/*+*.json"):
        for name, seconds in json.loads(path.read_bytes())["stages"].items():
            found.setdefault(name, []).append(1e3 * seconds)
    return {name: median(each) for name, each in found.items()}


def counted(client: Redis) -> tuple[int, int]:
    """Return the commands that Redis ran, and the reads of its sockets."""
    stats = client.info("stats")
    return int(stats["total_commands_processed"]), int(stats["total_reads_processed"])


def per_study(service: Service, web: http.client.HTTPConnection, pixels: bytes, studies: int) -> tuple[float, float]:
    """Return commands and reads of Redis for each study, without those of as long a time with nothing to do."""
    socket = str(service.folder / "redis.sock")
    with Redis(unix_socket_path=socket) as client:
        began, before = time.monotonic(), counted(client)
        for _ in range(studies):
            dataset = study(pixels)
            send(dataset, service.ports.dicom, "CXR_TRIAGE")
            path = f"/api/worklist/{dataset.StudyInstanceUID}"
            until(lambda path=path: get(web, path) is not None, "the study in the API")
            time.sleep(_QUIET_S)
        busy, took = counted(client), time.monotonic() - began
        time.sleep(took)
        idle = counted(client)
    found = [
        (with_it - start - (after - with_it)) / studies
        for start, with_it, after in zip(before, busy, idle, strict=True)
    ]
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=20)
    studies = parser.parse_args().studies
    pixels = picture()
    with Service() as service:
        spool = Spool.open(service.folder / "spool")
        web = http.client.HTTPConnection("127.0.0.1", service.ports.web, timeout=30)
        with monitored(str(service.folder / "redis.sock")) as seen:
            time.sleep(_QUIET_S)
            found = [one(service, spool, web, pixels, seen) for _ in range(studies + 2)][2:]
        means = stages(spool)
        commands, reads = per_study(service, web, pixels, studies)
    at = dict(zip(STEPS, map(median, zip(*found, strict=True)), strict=True))
    whole = max(at.values())
    rows, before = [], 0.0
    for name, moment in sorted(at.items(), key=lambda each: each[1]):
        rows.append((name, f"{moment:.0f} ms", f"{moment - before:.0f} ms", f"{100 * (moment - before) / whole:.0f} %"))
        before = moment
    print(f"{studies} studies, medians, from the last byte on{load()}")
    print(table(("until", "at", "for this step", "share"), rows))
    print("of it: " + ", ".join(f"{name} {each:.0f} ms" for name, each in means.items()))
    print(f"Redis, for each study: {commands:.0f} commands, {reads:.0f} reads of its sockets")
    report(lower("steps.redis_commands", [commands], "1"), lower("steps.redis_reads", [reads], "1"))


if __name__ == "__main__":
    main()
