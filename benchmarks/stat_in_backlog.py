"""Time to tag of a 15 MB study of a STAT order in the middle of a backlog. Usage: stat_in_backlog.py [--backlog N]

The backlog lies in the inbox when the service starts, as in `backlog.py`: what matters is that it lasts longer than the
measurement, whether two minutes or two hours. STAT studies are sent one after another, each when the one before is
tagged, until the backlog is done; then as many into the idle service, for comparison in the same run. The clock is that
of `latency.py`: from the last byte to the API.
"""

from __future__ import annotations

import argparse
import http.client
import time
from statistics import median

from backlog import fill
from figures import lower, report
from latency import get, picture, send, study, until
from service import Service, load, percentile, table

from triage.spool.spool import Spool

P99_BAR_S = 1.0


def one(service: Service, connection: http.client.HTTPConnection, pixels: bytes) -> float:
    """Send a STAT study, and return the seconds from its last byte until it is in the API."""
    dataset = study(pixels)
    dataset.RequestedProcedurePriority = "STAT"
    path = f"/api/worklist/{dataset.StudyInstanceUID}"
    last, _ = send(dataset, service.ports.dicom, "CXR_TRIAGE")
    return until(lambda: get(connection, path) is not None, "the study in the API") - last


def waits(spool: Spool, at_least: int) -> bool:
    """Return whether so many objects wait."""
    return sum(1 for _ in spool.waiting()) >= at_least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlog", type=int, default=2000)
    parser.add_argument("--most", type=int, default=100, help="STAT studies")
    arguments = parser.parse_args()
    service = Service()
    spool = Spool.open(service.folder / "spool")
    fill(spool, arguments.backlog)
    pixels, busy = picture(), list[float]()
    with service:
        connection = http.client.HTTPConnection("127.0.0.1", service.ports.web, timeout=30)
        one(service, connection, pixels)
        while len(busy) < arguments.most and waits(spool, 50):
            busy.append(one(service, connection, pixels))
        left = sum(1 for _ in spool.waiting())
        while waits(spool, 1):
            time.sleep(0.2)
        idle = [one(service, connection, pixels) for _ in busy]
    if not busy:
        raise SystemExit("the backlog was done before a STAT study was: take a longer one (--backlog)")
    ratio = median(busy) / median(idle)
    rows = [
        (name, str(len(each)), f"{median(each):.2f} s", f"{percentile(each, 0.99):.2f} s", f"{max(each):.2f} s")
        for name, each in (("in the backlog", busy), ("into the idle service", idle))
    ]
    print(f"STAT studies in a backlog of {arguments.backlog} ({left} left at the end of the measurement){load()}")
    print(table(("sent", "studies", "median", "99th percentile", "longest"), rows))
    verdict = "met" if percentile(busy, 0.99) < P99_BAR_S else "MISSED"
    print(f"bar {P99_BAR_S:.0f} s at the 99th percentile: {verdict}; {ratio:.1f} times the idle service")
    third = max(len(busy) // 3, 1)
    turns = [busy[start : start + third] for start in range(0, len(busy), third)][:3]
    report(lower("stat_in_backlog.of_idle", [median(turn) / median(idle) for turn in turns]))


if __name__ == "__main__":
    main()
