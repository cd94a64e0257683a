"""``make acceptance-soak``: the service, a PACS that takes its reports, senders and strangers, for ``--minutes``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import psutil

from tests.soak.load import Load
from tests.soak.samples import MIB, Growth, Watch, growth, series
from tests.support.model_folders import write_model
from tests.support.ports import free_ports
from tests.support.receivers import store_scp
from tests.support.whole_service import Service

SAMPLE_S = 5.0
SETTLE_S = 180.0
MOST_MEMORY = 16 * MIB
"""Bytes by which a process may grow from the second to the last third of the time, beside a tenth of itself."""
MOST_DESCRIPTORS, MOST_THREADS = 8, 8


def main() -> int:
    """0 if nothing grew that should not, and nothing was lost."""
    arguments = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    write_model(folder / "models", "tiny-adult", bias=10.0)
    with store_scp() as pacs:
        config = _settings(folder, pacs.port)
        with Service(folder / "service", folder / "models", config=config) as service:
            load = Load(service, arguments.seconds_between)
            watch = _run(service, load, arguments.minutes * 60)
            faults = [*_lost(service, load, pacs.received), *_grown(watch)]
        log = service.log()
    if "Traceback" in log or "a defect of ours" in log:
        faults.append("the log has a defect of ours")
    _report(arguments.out, arguments.minutes, load, watch, faults, log)
    return min(len(faults), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seconds-between", type=float, default=1.0, help="from one study to the next")
    parser.add_argument("--out", type=Path, default=Path("var/soak.json"))
    return parser


def _settings(folder: Path, pacs_port: int) -> Path:
    config = folder / "triage.toml"
    config.write_text(
        f'[deliver]\nmetrics_port = {free_ports(1)}\n[[channels.sr]]\nname = "pacs"\nhost = "127.0.0.1"\n'
        f'port = {pacs_port}\ncalled_ae_title = "PACS"\ndelay_s = 0\n'
    )
    return config


def _run(service: Service, load: Load, seconds: float) -> Watch:
    watch = Watch(psutil.Process(service.pid), service.spool.root)
    threads = load.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch.look()
        time.sleep(SAMPLE_S)
    load.stop.set()
    for thread in threads:
        thread.join(60)
    return watch


def _lost(service: Service, load: Load, received: list[bytes]) -> list[str]:
    """What was acknowledged and is not listed, or not delivered, once all has settled."""
    wanted = set(load.acknowledged)
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        if wanted <= service.worklist().keys() and len(received) >= len(wanted) and not any(service.spool.waiting()):
            return []
        time.sleep(2)
    listed = service.worklist().keys()
    faults = [f"{len(wanted - listed)} acknowledged studies are not listed"] if wanted - listed else []
    if len(received) < len(wanted):
        faults.append(f"{len(wanted)} studies, and {len(received)} reports at the PACS")
    if any(service.spool.waiting()):
        faults.append("objects still wait in the inbox")
    return faults


def _grown(watch: Watch) -> list[str]:
    faults = []
    for each in growths(watch):
        kind, _, _ = each.name.partition(" ")
        most = {
            "memory": MOST_MEMORY + each.middle / 10,
            "descriptors": MOST_DESCRIPTORS,
            "threads": MOST_THREADS,
        }.get(kind)
        if most is not None and each.grown > most and not each.name.startswith("memory redis"):
            faults.append(f"{each.name} grew from {each.middle:.0f} to {each.end:.0f}")
    left = watch.samples[-1].files.get("incoming", 0)
    return [*faults, *([f"{left} files in incoming"] if left > 20 else [])]


def growths(watch: Watch) -> list[Growth]:
    """Of every figure of every process."""
    return [
        growth(f"{pick} {name}", points)
        for pick in ("memory", "descriptors", "threads", "files")
        for name, points in sorted(series(watch.samples, pick).items())
        if len(points) > 3
    ]


def _report(out: Path, minutes: float, load: Load, watch: Watch, faults: list[str], log: str) -> None:
    said = ("rev-parse", "--short", "HEAD")
    commit = subprocess.run(["git", *said], capture_output=True, text=True).stdout.strip()
    record = {
        "commit": commit,
        "ended_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "minutes": minutes,
        "studies_acknowledged": len(load.acknowledged),
        "studies_refused": load.refused,
        "strangers": load.strangers,
        "pages": load.pages,
        "pages_failed": load.failed_pages,
        "log_lines": log.count("\n"),
        "growth": [asdict(each) for each in growths(watch)],
        "faults": faults,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")
    for name, value in record.items():
        if name != "growth":
            print(f"{name}: {value}")  # noqa: T201
    for each in growths(watch):
        print(f"{each.name:24} {each.middle:14.0f} {each.end:14.0f} {each.per_hour:+14.0f}/h")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
