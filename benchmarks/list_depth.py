"""The worklist in PostgreSQL at depth. Usage: list_depth.py [--studies N [N ...]] [--rounds N]

Pages of 100 of the table (`triage/worklist/table`) on a PostgreSQL of its own, as the web process reads them, with the
numbers of the list: at the top, in the middle and at the end of the reading order, of an order by a text from both ends
and of one with few values; pages of searches; and the numbers alone. Processor time, here and in PostgreSQL, as ratios
to the first page of the shortest list: the machine is never quiet.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from service import table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.cluster import new_cluster
from tests.support.listed_rows import FIRST, fill
from tests.support.postgres_server import PostgresServer
from tests.support.wait import wait_for
from triage.worklist.list_order import Column, Sort
from triage.worklist.query import ListRequest
from triage.worklist.table.query import TableQuery
from triage.worklist.table.worklist import TableWorklist

STUDIES = (1000, 10_000, 100_000)
ORDERS = {
    "reading order": None,
    "by name": Sort(Column.PATIENT_NAME),
    "by name, from the end": Sort(Column.PATIENT_NAME, descending=True),
    "by tag, from the end": Sort(Column.TAG, descending=True),
}
_CAP_S = 600.0


def measured(count: int, rounds: int) -> dict[str, float]:
    """Return the seconds of each kind of page in a list of ``count`` studies."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        cluster = new_cluster(server, Path(folder))
        store = cluster.open()
        try:
            server.set("max_parallel_workers_per_gather", "0")  # whose processor time is counted elsewhere
            fill(server, cluster.address.tenant, count)
            assert store.tables is not None
            store.tables.list_changes()
            wait_for(store.tables.is_listening, "a session that listens")
            query, worklist = TableQuery(store.tables, _CAP_S), TableWorklist(store, store.tables)
            now = float(FIRST + count)
            found: dict[str, float] = {}
            for name, sort in ORDERS.items():
                for depth, cursor in _cursors(query, sort, count, now).items():
                    request = ListRequest(100, cursor, sort)
                    found[f"{name}, {depth}"] = _cost(lambda request=request: query.page(request, now), server, rounds)
            for name, request in _searches().items():
                assert query.page(request, now).matching
                found[name] = _cost(lambda request=request: query.page(request, now), server, rounds)
            found["the numbers of the list, counted"] = _cost(
                lambda: (worklist.first_to_read(now, _CAP_S), worklist.count()), server, rounds
            )
            return found
        finally:
            cluster.close()


def _searches() -> dict[str, ListRequest]:
    return {
        "a patient": ListRequest(100, patient="c4ca42"),
        "an accession number": ListRequest(100, number="acc-000999"),
        "a patient's ID or a number": ListRequest(100, text="id77"),
    }


def _cursors(query: TableQuery, sort: Sort | None, count: int, now: float) -> dict[str, str | None]:
    """Return the cursors at the top, behind the middle, and before the last page."""
    found: dict[str, str | None] = {"top": None}
    cursor, passed = None, 0
    while passed < count - 100:
        step = min(500, (count - 100 - passed), count // 2 - passed if passed < count // 2 else 500)
        cursor = query.page(ListRequest(step, cursor, sort), now).next_cursor
        passed += step
        if passed == count // 2:
            found["middle"] = cursor
    found["end"] = cursor
    return found


def _cost(act: Callable[[], object], server: PostgresServer, rounds: int) -> float:
    """Return the seconds of processor time of ``act``, here and in PostgreSQL."""
    act()
    before = _processor_s(server)
    for _ in range(rounds):
        act()
    return (_processor_s(server) - before) / rounds


def _processor_s(server: PostgresServer) -> float:
    ticks = sum(sum(_ticks(pid)) for pid in _children(server.pid))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _ticks(pid: str) -> tuple[int, int]:
    """Return the ticks of a session in user and in kernel mode; none for one that has ended since it was listed."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[11]), int(fields[12])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, nargs="+", default=list(STUDIES))
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    results = {count: measured(count, arguments.rounds) for count in arguments.studies}
    first = next(iter(next(iter(results.values())).values()))
    print(f"1.00 is {first * 1000:.1f} ms")
    heads = ("", *(f"{count:,}" for count in results))
    names = next(iter(results.values()))
    print(table(heads, [(name, *(f"{each[name] / first:.2f}" for each in results.values())) for name in names]))


if __name__ == "__main__":
    main()
