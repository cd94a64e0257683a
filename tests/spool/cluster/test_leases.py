"""Leases of processes that die, stand still past their deadline, lose their database or fork."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import cast

import pytest

from tests.support.child_process import Child
from tests.support.cluster import Cluster
from tests.support.wait import wait_for
from triage.spool.cluster.connection import Connection
from triage.spool.cluster.leases import HeldLease, Leases
from triage.spool.processes import Lead, LedElsewhereError
from triage.spool.store import Store
from triage.spool.tables import Row, Value

REFUSAL = RuntimeError("another one runs")
Tell, Heard = Callable[[str], None], Callable[[], str]


def number_of(act: Callable[[], object]) -> int:
    try:
        act()
    except OSError as error:
        return error.errno or -1
    return 0


class TestAFaultThatNoOneExpected:
    def test_leases_are_renewed_on(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ):
        store, faults = cluster.open(lease_s=4.0), [KeyError("of the driver")]
        renew = Leases._renew

        def failing_once(leases: Leases) -> None:
            if faults:
                raise faults.pop()
            renew(leases)

        monkeypatch.setattr(Leases, "_renew", failing_once)
        with store.workers.lead("sweep") as lead:
            before = cast(HeldLease, lead).until
            wait_for(lambda: "the thread leases failed (KeyError" in caplog.text, "the fault")
            wait_for(lambda: cast(HeldLease, lead).until > before, "the next renewal")
            assert lead.is_certain and not lead.lost


class TestAPausedHolder:
    def test_what_another_process_took_meanwhile_is_not_written(self, cluster: Cluster):
        def child(tell: Tell, heard: Heard) -> None:
            store, signals = cluster.open(), list[int]()
            signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
            with store.workers.hold_alone("deliver", REFUSAL):
                store.entries("place").put("mine", "1")
                tell("holds")
                heard()  # it is stopped here, and goes on when the other one holds
                tell(str(number_of(lambda: store.entries("place").put("mine", "2"))))
                tell(str(number_of(lambda: store.entries("place").get("mine"))))
                wait_for(lambda: signals, "SIGTERM")
                tell("told to end")
            tell(str(number_of(lambda: store.entries("place").put("free", ""))))

        store = cluster.open()
        with Child(child) as process:
            assert process.line() == "holds"
            process.signal(signal.SIGSTOP)
            with store.workers.hold_alone("deliver", REFUSAL):  # after its deadline
                process.signal(signal.SIGCONT)
                process.tell("go on")
                assert process.line() == process.line() == str(errno.ESTALE)
                assert store.entries("place").get("mine") == b"1"
                assert process.line() == "told to end"
                assert process.line() == "0"  # it holds nothing now, and is fenced from nothing
                store.entries("place").put("ours", "")

    def test_a_worker_that_was_declared_dead_does_not_go_on_under_its_name(self, cluster: Cluster):
        def child(tell: Tell, heard: Heard) -> None:
            store = cluster.open()
            with store.workers.hold("worker-1"):
                tell("holds")
                heard()
                tell(str(number_of(lambda: store.write_decision("1.2.3", {"revision": "late"}))))
            with store.workers.hold("worker-2"):
                tell(str(number_of(lambda: store.write_decision("1.2.3", {"revision": "r2"}))))

        store = cluster.open()
        with Child(child) as process:
            assert process.line() == "holds"
            process.signal(signal.SIGSTOP)
            wait_for(lambda: not store.workers.is_alive("worker-1"), "the lease to end")
            process.signal(signal.SIGCONT)
            process.tell("go on")
            assert process.line() == str(errno.ESTALE) and process.line() == "0"
        assert store.history("1.2.3") == [{"revision": "r2"}]
        assert not store.workers.is_alive("worker-1")

    def test_a_transaction_that_it_was_in_is_not_committed(self, cluster: Cluster):
        def child(tell: Tell, heard: Heard) -> None:
            store = cluster.open(statement_timeout_s=1.0)

            def write() -> None:
                with store.study_lock("1.2.3"):
                    store.write_decision("1.2.3", {"revision": "late"})
                    tell("writes")
                    heard()

            with store.workers.hold_alone("deliver", REFUSAL):
                signal.signal(signal.SIGTERM, lambda *_: None)
                tell(str(number_of(write)))

        store = cluster.open()
        with Child(child) as process:
            assert process.line() == "writes"
            process.signal(signal.SIGSTOP)
            with store.workers.hold_alone("deliver", REFUSAL):  # once the server has ended the other's transaction
                assert store.history("1.2.3") == []
                process.signal(signal.SIGCONT)
                process.tell("go on")
                assert process.line() == str(errno.ECONNRESET)
        assert store.history("1.2.3") == []

    def test_a_lease_that_is_taken_is_lost_to_the_next_statement(self, cluster: Cluster):
        store = cluster.open(lease_s=600.0)  # no renewal tells it in between
        with store.workers.hold("worker-1"):
            store.entries("place").put("a", "1")
            cluster.rows("UPDATE lease SET token = gen_random_uuid() WHERE tenant = :tenant")
            assert number_of(lambda: store.entries("place").put("a", "2")) == errno.ESTALE
            assert number_of(lambda: store.entries("place").names()) == errno.ESTALE
        assert store.entries("place").get("a") == b"1"


class TestALivingHolder:
    def test_it_keeps_its_name_while_it_lives(self, cluster: Cluster):
        store, other = cluster.open(), cluster.open()
        with store.workers.hold_alone("deliver", REFUSAL), store.workers.hold("worker-1"):
            for _ in range(6):  # each waits until it has seen a renewal
                with pytest.raises(RuntimeError), other.workers.hold_alone("deliver", REFUSAL):
                    pass
            assert other.workers.is_alive("worker-1") and other.workers.count() == (1, 0)
            store.entries("place").put("a", "")

    def test_it_outlasts_its_database_if_no_other_process_took_the_name(self, cluster: Cluster):
        store, other = cluster.open(), cluster.open()
        with store.workers.hold_alone("deliver", REFUSAL):
            cluster.server.stop()
            cluster.server.start()
            held = "SELECT 1 FROM lease WHERE tenant = :tenant AND deadline > clock_timestamp()"
            wait_for(lambda: cluster.rows(held), "the lease to be renewed")
            store.entries("place").put("a", "")
            with pytest.raises(RuntimeError), other.workers.hold_alone("deliver", REFUSAL):
                pass

    def test_it_is_renewed_while_the_server_has_no_connection_left_for_work(self, cluster: Cluster):
        store = cluster.open()
        deadline = "SELECT CAST(deadline AS text) FROM lease WHERE tenant = :tenant"
        with store.workers.lead("sweep") as lead:
            first = cluster.rows(deadline)
            wait_for(lambda: cluster.rows(deadline) != first, "the lease to be renewed")
            store._engines.pool.borrow = lambda: _raise(OSError(errno.EAGAIN, "no connection left"))  # type: ignore[method-assign, return-value]
            with pytest.raises(OSError, match="no connection left"):
                store.entries("place").names()
            for _ in range(4):  # for longer than a lease lasts, by its own renewals
                before = cluster.rows(deadline)
                wait_for(lambda before=before: cluster.rows(deadline) != before, "the lease to be renewed")
            assert lead.is_certain
            del store._engines.pool.borrow  # type: ignore[method-assign]

    def test_the_sessions_of_its_leases_have_its_name(self, cluster: Cluster):
        """A process that stands still in a renewal is ended by who takes its place, as in any other transaction."""
        store = cluster.open()
        pool = store._engines.leases._pool
        session = pool.borrow()
        assert session.run("SHOW application_name") == [[store._engines.pool.process]]
        pool.give_back(session)

    def test_the_name_of_a_killed_process_can_be_taken_at_once_after_its_lease(self, cluster: Cluster):
        def child(tell: Tell, heard: Heard) -> None:
            with cluster.open().workers.hold_alone("up", REFUSAL):
                tell("holds")
                heard()

        with Child(child) as process:
            assert process.line() == "holds"
        with cluster.open().workers.hold_alone("up", REFUSAL) as descriptor:  # waits, and is not refused
            assert descriptor == -1

    def test_a_forked_child_has_sessions_of_its_own_and_ends_none_of_its_parent(self, cluster: Cluster):
        store = cluster.open()
        sessions = "SELECT pg_backend_pid()"
        with store.workers.hold("worker-1"):
            ((ours,),) = store._database.read(sessions)

            def child(tell: Tell, heard: Heard) -> None:
                tell(str(store._database.read(sessions)[0][0]))
                heard()

            with Child(child) as process:
                theirs = process.line()
            assert theirs.isdigit() and int(theirs) != ours
            assert store._database.read(sessions) == [[ours]]
            store.entries("place").put("a", "")


class TestAStandby:
    def test_it_has_the_place_once_a_leader_that_stands_still_in_a_transaction_is_silent_for_its_lease(
        self, cluster: Cluster
    ):
        """The server itself would end that transaction after a minute."""

        def child(tell: Tell, heard: Heard) -> None:
            store = cluster.open()

            def write() -> None:
                with store.study_lock("1.2.3"):
                    store.write_decision("1.2.3", {"revision": "late"})
                    tell("writes")
                    heard()

            with store.workers.lead("sweep") as lead:
                signal.signal(signal.SIGTERM, lambda *_: None)
                tell(str(number_of(write)))
                wait_for(lambda: lead.lost, "the leader to know")
                tell(str(lead.is_certain))

        store = cluster.open()
        with Child(child) as process:
            assert process.line() == "writes"
            process.signal(signal.SIGSTOP)
            with taken(store, "sweep"):
                with store.study_lock("1.2.3"):
                    assert store.history("1.2.3") == []
                process.signal(signal.SIGCONT)
                process.tell("go on")
                assert process.line() == str(errno.ECONNRESET)
                assert process.line() == "False"
        assert store.history("1.2.3") == []

    def test_a_living_leader_keeps_its_sessions_and_its_place(self, cluster: Cluster):
        store, other = cluster.open(), cluster.open()
        sessions = "SELECT pg_backend_pid()"
        with store.workers.lead("sweep") as lead:
            ours = store._database.read(sessions)
            deadlines = set[object]()
            while len(deadlines) < 3:  # it is renewed twice, and asked for all the while
                with pytest.raises(LedElsewhereError), other.workers.lead("sweep"):
                    pass
                deadlines |= {each for (each,) in cluster.rows("SELECT deadline FROM lease WHERE tenant = :tenant")}
            assert store._database.read(sessions) == ours
            assert lead.is_certain

    def test_a_place_that_is_kept_until_the_end_is_fenced_and_ends_by_itself(self, cluster: Cluster):
        def child(tell: Tell, heard: Heard) -> None:
            store = cluster.open()
            with store.workers.lead("deliver") as lead:
                lead.keep_until_the_end()
            store.entries("place").put("mine", "1")
            tell("ended")
            heard()

        store = cluster.open()
        with Child(child) as process:
            assert process.line() == "ended"
            with pytest.raises(LedElsewhereError), store.workers.lead("deliver"):
                pass
        with taken(store, "deliver"):
            pass

    def test_without_a_connection_left_it_is_not_told_that_another_one_leads(self, cluster: Cluster):
        store = cluster.open()
        store._engines.pool.borrow = lambda: _raise(OSError(errno.EAGAIN, "no connection left"))  # type: ignore[method-assign, return-value]
        with pytest.raises(OSError, match="no connection left"), store.workers.lead("sweep"):
            pass


class TestACommitWhoseAnswerIsLost:
    """The row says that this process leads, and this process does not know it."""

    def test_the_place_is_had_by_the_next_look(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
        store = cluster.open(lease_s=300.0)  # far longer than the test waits
        with losing_an_answer(monkeypatch, "INSERT INTO lease"):
            with pytest.raises(ConnectionResetError), store.workers.lead("sweep"):
                pass
            with store.workers.lead("sweep") as lead:
                assert lead.is_certain
                store.entries("place").put("mine", "1")
        with cluster.open().workers.lead("sweep"):
            pass

    def test_another_process_waits_for_its_end(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
        store, other = cluster.open(), cluster.open()
        with losing_an_answer(monkeypatch, "INSERT INTO lease"):
            with pytest.raises(ConnectionResetError), store.workers.lead("sweep"):
                pass
            with pytest.raises(LedElsewhereError), other.workers.lead("sweep"):
                pass
            with taken(other, "sweep"), pytest.raises(LedElsewhereError), store.workers.lead("sweep"):
                pass

    def test_a_worker_has_its_name_and_a_lone_process_its_place(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ):
        store = cluster.open(lease_s=300.0)
        for hold in (lambda: store.workers.hold("worker-1"), lambda: store.workers.hold_alone("up", REFUSAL)):
            with losing_an_answer(monkeypatch, "INSERT INTO lease"):
                with pytest.raises(ConnectionResetError), hold():
                    pass
                with hold():
                    pass

    def test_a_process_does_not_end_its_own_sessions(self, cluster: Cluster):
        def child(tell: Tell, _: Heard) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the place that it keeps is lost, which ends a process
            store = cluster.open()
            before = store._database.read("SELECT pg_backend_pid()")
            with store.workers.lead("sweep") as lead:
                lead.keep_until_the_end()
            cluster.rows("UPDATE lease SET ended = true WHERE tenant = :tenant")
            with store.workers.lead("sweep"):
                tell("the same" if store._database.read("SELECT pg_backend_pid()") == before else "another")

        with Child(child) as process:
            assert process.line() == "the same"


@contextmanager
def losing_an_answer(monkeypatch: pytest.MonkeyPatch, begins: str) -> Iterator[None]:
    """Lose the session after the COMMIT that follows the next statement of this beginning, and its answer with it."""
    run, command, about = Connection.run, Connection.command, list[Connection]()
    lost = list[bool]()

    def noted(self: Connection, sql: str, **values: Value) -> list[Row]:
        if sql.strip().startswith(begins):
            about.append(self)
        return run(self, sql, **values)

    def losing(self: Connection, sql: str, timeout_s: float | None = None) -> None:
        command(self, sql, timeout_s)
        if sql == "COMMIT" and self in about and not lost:
            lost.append(True)
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, "the connection to the database is broken")

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "run", noted)
        patched.setattr(Connection, "command", losing)
        yield
    assert lost


@contextmanager
def taken(store: Store, name: str) -> Iterator[Lead]:
    """The place, as soon as it can be had."""
    with ExitStack() as stack:
        found = list[Lead]()

        def look() -> bool:
            with suppress(LedElsewhereError):
                found.append(stack.enter_context(store.workers.lead(name)))
            return bool(found)

        wait_for(look, f"the place of {name}")
        yield found[0]


def _raise(error: Exception) -> None:
    raise error
