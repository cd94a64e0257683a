"""The worklist's table against a real PostgreSQL: what one transaction holds, what is completed later, what is told."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pg8000 import dbapi
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tests.spool.cluster.test_transactions import end_sessions, setting
from tests.support.builders import a_decision
from tests.support.cluster import Cluster
from tests.support.file_bucket import FileBucket
from tests.support.listed import ListSite, uids
from tests.support.listed_rows import fill
from tests.support.wait import wait_for
from triage.decision.records import to_record
from triage.decision.types import Tag
from triage.service.reconciler import COMPLETED_AT_ONCE
from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.announcements import CHANNEL, Announcements
from triage.spool.cluster.connection import Connection, session_arguments
from triage.spool.cluster.migrations.versions import v0002_listed_studies
from triage.spool.cluster.opening import open_cluster
from triage.spool.cluster.pool import ConnectionPool
from triage.worklist.list_order import Column, Sort
from triage.worklist.opening import patients_of, worklist_of
from triage.worklist.query import ListRequest
from triage.worklist.table.completion import CompletionTurns, ListPlace
from triage.worklist.table.worklist import TableWorklist

SMITH = {"PatientName": "SMITH^ANN", "PatientID": "4711", "IssuerOfPatientID": "HOSP"}


def site_of(cluster: Cluster, bucket: FileBucket | None = None, **others: float) -> ListSite:
    store = cluster.open(bucket, **others)
    return ListSite(store, worklist_of(store, None))  # type: ignore[arg-type]


def complete(site: ListSite) -> int:
    assert isinstance(site.worklist, TableWorklist)
    return site.worklist.complete(100)


@dataclass(frozen=True)
class AwayBucket(FileBucket):
    """Opens nothing while a file next to it says so."""

    def open(self, key: str) -> BinaryIO:
        if (self.folder.parent / "away").exists():
            raise OSError(errno.ECONNREFUSED, "the bucket cannot be reached")
        return super().open(key)


def migrate(address: DatabaseAddress, revision: ModuleType) -> None:
    """Apply one revision to a database that lacks it, whatever later ones it has."""
    with session_arguments(address) as arguments:
        engine = create_engine("postgresql+pg8000://", creator=lambda: dbapi.connect(**arguments), poolclass=NullPool)
        with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
            revision.upgrade()


@contextmanager
def no_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No transaction of this process can be committed."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as refusing:
        refusing.setattr("triage.spool.cluster.transactions.commit", refuse)
        yield


class TestOneTransaction:
    def test_a_decision_and_its_row_are_written_or_neither_is(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
        site = site_of(cluster)
        uid = site.study()
        with no_commit(monkeypatch), pytest.raises(OSError, match="read-only"):
            site.decide(uid, tag=Tag.ABNORMAL)
        (study,) = site.query().page(ListRequest(), time.time()).studies
        assert study.decision.tag is Tag.NORMAL and study.facts.patient_name == "DOE^JANE"
        assert len(site.store.history(uid)) == 1

    def test_an_act_and_the_list_are_written_or_neither_is(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
        site = site_of(cluster)
        uid = site.study()
        with no_commit(monkeypatch), pytest.raises(OSError, match="read-only"):
            site.read(uid)
        assert uids(site.query().page(ListRequest(), time.time())) == [uid]
        assert site.query().last_read(5) == ()

    def test_a_study_that_is_removed_takes_its_patient_with_it(self, cluster: Cluster):
        site = site_of(cluster)
        uid = site.study(attributes=SMITH)
        assert cluster.rows("SELECT patient_id_issuer FROM listed_study WHERE tenant = :tenant") == [["HOSP"]]
        with site.store.study_lock(uid):
            site.store.remove_study(uid)
        for table in ("listed_study", "study_patient"):
            assert cluster.rows(f"SELECT 1 FROM {table} WHERE tenant = :tenant") == []


UNLOCKED = "SELECT 1 FROM study WHERE tenant = :tenant FOR NO KEY UPDATE NOWAIT"


@dataclass(frozen=True)
class ProbingBucket(FileBucket):
    """Notes for each opening that ``probe``, which takes the locks of all studies, had them."""

    probe: Callable[[], object]
    opened: list[bool] = field(default_factory=list)

    def open(self, key: str) -> BinaryIO:
        self.probe()  # raises what the database says of a row that is locked
        self.opened.append(True)
        return super().open(key)


class TestCompletion:
    def test_while_the_bucket_is_away_a_study_is_listed_and_completed_by_the_sweep(self, cluster: Cluster):
        bucket = AwayBucket(cluster.bucket.folder)
        site = site_of(cluster, bucket)
        away = cluster.bucket.folder.parent / "away"
        site.image("1.2.3", SMITH)
        away.touch()
        site.decide("1.2.3")
        page = site.query().page(ListRequest(), time.time())
        assert uids(page) == ["1.2.3"] and not page.complete and page.studies[0].facts.patient_name == ""
        assert not patients_of(site.store).catch_up(1.0)
        assert complete(site) == 0
        away.unlink()
        other = site_of(cluster, bucket)  # another process, which has not met the failure
        assert complete(other) == 1 and complete(other) == 0
        page = site.query().page(ListRequest(patient="smith"), time.time())
        assert uids(page) == ["1.2.3"] and page.complete

    def test_a_study_without_its_patient_is_not_complete_and_keeps_no_other_waiting(self, cluster: Cluster):
        site = site_of(cluster)
        site.image("1.2.3", SMITH)
        (path,) = (each for each in cluster.bucket.folder.iterdir() if not each.name.startswith("."))
        content = path.read_bytes()
        path.unlink()  # the bucket answers 404: it lost the object, or a part of it that is away says so
        site.decide("1.2.3")
        other = site.study()
        page = site.query().page(ListRequest(), time.time())
        assert sorted(uids(page)) == sorted(["1.2.3", other]) and not page.complete
        assert {each.decision.study_instance_uid: each.facts.patient_name for each in page.studies} == {
            "1.2.3": "",
            other: "DOE^JANE",
        }
        assert complete(site) == 0
        path.write_bytes(content)
        assert complete(site) == 1
        page = site.query().page(ListRequest(patient="smith"), time.time())
        assert uids(page) == ["1.2.3"] and page.complete

    def test_studies_behind_a_full_turn_of_unreadable_objects_are_completed(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ):
        site, damaged = site_of(cluster), {f"1.2.{number}" for number in range(51, 601)}  # those that came last
        fill(cluster.server, cluster.address.tenant, 600)
        cluster.rows("UPDATE listed_study SET complete = false WHERE tenant = :tenant")

        def read(headers: object, uid: str) -> None:
            if uid in damaged:
                raise OSError(errno.EIO, "other bytes came than were acknowledged")

        monkeypatch.setattr("triage.worklist.table.completion.read_whole_study_with", read)
        turns = CompletionTurns()

        def swept() -> int:
            """Sweep by a list of its own, as the sweep does; the number that is complete now."""
            return worklist_of(site.store, None).complete(COMPLETED_AT_ONCE, turns)  # type: ignore[arg-type, union-attr]

        assert [swept() for _ in range(3)] == [0, 50, 0]
        found = cluster.rows("SELECT study_uid FROM listed_study WHERE tenant = :tenant AND NOT complete")
        assert {uid for (uid,) in found} == damaged
        damaged.clear()  # the bucket has its bytes again
        assert sum(swept() for _ in range(3)) == 550 and swept() == 0

    def test_headers_are_read_where_no_study_is_locked(self, cluster: Cluster):
        bucket = ProbingBucket(cluster.bucket.folder, partial(cluster.rows, UNLOCKED))
        site = site_of(cluster, bucket)
        site.image("1.2.3", SMITH)
        for number in range(2):
            site.image("1.2.3", SMITH)
            site.decide("1.2.3")
            assert bucket.opened == [True] * (2 + 3 * number)  # of each image once, at each decision
        cluster.rows("UPDATE listed_study SET complete = false WHERE tenant = :tenant")
        assert complete(site) == 1 and bucket.opened == [True] * 8
        assert site.query().page(ListRequest(patient="smith"), time.time()).complete

    def test_a_damaged_log_of_acts_hides_no_study(self, cluster: Cluster):
        site = site_of(cluster)
        site.image("1.2.3", SMITH)
        site.store.study_entries("1.2.3").append("reading.jsonl", {"act": "of another release"})
        site.decide("1.2.3")
        assert uids(site.query().page(ListRequest(), time.time())) == ["1.2.3"]

    def test_a_database_of_the_first_schema_is_listed_and_completed(self, cluster: Cluster):
        name = cluster.server.new_database()
        address = replace(cluster.address, database=cluster.server.address(name))
        before = open_cluster(address, cluster.bucket)
        cluster.opened.append(before)  # type: ignore[arg-type]
        site = ListSite(before, worklist_of(before, None))  # type: ignore[arg-type]
        read, unread = site.study(attributes=SMITH), site.study(tag=Tag.ABNORMAL)
        site.read(read)
        silent = "1.2.99"
        site.image(silent)
        site.decide(silent, silent=True)
        wanted = site.query().page(ListRequest(), time.time()).studies
        cluster.server.run("DROP TABLE study_patient, listed_study", name)
        cluster.server.run("DROP FUNCTION announce_list()", name)
        migrate(address.database, v0002_listed_studies)

        after = open_cluster(address, cluster.bucket)
        cluster.opened.append(after)  # type: ignore[arg-type]
        site = ListSite(after, worklist_of(after, None))  # type: ignore[arg-type]
        page = site.query().page(ListRequest(), time.time())
        assert uids(page) == [unread, read] and not page.complete  # no result is hidden meanwhile
        assert site.worklist.is_built()
        assert complete(site) == 3
        page = site.query().page(ListRequest(), time.time())
        assert page.studies == wanted and page.complete
        assert [each.decision.study_instance_uid for each in site.query().last_read(5)] == [read]
        assert cluster.server.run("SELECT count(*) FROM study_patient", name) == [[3]]

    def test_what_no_release_decided_stops_no_migration(self):
        assert v0002_listed_studies._row("t", "", "1.2", '{"revision": "r1"}') is None
        assert v0002_listed_studies._row("t", "", "1.2", "[]") is None


class TestTurns:
    """Whose turn it is, of places that are a list in memory."""

    @staticmethod
    def places(count: int) -> list[ListPlace]:
        return [ListPlace(number > 3, number, f"1.{number}") for number in range(count, 0, -1)]

    @pytest.mark.parametrize("at_most", [1, 2, 3, 5, 20, 100])
    @pytest.mark.parametrize("count", [0, 1, 2, 9, 10])
    def test_each_has_a_turn_and_the_first_ones_have_every_turn(self, count: int, at_most: int):
        left, turns = self.places(count), CompletionTurns()

        def incomplete(behind: ListPlace, limit: int) -> list[ListPlace]:
            return [each for each in left if each < behind][:limit]

        rounds = [turns.next(incomplete, at_most) for _ in range(count + 2)]
        first = [each.study_uid for each in left[: at_most - at_most // 2]]
        for tried in rounds:
            assert tried[: len(first)] == first and len(tried) == len(set(tried)) <= at_most
        if at_most > 1:
            assert {uid for tried in rounds for uid in tried} == {each.study_uid for each in left}


def test_tenants_do_not_see_each_other(cluster: Cluster) -> None:
    one = site_of(cluster)
    store = open_cluster(replace(cluster.address, tenant=f"{cluster.address.tenant}-other"), cluster.bucket)
    cluster.opened.append(store)  # type: ignore[arg-type]
    other = ListSite(store, worklist_of(store, None))  # type: ignore[arg-type]
    uid = one.study(uid="1.2.3", attributes=SMITH)
    theirs = other.study(uid="1.2.4", attributes={**SMITH, "PatientName": "JONES^BO"})
    for site, own in ((one, uid), (other, theirs)):
        query = site.query()
        for request in (ListRequest(), ListRequest(sort=Sort(Column.PATIENT_ID)), ListRequest(text="4711")):
            page = query.page(request, time.time())
            assert uids(page) == [own] and page.matching == 1
        assert site.worklist.with_accession_number("ACC-1") == (own,)
        assert site.worklist.count() == 1 and list(site.worklist.arrived_before(time.time() + 1)) == [own]
    (digest,) = {str(digest) for (digest,) in cluster.rows("SELECT digest FROM study_patient WHERE tenant = :tenant")}
    assert patients_of(one.store).bearing([str(digest)]) == {uid}
    other.read(theirs)
    assert one.query().last_read(5) == ()


class TestPlans:
    """Each page and search is a range of an index: no plan reads the whole table, once there is one."""

    def test_pages_and_searches_use_indexes(self, cluster: Cluster):
        site = site_of(cluster)
        fill(cluster.server, cluster.address.tenant, 5000)
        seen = list[str]()
        tables = site.store.tables
        assert tables is not None
        run = tables.read

        def explained(sql: str, **values: object) -> list[list[object]]:
            if "count(*)" not in sql and "listed_study" in sql:
                plan = run(f"EXPLAIN {sql}", **values)  # type: ignore[arg-type]
                seen.append("\n".join(str(line) for (line,) in plan))
            return run(sql, **values)  # type: ignore[arg-type]

        tables.read = explained  # type: ignore[method-assign]
        query = site.query(1e6)
        now = 2_000_000.0
        for sort in (None, *(Sort(column, down) for column in Column for down in (False, True))):
            cursor = None
            for _ in range(2):
                page = query.page(ListRequest(20, cursor, sort), now)
                cursor = page.next_cursor
        for request in (ListRequest(20, patient="c4ca4"), ListRequest(20, number="acc-004200")):
            assert query.page(request, now).matching
        site.worklist.with_accession_number("ACC-004200")
        assert len(seen) > 60
        for plan in seen:
            assert "Seq Scan on listed_study" not in plan, plan


def failing(*_: object) -> list[str]:
    """An answer that the driver does not understand."""
    raise KeyError("of the driver")


class TestAnnouncements:
    @contextmanager
    def listening(self, cluster: Cluster, look_every_s: float = 0.3) -> Iterator[Announcements]:
        pool = ConnectionPool(cluster.address.database)
        made = Announcements(pool, look_every_s)
        made.count("")
        wait_for(lambda: made.is_listening, "a session that listens")
        try:
            yield made
        finally:
            made.close()
            pool.close()

    def test_what_concerns_another_tenant_or_partition_is_not_counted(self, cluster: Cluster):
        site = site_of(cluster)
        here, elsewhere = f"{cluster.address.tenant}/", "another/"
        with self.listening(cluster, 60.0) as told:
            before = told.count(here), told.count(elsewhere)
            site.worklist.touch("1.2.3")
            wait_for(lambda: told.count(here) > before[0], "the announcement")
            assert told.count(elsewhere) == before[1]

    def test_a_burst_of_others_hides_none_of_ours(self, cluster: Cluster):
        """The driver keeps a hundred announcements; other installations may use the same database."""
        site_of(cluster)
        here = f"{cluster.address.tenant}/"
        with self.listening(cluster, 60.0) as told:
            before = told.count(here), told.count("other-200/")
            others = f"SELECT pg_notify('{CHANNEL}', 'other-' || n || '/') FROM generate_series(1, 200) n"
            cluster.server.command(
                f"DO $$ BEGIN PERFORM pg_notify('{CHANNEL}', '{here}'); PERFORM {others[7:]}; END $$"
            )
            wait_for(lambda: told.count("other-200/") > before[1], "the last of the burst")
            assert told.count(here) == before[0] + 1

    def test_a_burst_is_told_a_few_times(self, cluster: Cluster):
        site = site_of(cluster)
        here = f"{cluster.address.tenant}/"
        with self.listening(cluster, 60.0) as told:
            before, began = told.count(here), time.monotonic()
            for _ in range(300):
                site.worklist.touch("1.2.3")
            wait_for(lambda: told.count(here) > before, "the announcement")
            last = cluster.server.run("SELECT pg_notification_queue_usage()")
            took = time.monotonic() - began
            assert last == [[0.0]] and told.count(here) - before <= took / 0.1 + 2

    def test_a_lost_session_is_looked_for_and_replaced(self, cluster: Cluster):
        site = site_of(cluster)
        here = f"{cluster.address.tenant}/"
        with self.listening(cluster) as told:
            before = told.count(here)
            end_sessions(cluster)
            wait_for(lambda: told.count(here) > before, "a look without announcements")
            wait_for(lambda: told.is_listening, "another session")
            wait_for(lambda: _is_told_again(site, told, here), "an announcement by the new session")

    def test_a_fault_that_no_one_expected_ends_no_listening(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ):
        site = site_of(cluster)
        here = f"{cluster.address.tenant}/"
        with self.listening(cluster) as told:
            with monkeypatch.context() as patch:
                patch.setattr(Connection, "announced", failing)
                wait_for(lambda: "the thread announcements failed (KeyError" in caplog.text, "the fault")
            wait_for(lambda: told.is_listening, "another session")
            wait_for(lambda: _is_told_again(site, told, here), "an announcement by the new session")

    def test_a_forked_child_listens_by_a_session_of_its_own(self, cluster: Cluster):
        with self.listening(cluster) as told:
            reading, writing = os.pipe()
            if os.fork() == 0:
                os.close(reading)
                told.count("")
                wait_for(lambda: told.is_listening, "a session of the child's")
                os.write(writing, b"ok")
                os._exit(0)
            os.close(writing)
            assert os.read(reading, 2) == b"ok"
            os.close(reading)
            os.wait()
            assert told.is_listening

    def test_a_database_that_is_away_is_looked_for_without_end(self, cluster: Cluster):
        pool = ConnectionPool(replace(cluster.address.database, port=1))
        told = Announcements(pool, 0.05)
        try:
            first = told.count("")
            wait_for(lambda: told.count("") > first + 2, "further looks")
            assert not told.is_listening
        finally:
            told.close()


def _is_told_again(site: ListSite, told: Announcements, here: str) -> bool:
    before = told.count(here)
    site.worklist.touch("1.2.3")
    wait_for(lambda: told.count(here) > before, "the announcement")
    return True


def test_the_log_has_no_name_with_the_settings_that_the_page_asks_for(cluster: Cluster):
    """An error of a constraint has the whole row in its detail."""
    page = (Path(__file__).parents[3] / "docs/how-to/several-hosts.md").read_text()
    assert "`log_error_verbosity = terse`" in page and "`log_parameter_max_length = 0`" in page
    store = cluster.open()
    with store.study_lock("1.2.3"):
        store.write_decision("1.2.3", to_record(a_decision("1.2.3")))
    named = "UPDATE listed_study SET patient_name = :name, birth_date = NULL WHERE tenant = :tenant"
    refused = "null value in column"

    def log_of(name: str) -> str:
        log = cluster.server.folder / "log"
        before = log.read_text().count(refused)
        with pytest.raises(OSError, match="the database failed"):
            store.tables.write(named, name=name)
        wait_for(lambda: log.read_text().count(refused) > before, "the error to be in the log")
        wait_for(lambda: log.read_text().rpartition(refused)[2].count("STATEMENT:") > 0, "the statement to be there")
        return log.read_text()

    assert "FIRST^NAME" in log_of("FIRST^NAME")  # as the server does by itself
    with setting(cluster, "log_error_verbosity", "'terse'"), setting(cluster, "log_parameter_max_length", "'0'"):
        store.close()  # sessions have read their settings
        assert "SECOND^NAME" not in log_of("SECOND^NAME")
