"""The rows that an act on one study reads, of a store with thousands: those of the study, and not those of all.

PostgreSQL counts them for the transaction that reads them, with what its triggers and cascades read: a number that no
busy machine changes, where a time would say nothing, and an EXPLAIN nothing of a cascade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, new_cluster
from tests.support.postgres_server import PostgresServer
from triage.delivery.outbox import Outbox
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.connection import Connection
from triage.spool.instance import ReceivedInstance
from triage.worklist.table.worklist import TableWorklist

MANY, MOST = 4000, 200
ONE, DIGEST = "1.2.777", "d" * 64
OBJECT = ReceivedInstance(ONE, f"{ONE}.1", DIGEST)
_OF = "SELECT '{tenant}', '', '1.2.' || n"
_FILL = (
    f"INSERT INTO study {_OF}, '00', now(), '{{{{}}}}', now() FROM generate_series(1, {MANY}) n",
    f"""INSERT INTO object (tenant, partition, study_uid, sop_uid, digest, state, key, size, received) {_OF},
    '1.2.' || n || '.1', '{DIGEST}', 'filed', '{{tenant}}/main/' || n, 4, now() FROM generate_series(1, {MANY}) n""",
    f"""INSERT INTO assessment (tenant, partition, study_uid, sop_uid, digest, content) {_OF},
    '1.2.' || n || '.1', '{DIGEST}', '{{{{}}}}' FROM generate_series(1, {MANY}) n""",
    f"INSERT INTO history (tenant, partition, study_uid, content) {_OF}, '{{{{}}}}' FROM generate_series(1, {MANY}) n",
    f"""INSERT INTO entry (tenant, partition, study_uid, place, name, content, size) {_OF},
    'deliveries', 'pacs+1.sent', '', 0 FROM generate_series(1, {MANY}) n""",
    f"""INSERT INTO entry (tenant, partition, place, name, content, size) SELECT '{{tenant}}', '',
    'outbox/pacs', n || '.dcm', '', 0 FROM generate_series(1, {MANY}) n""",
    f"""INSERT INTO record (tenant, partition, study_uid, place, name, content) {_OF},
    '', 'reading.jsonl', '{{{{}}}}' FROM generate_series(1, {MANY}) n""",
    f"""INSERT INTO listed_study (tenant, partition, study_uid, silent, priority, tag, urgency, received_at, tagged_at,
    sequence, revision, read_revision, read_at, accession_number, calling_ae_title, complete) {_OF}, false, 'LOW',
    'NORMAL', 'nonurgent', n, n, 1, 'r', 'r', n, 'acc-' || n, 'DX', true FROM generate_series(1, {MANY}) n""",
    f"INSERT INTO study_patient {_OF}, md5(n::text) FROM generate_series(1, {MANY}) n",
)
_READ = """
SELECT relname, COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
WHERE seq_tup_read > 0 OR idx_tup_fetch > 0
"""


@pytest.fixture(scope="module")
def filled(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A store with thousands of studies that are done with."""
    folder: Path = tmp_path_factory.mktemp("filled")
    cluster = new_cluster(postgres_server, folder)
    cluster.open().entries("outbox", "pacs").prepare()
    patient = Connection(postgres_server.address("postgres", statement_timeout_s=300.0))
    for statement in (*_FILL, "ANALYZE"):
        patient.command(statement.format(tenant=cluster.address.tenant))
    patient.close()
    yield cluster
    cluster.close()


def rows_read(store: ClusterStore, act: Callable[[ClusterStore], object]) -> dict[str, int]:
    """Run an act, undone afterwards, and return the number of rows that were read for it of each table."""
    read: dict[str, int] = {}
    with pytest.raises(ZeroDivisionError), store._database.transaction() as transaction:
        for setting in ("enable_seqscan = off", "random_page_cost = 1.1"):  # a scan is right for a table as small
            transaction.run(f"SET LOCAL {setting}")
        before = {str(name): int(str(count)) for name, count in transaction.run(_READ)}
        act(store)
        for name, count in transaction.run(_READ):
            read[str(name)] = int(str(count)) - before.get(str(name), 0)
        raise ZeroDivisionError
    return read


def index(store: ClusterStore) -> TableWorklist:
    return TableWorklist(store, store.tables)


ACTS: dict[str, Callable[[ClusterStore], object]] = {
    "a study is removed": lambda store: store.remove_study(ONE),
    "places": lambda store: store.places("outbox"),
    "all places": lambda store: store.places(),
    "is it undelivered": lambda store: Outbox(store).is_undelivered(ONE),
    "is it unfinished": lambda store: store.is_unfinished(ONE),
    "its lock": lambda store: in_lock(store, ONE),
    "the lock of an unknown one": lambda store: in_lock(store, "1.2.99999"),
    "its decision and history": lambda store: (store.decision(ONE), store.history(ONE), store.assessments(ONE)),
    "a decision is written": lambda store: store.write_decision(ONE, {"revision": "r2"}),
    "an assessment is written": lambda store: store.write_assessment(OBJECT, {"n": 1}),
    "its objects": lambda store: (list(store.objects_of(ONE)), store.stored_object(OBJECT), store.is_filed(OBJECT)),
    "what waits": lambda store: (list(store.waiting()), list(store.dead_letters()), store.oldest_waiting()),
    "what should be small": lambda store: store.state(),
    "its entries": lambda store: store.study_entries(ONE, "deliveries").names(),
    "its entries by time": lambda store: store.study_entries(ONE, "deliveries").by_time(),
    "an entry": lambda store: store.entries("outbox", "pacs").has("777.dcm"),
    "an entry is removed": lambda store: store.entries("outbox", "pacs").remove("777.dcm"),
    "its log": lambda store: store.study_entries(ONE).records("reading.jsonl"),
    "its row of the list": lambda store: index(store).get(ONE),
    "it is read": lambda store: index(store).read(ONE, "r", 1.0),
    "a page": lambda store: index(store).page(None, 50, 1e9),
    "what was read last": lambda store: index(store).last_read(50),
    "an accession number": lambda store: index(store).with_accession_number("acc-777"),
    "what is incomplete": lambda store: index(store).complete(10),
    "the last result": lambda store: index(store).last_result_at(),
}


def in_lock(store: ClusterStore, uid: str) -> None:
    with store.study_lock(uid):
        pass


@pytest.mark.parametrize("act", ACTS)
def test_an_act_on_one_study_reads_a_few_rows(filled: Cluster, act: str):
    store = filled.opened[0]
    assert {table: count for table, count in rows_read(store, ACTS[act]).items() if count > MOST} == {}


def test_the_count_of_rows_sees_a_scan(filled: Cluster):
    read = rows_read(filled.opened[0], lambda store: store.entries("outbox", "pacs").names())
    assert read["entry"] >= MANY
