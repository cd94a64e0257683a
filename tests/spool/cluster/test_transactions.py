"""Transactions whose session, server or standby goes away, and what the rooms are told of it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.spool.test_store_contract import A, B, receive, tag
from tests.support.cluster import Cluster
from tests.support.failing_buckets import Gate
from tests.support.wait import wait_for
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.connection import Connection
from triage.spool.cluster.opening import cluster_at


def end_sessions(cluster: Cluster) -> None:
    """End every session of the store, as an administrator or a failover does."""
    cluster.server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND application_name LIKE 'cxr-triage%'"
    )


@contextmanager
def setting(cluster: Cluster, name: str, value: str) -> Iterator[None]:
    in_force = f"SELECT reset_val FROM pg_settings WHERE name = '{name}'"
    cluster.server.set(name, value)
    try:
        wait_for(lambda: cluster.server.run(in_force) == [[value.strip("'")]], f"{name} to be {value}")
        yield
    finally:
        cluster.server.set(name, "DEFAULT")
        wait_for(lambda: cluster.server.run(in_force) != [[value.strip("'")]], f"{name} to be reset")


@contextmanager
def missing_standby(cluster: Cluster) -> Iterator[None]:
    """Have commits wait for a standby that is away: from when they do, which is not when the setting is read."""
    with setting(cluster, "synchronous_standby_names", "'missing'"):
        wait_for(lambda: commit_waits(cluster), "commits to wait for the standby")
        yield


def commit_waits(cluster: Cluster) -> bool:
    probe = Connection(cluster.server.address("postgres"))
    try:
        probe.command("SELECT pg_logical_emit_message(true, 'probe', '')", 0.5)
        return False
    except TimeoutError:
        cluster.server.run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        wait_for(lambda: cluster.server.run(waiting) == [], "the probe to end")
        return True
    finally:
        probe.close()


def number_of(act: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:
        act()
    return caught.value.errno


class TestBatches:
    def test_a_session_that_is_lost_takes_the_whole_batch_with_it(self, cluster: Cluster):
        store = cluster.open()
        receive(store, A)
        receive(store, B)
        with pytest.raises(ConnectionResetError), store.batch() as batch:
            store.write_assessment(A, {"n": 1})
            end_sessions(cluster)
            with suppress(OSError):
                store.write_assessment(B, {"n": 2})
            assert not store.takes_studies()  # so that the worker does not take it for a fault of one study
            with suppress(OSError):
                store.write_assessment(B, {"n": 2})  # not in a session of its own, without the first half
            batch.settle()
        assert store.assessments("1.2.3") == [] == store.assessments("1.2.4")
        assert sorted(store.waiting()) == [A, B] and store.takes_studies()
        tag(store, A)
        assert store.is_filed(A)

    def test_a_session_that_is_lost_after_settle_leaves_the_object_in_the_inbox(self, cluster: Cluster):
        store = cluster.open()
        receive(store, A)
        with pytest.raises(ConnectionResetError), store.batch() as batch:
            with store.study_lock("1.2.3"):
                store.write_decision("1.2.3", {"revision": "r1"})
            batch.settle()
            batch.file(A)
            end_sessions(cluster)
        assert store.waits(A) and store.decision("1.2.3") == {"revision": "r1"}

    def test_a_study_that_fails_undoes_nothing_of_the_others(self, cluster: Cluster):
        store = cluster.open()
        with store.batch() as batch:
            with store.study_lock("1.2.3"):
                store.write_decision("1.2.3", {"revision": "r1"})
            with suppress(FileNotFoundError), store.study_lock("1.2.4"):
                store.write_decision("1.2.4", {"revision": "r1"})
                store.study_entries("9.9").put("name", "of a study that is not there")
            batch.settle()
        assert store.decision("1.2.3") is not None and store.decision("1.2.4") is None

    def test_a_statement_that_failed_is_not_committed_around(self, cluster: Cluster):
        store = cluster.open()

        def write() -> None:
            with store.study_lock("1.2.3"):
                store.write_decision("1.2.3", {"revision": "r1"})
                with suppress(FileNotFoundError):
                    store.study_entries("9.9").put("name", "of a study that is not there")

        assert number_of(write) == errno.EIO
        assert store.decision("1.2.3") is None and not store.has_study("1.2.3")

    def test_a_batch_in_a_transaction_is_refused(self, cluster: Cluster):
        store = cluster.open()
        with store.study_lock("1.2.3"), pytest.raises(RuntimeError), store.batch():
            pass

    def test_two_batches_that_wait_for_each_other_lose_one_study_and_no_more(self, cluster: Cluster):
        met, outcomes = threading.Barrier(2), list[int]()

        def work(first: str, second: str) -> None:
            store = cluster.open()
            with store.batch() as batch:
                with store.study_lock(first):
                    store.study_entries(first).append("acts", {"by": first})
                met.wait(60)
                try:
                    with store.study_lock(second):
                        store.study_entries(second).append("acts", {"by": first})
                    outcomes.append(0)
                except OSError as error:
                    outcomes.append(error.errno or -1)
                batch.settle()

        threads = [threading.Thread(target=work, args=pair) for pair in (("1.2", "1.3"), ("1.3", "1.2"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(outcomes) == [0, errno.EDEADLK]
        store = cluster.open()
        assert sum(len(store.study_entries(uid).records("acts")) for uid in ("1.2", "1.3")) == 3


class TestServer:
    def test_a_read_only_database_is_a_read_only_file_system_to_the_rooms(self, cluster: Cluster):
        store = cluster.open()
        receive(store, A)
        with setting(cluster, "default_transaction_read_only", "on"):
            assert number_of(lambda: receive(store, B)) == errno.EROFS
            assert number_of(lambda: tag(store, A)) == errno.EROFS
            assert not store.takes_studies()
            assert list(store.waiting()) == [A] and store.waits(A)  # and can be read
        assert receive(store, B)

    def test_a_database_without_a_free_connection_is_told_and_comes_back(self, cluster: Cluster):
        store = cluster.open()
        with ExitStack() as sessions:
            with pytest.raises(BlockingIOError, match="max_connections"):
                while True:
                    sessions.callback(Connection(cluster.address.database).close)
            late = cluster_at(cluster.address, cluster.bucket)
            assert number_of(lambda: list(late.waiting())) == errno.EAGAIN and not late.exists()
        assert receive(store, A)

    def test_a_restart_between_two_calls_is_not_seen(self, cluster: Cluster):
        store = cluster.open()
        receive(store, A)
        cluster.server.stop()
        assert number_of(lambda: store.decision("1.2.3")) == errno.ECONNREFUSED
        assert store.waits(A) and not store.exists()
        cluster.server.start()
        tag(store, A)
        assert store.is_filed(A) and store.exists()

    def test_a_statement_that_takes_too_long_is_given_up(self, cluster: Cluster):
        store, other = cluster.open(), cluster.open(statement_timeout_s=0.5)
        with store.study_lock("1.2.3"):
            assert number_of(lambda: other.study_lock("1.2.3").__enter__()) == errno.ETIMEDOUT
        with other.study_lock("1.2.3"):
            pass

    def test_a_transaction_that_stands_still_loses_its_study(self, cluster: Cluster):
        still, other = cluster.open(statement_timeout_s=0.5), cluster.open()
        with pytest.raises(ConnectionResetError), still.study_lock("1.2.3"):
            still.write_decision("1.2.3", {"revision": "late"})
            with other.study_lock("1.2.3"):  # waits until the server has ended the other's session
                other.write_decision("1.2.3", {"revision": "r1"})
        assert other.history("1.2.3") == [{"revision": "r1"}]


class TestStandby:
    def test_a_commit_without_its_standby_is_told_as_not_written_and_may_be_there(self, cluster: Cluster):
        store = cluster.open(commit_timeout_s=2.0)
        receive(store, A)
        with missing_standby(cluster):
            with pytest.raises(TimeoutError, match="standby"):
                tag(store, A)
            # It is there, on the primary alone, and its locks are free.
            wait_for(lambda: store.decision("1.2.3") == {"revision": "r1"}, "the session to end its wait")
            assert store.waits(A)
            # Content that is here already is not acknowledged either, before the standby has it.
            with pytest.raises(TimeoutError, match="standby"):
                receive(store, A)
            with store.workers.hold("worker-1"):
                assert store.workers.is_alive("worker-1")
        tag(store, A)
        assert not receive(store, A)
        assert store.history("1.2.3") == [{"revision": "r1"}, {"revision": "r1"}]  # at least once

    def test_a_wait_for_the_standby_that_a_person_cancels_is_no_success(self, cluster: Cluster):
        store, outcome, gate = cluster.open(), list[str](), Gate()

        def write() -> None:
            gate.reached.set()
            try:
                store.entries("place").put("a", "")
                outcome.append("written")
            except OSError as error:
                outcome.append(str(error))

        waits = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        with missing_standby(cluster):
            thread = threading.Thread(target=write)
            thread.start()
            wait_for(lambda: cluster.server.run(f"SELECT 1 {waits}"), "the commit to wait")
            cluster.server.run(f"SELECT pg_cancel_backend(pid) {waits}")
            thread.join(60)
        assert len(outcome) == 1 and "standby" in outcome[0]

    def test_a_commit_behind_one_that_waits_for_the_standby_names_the_standby(self, cluster: Cluster):
        """Commits that announce a change of the list wait for each other."""
        announce = "SELECT pg_notify('cxr_triage_list', CAST(:tenant AS text) || CAST(:partition AS text))"
        first, second = cluster.open(commit_timeout_s=60.0), cluster.open(commit_timeout_s=2.0)

        def change(store: ClusterStore) -> None:
            with store._database.transaction():
                store.tables.write(announce)
                store.entries("place").put("a" if store is first else "b", "")

        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        with missing_standby(cluster), ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(change, first)
            wait_for(lambda: cluster.server.run(waits) == [[1]], "the first commit to wait")
            with pytest.raises(TimeoutError, match="standby"):
                change(second)
            cluster.server.run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            assert isinstance(ahead.exception(60), TimeoutError)
