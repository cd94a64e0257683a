"""The list with few and many studies: orders, filters, searches. Usage: patient_search.py [--studies N] [--folder F]

What is measured is the list as the web process reads it (`triage/worklist/indexed_query.py`), over a real spool and
Redis: the first reading; pages of 100 in reading order, by patient (top and end) and filtered; searches when nothing is
new, after a new study, and the one each minute that reads every study's folder; and the memory that it takes.
--folder should be in memory (/dev/shm): the studies are made with all their fsyncs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from page import redis
from redis import Redis
from service import table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.studies import a_study
from triage.decision.records import decision_from
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.indexed_query import IndexedQuery
from triage.worklist.list_filter import ListFilter
from triage.worklist.list_order import Column, Sort
from triage.worklist.query import ListRequest

FEW = 1000
ROUNDS = 15
MINUTE_S = 61.0
_NAMES = ("SMITH^JOHN", "GARCIA^MARIA", "MUELLER^JOERG", "YAMADA^TAROU", "NGUYEN^LAN", "OKAFOR^ADA", "SILVA^ANA")


class Clock:
    """Clock of the index that can be set ahead, so that no minute has to pass."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@dataclass(frozen=True)
class Listed:
    """A worklist, its spool, and the list read from both."""

    spool: Spool
    worklist: IndexedWorklist
    clock: Clock
    query: IndexedQuery

    def add(self, number: int) -> None:
        """Add a study, with one of few names and a patient ID of its own."""
        patient = {"PatientName": f"{_NAMES[number % len(_NAMES)]}{number // 100}", "PatientID": f"P{number:07d}"}
        record = self.spool.decision(a_study(self.spool, attributes=patient))
        assert record is not None
        self.worklist.put(decision_from(record))

    def first_reading(self) -> float:
        """Return the seconds until all studies are known."""
        started = time.perf_counter()
        while not self.query.catch_up(2.0):
            pass
        return time.perf_counter() - started

    def page(self, request: ListRequest) -> float:
        """Return the seconds of a page."""
        started = time.perf_counter()
        page = self.query.page(request, time.time())
        took = time.perf_counter() - started
        assert page.complete and len(page.studies) <= request.limit
        return took

    def search(self, number: int) -> float:
        """Return the seconds of a search that finds one study."""
        started = time.perf_counter()
        page = self.query.page(ListRequest(patient=f"p{number:07d}"), time.time())
        took = time.perf_counter() - started
        assert page.complete and page.matching == 1, (page.complete, page.matching)
        return took

    def end(self, sort: Sort) -> str:
        """Return the cursor of the last page of an order."""
        cursor, last = None, None
        while cursor is not None or last is None:
            last = cursor or ""
            cursor = self.query.page(ListRequest(500, cursor, sort), time.time()).next_cursor
        return last


@contextmanager
def listed(folder: Path, studies: int) -> Iterator[Listed]:
    """Yield a worklist of ``studies`` studies, in a spool and a Redis of their own."""
    spool, clock = Spool.open(folder / "spool"), Clock()
    with redis(folder / "redis") as url, Redis.from_url(url) as client:
        worklist = IndexedWorklist(client)
        there = Listed(spool, worklist, clock, IndexedQuery(worklist, spool, 3600.0, clock))
        for number in range(studies):
            there.add(number)
        worklist.end_building(worklist.begin_building())
        yield there


def measure(there: Listed, studies: int) -> dict[str, float]:
    """Return the seconds of each kind of page, by its name."""
    before = memory_kib()
    first = there.first_reading()
    print(f"{studies:,} studies: {memory_kib() - before:,} KiB of memory")

    def page(request: ListRequest) -> float:
        return median(there.page(request) for _ in range(ROUNDS))

    def after(prepare: Callable[[int], object]) -> float:
        times = []
        for number in range(studies, studies + ROUNDS):
            prepare(number)
            times.append(there.search(number))
        return median(times)

    def minute_later(number: int) -> None:
        there.add(number + ROUNDS)
        there.clock.ahead += MINUTE_S

    by_name = Sort(Column.PATIENT_NAME)
    return {
        "first reading, a study": first / studies,
        "reading order, top": page(ListRequest()),
        "by patient, top": page(ListRequest(sort=by_name)),
        "by patient, end": page(ListRequest(100, there.end(by_name), by_name)),
        "one view, in reading order": page(ListRequest(filter=ListFilter(views=frozenset({"PA"})))),
        "search, nothing new": median(there.search(number) for number in range(ROUNDS)),
        "search, one study new": after(there.add),
        "search, a minute later": after(minute_later),
    }


def memory_kib() -> int:
    """Return the resident memory of this process in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=50_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cxr-bench-", dir=options.folder))
    try:
        with listed(folder / "few", FEW) as few:
            reference = measure(few, FEW)
        with listed(folder / "many", options.studies) as many:
            found = measure(many, options.studies)
    finally:
        shutil.rmtree(folder)
    rows = [
        (name, f"{reference[name] * 1e3:.2f} ms", f"{took * 1e3:.2f} ms", f"{took / reference[name]:.1f}")
        for name, took in found.items()
    ]
    print(table(("", f"{FEW:,} studies", f"{options.studies:,} studies", "ratio"), rows))


if __name__ == "__main__":
    main()
