"""A page of the worklist with 10 and with 100,000 studies listed, on top and at the end. Usage: page.py [--studies N]

The process that is measured is the web process itself on a real Redis, asked over HTTP. The measurements take turns, so
that what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from redis import Redis
from redis.exceptions import RedisError
from service import free_ports, percentile, table

from triage.decision.types import Priority, Tag, TriageDecision
from triage.service import embedded_redis
from triage.settings.sections.web import WebSettings
from triage.spool.spool import Spool
from triage.web.auth.setup import AccessSettings
from triage.web.server import ListOptions, RedisAddress, run
from triage.worklist.index import IndexedWorklist

PAGE = 10
ROUNDS = 400
_TAGS = (
    (Priority.HIGH, Tag.ABNORMAL),
    (Priority.MEDIUM, Tag.NOT_ASSESSED),
    (Priority.MEDIUM, Tag.NORMAL),
    (Priority.LOW, Tag.NORMAL),
)


def decision(number: int, start: float) -> TriageDecision:
    """Return the decision of study ``number``, received a second after the one before; a quarter are HIGH."""
    priority, tag = _TAGS[number % len(_TAGS)]
    uid = f"1.2.826.0.1.3680043.8.498.{10**20 + number}"
    return TriageDecision(
        study_instance_uid=uid,
        accession_number=f"A{number:08d}",
        tag=tag,
        probability=0.5,
        priority=priority,
        reasons=(),
        model_id="rsna-adult 1.0.0",
        evidence=(f"{uid}.1",),
        received_at=start + number,
        tagged_at=start + number + 0.5,
        revision="a" * 64,
    )


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run the embedded Redis as `triage up` starts it, and yield its address."""
    socket_path = folder / "redis.sock"
    process = subprocess.Popen(embedded_redis.command(socket_path), stdout=subprocess.DEVNULL)
    url = embedded_redis.embedded_url(socket_path)
    try:
        _wait_for_redis(url)
        yield url
    finally:
        process.terminate()
        process.wait()


@contextmanager
def listed(studies: int) -> Iterator[tuple[http.client.HTTPConnection, int]]:
    """Yield a connection to a web process with so many studies in its worklist, and their bytes in Redis."""
    folder = Path(tempfile.mkdtemp(prefix="cxr-bench-"))
    with redis(folder / "redis") as url, Redis.from_url(url) as client:
        used = _fill(client, studies)
        port = free_ports(1)[0]
        spool = Spool.open(folder / "spool")
        arguments = (WebSettings(port=port), spool, RedisAddress(url, 5.0), ListOptions(), AccessSettings())
        process = multiprocessing.get_context("spawn").Process(target=run, args=arguments)
        process.start()
        try:
            yield _connected(port), used
        finally:
            process.terminate()
            process.join()
    shutil.rmtree(folder)


def ask(connection: http.client.HTTPConnection, limit: int, cursor: str | None) -> tuple[float, str | None, int]:
    """Return the seconds of a page, the next cursor, and the number of studies."""
    path = f"/api/worklist?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
    started = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    took = time.perf_counter() - started
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status} {content!r}")
    page = json.loads(content)
    return took, page["next_cursor"], len(page["entries"])


def deep_cursor(connection: http.client.HTTPConnection, studies: int) -> str:
    """Return the cursor of the last page of ``PAGE`` studies."""
    cursor, seen = None, 0
    while studies - PAGE - seen > 0:
        _, cursor, count = ask(connection, min(500, studies - PAGE - seen), cursor)
        seen += count
    assert cursor is not None
    return cursor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    studies = parser.parse_args().studies
    with listed(PAGE) as (few, _), listed(studies) as (many, used):
        cases = {
            f"{PAGE} studies": (few, None),
            f"{studies:,} studies, top": (many, None),
            f"{studies:,} studies, last page": (many, deep_cursor(many, studies)),
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        order = random.Random(1)
        for _ in range(ROUNDS):
            # In a new order each time: the first after a pause is the slowest.
            for name, (connection, cursor) in order.sample(list(cases.items()), len(cases)):
                took, _, count = ask(connection, PAGE, cursor)
                assert count == PAGE, f"{name}: {count} studies"
                times[name].append(took)
    reference = median(times[f"{PAGE} studies"])
    rows = [
        (
            name,
            f"{median(each) * 1e3:.2f} ms",
            f"{percentile(each, 0.99) * 1e3:.2f} ms",
            f"{median(each) / reference:.2f}",
        )
        for name, each in times.items()
    ]
    print(f"a page of {PAGE} over HTTP, {ROUNDS} times each")
    print(table(("listed", "median", "99th percentile", f"ratio to {PAGE} studies"), rows))
    print(f"the index of {studies:,} studies takes {used / 1e6:.0f} MB in Redis")


def _fill(client: Redis, studies: int) -> int:
    before = int(client.info("memory")["used_memory"])
    worklist = IndexedWorklist(client)
    start = time.time() - studies
    for first in range(0, studies, 1000):
        worklist.put_all(decision(number, start) for number in range(first, min(first + 1000, studies)))
    worklist.end_building(worklist.begin_building())
    return int(client.info("memory")["used_memory"]) - before


def _connected(port: int) -> http.client.HTTPConnection:
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.connect()
            return connection
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _wait_for_redis(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with Redis.from_url(url) as client:
                client.ping()
            return
        except RedisError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    main()
