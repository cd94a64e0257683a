"""The choice of the worklist's implementation, by the store: the one place that names both."""

from __future__ import annotations

from redis import Redis

from triage.spool.store import Store
from triage.worklist.index import IndexedWorklist
from triage.worklist.indexed_query import IndexedQuery
from triage.worklist.patient_index import PatientIndex
from triage.worklist.patient_studies import Bearers
from triage.worklist.query import WorklistQuery
from triage.worklist.table.bearers import PatientTable
from triage.worklist.table.query import TableQuery
from triage.worklist.table.worklist import TableWorklist
from triage.worklist.worklist import Worklist


def worklist_of(spool: Store, client: Redis) -> Worklist:
    """Return the worklist of a store; ``client`` is a Redis client that returns bytes, for a store of files."""
    return IndexedWorklist(client) if spool.tables is None else TableWorklist(spool, spool.tables)


def query_of(worklist: Worklist, spool: Store, waiting_cap_s: float) -> WorklistQuery:
    """Return the query of a worklist that was opened; ``waiting_cap_s``: waiting cap in seconds, 0 for none."""
    if isinstance(worklist, IndexedWorklist):
        return IndexedQuery(worklist, spool, waiting_cap_s)
    assert spool.tables is not None
    return TableQuery(spool.tables, waiting_cap_s)


def patients_of(spool: Store) -> Bearers:
    """Return the studies of a store by their patients' IDs."""
    return PatientIndex(spool) if spool.tables is None else PatientTable(spool.tables)
