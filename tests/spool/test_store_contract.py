"""The contract of the store: one suite, run against each implementation. No test knows where anything lies."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest

from tests.support.builders import an_instance
from tests.support.wait import wait_for
from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.operations.retention import AgeLimits, RetentionTurns, remove_old
from triage.spool.instance import ReceivedInstance
from triage.spool.open_store import open_store
from triage.spool.processes import LedElsewhereError
from triage.spool.store import Store

CONTENT = bytes(range(256)) * 8
A, B = an_instance(study="1.2.3", sop="1.2.3.4"), an_instance(study="1.2.4", sop="1.2.4.4")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "implementation" in metafunc.fixturenames:
        there = ["files", *["postgres+s3"] * bool(metafunc.config.getoption("--cluster"))]
        metafunc.parametrize("implementation", there)


@pytest.fixture
def opened(implementation: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens the store of a test: a second call is that of another process."""
    if implementation == "postgres+s3":
        opener: Callable[[], Store] = request.getfixturevalue("cluster").open
        return opener
    return lambda: open_store(tmp_path / "spool")


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    return opened()


def receive(store: Store, instance: ReceivedInstance, content: bytes = CONTENT, into: Store | None = None) -> bool:
    upload = store.begin_upload()
    try:
        upload.write(memoryview(content))
        return (into or store).keep(upload, instance)
    finally:
        upload.discard()


def tag(store: Store, instance: ReceivedInstance, revision: str = "r1") -> None:
    with store.batch() as batch:
        with store.study_lock(instance.study_instance_uid):
            store.write_assessment(instance, {"sop_instance_uid": instance.sop_instance_uid})
            store.write_decision(instance.study_instance_uid, {"revision": revision})
        batch.settle()
        batch.file(instance)


class Unlisted:
    """A worklist from which nothing has to be removed."""

    def remove(self, study_instance_uid: str) -> None:
        """Do nothing."""


class TestReceiving:
    def test_nothing_is_there_until_it_is_kept_and_then_all_of_it(self, store: Store, opened: Callable[[], Store]):
        upload = store.begin_upload()
        upload.write(memoryview(CONTENT[:100]))
        upload.write(memoryview(CONTENT[100:]))
        with upload.reader() as file:
            file.seek(50)
            assert file.read(100) == CONTENT[50:150]
        assert list(store.waiting()) == [] and store.stored_object(A) is None

        assert store.keep(upload, A) is True
        upload.discard()
        upload.discard()

        other = opened()
        assert list(other.waiting()) == [A] and other.waits(A)
        found = other.stored_object(A)
        assert found is not None and found.read_bytes() == CONTENT

    def test_the_same_content_is_kept_once_wherever_it_is(self, store: Store):
        assert receive(store, A)
        assert not receive(store, A)
        tag(store, A)
        assert not receive(store, A)
        assert list(store.waiting()) == []

    def test_other_content_of_the_same_object_is_another(self, store: Store):
        other = ReceivedInstance(A.study_instance_uid, A.sop_instance_uid, "f" * 64)
        assert receive(store, A) and receive(store, other, b"other")
        assert set(store.waiting()) == {A, other} == set(store.objects_of("1.2.3"))

    def test_what_is_discarded_leaves_nothing(self, store: Store):
        upload = store.begin_upload()
        upload.write(memoryview(CONTENT))
        upload.discard()
        assert list(store.waiting()) == []
        assert store.state().inbox.objects == 0

    def test_an_upload_may_be_kept_in_a_partition(self, store: Store):
        partition = store.open_partition("apart")
        assert receive(store, A, into=partition)
        assert list(store.waiting()) == [] and list(partition.waiting()) == [A]

    def test_what_cannot_be_parsed_is_set_aside_with_the_reason(self, store: Store):
        upload = store.begin_upload()
        upload.write(memoryview(b"no DICOM"))
        store.set_aside(upload, "why")
        upload.discard()
        (stem,) = {name.rpartition(".")[0] for name in store.entries("quarantine").names()}
        assert store.entries("quarantine").get(f"{stem}.dcm") == b"no DICOM"
        assert b"why" in store.entries("quarantine").get(f"{stem}.json")
        assert store.state().quarantine.objects == 1 and list(store.waiting()) == []

    def test_an_object_says_what_it_is_and_goes_to_a_child_process(self, store: Store):
        before = time.time()
        receive(store, A)
        found = ForkingPickler.loads(ForkingPickler.dumps(store.waiting_object(A)))
        assert found == store.stored_object(A) and hash(found) == hash(store.stored_object(A))
        assert found.size() == len(CONTENT)
        assert before - 2 <= found.received_at() <= time.time() + 2
        with found.open("rb") as file:
            file.seek(-6, os.SEEK_END)
            assert file.read() == CONTENT[-6:]

    def test_an_object_that_is_not_there_is_none_and_cannot_be_read(self, store: Store):
        assert store.stored_object(A) is None and not store.waits(A) and not store.is_filed(A)
        for read in (store.waiting_object(A).read_bytes, store.waiting_object(A).size):
            with pytest.raises(FileNotFoundError):
                read()

    def test_the_state_says_what_waits(self, store: Store):
        assert store.oldest_waiting() is None
        receive(store, A)
        state = store.state()
        assert (state.inbox.objects, state.inbox.size_bytes) == (1, len(CONTENT))
        assert state.inbox.oldest == store.oldest_waiting() == store.waiting_object(A).received_at()
        assert 0 <= store.usage().used_fraction <= 1


class TestResults:
    def test_a_batch_decides_and_takes_out_of_the_inbox(self, store: Store, opened: Callable[[], Store]):
        receive(store, A)
        with store.batch() as batch:
            with store.study_lock("1.2.3"):
                store.write_assessment(A, {"n": 1})
                assert store.assessments("1.2.3") == [{"n": 1}]  # the thread of the batch reads what it wrote
                store.write_decision("1.2.3", {"revision": "r1"})
                store.entries("marks", "pacs").prepare()
                store.entries("marks", "pacs").note("1.2.3")
            batch.settle()
            assert opened().waits(A)  # until the index has it, too
            assert opened().decision("1.2.3") == {"revision": "r1"}
            batch.file(A)

        other = opened()
        assert not other.waits(A) and other.is_filed(A)
        found = other.stored_object(A)
        assert found is not None and found.read_bytes() == CONTENT
        assert other.assessments("1.2.3") == [{"n": 1}]
        assert other.entries("marks", "pacs").names() == ["1.2.3"]

    def test_a_batch_that_fails_leaves_its_objects_in_the_inbox(self, store: Store, opened: Callable[[], Store]):
        receive(store, A)
        with pytest.raises(ZeroDivisionError), store.batch():
            store.write_assessment(A, {"n": 1})
            raise ZeroDivisionError
        assert list(opened().waiting()) == [A]
        tag(store, A)  # and is done again
        assert opened().is_filed(A)

    def test_a_decision_replaces_the_last_and_the_history_has_both(self, store: Store):
        receive(store, A)
        assert store.decision("1.2.3") is None and store.history("1.2.3") == []
        with pytest.raises(FileNotFoundError):
            store.decided_at("1.2.3")
        before = time.time()
        tag(store, A)
        tag(store, A, "r2")  # filing what is filed is no error
        assert store.decision("1.2.3") == {"revision": "r2"}
        assert store.history("1.2.3") == [{"revision": "r1"}, {"revision": "r2"}]
        assert before - 2 <= store.decided_at("1.2.3") <= time.time() + 2

    def test_assessments_are_of_each_content_and_in_order(self, store: Store):
        later = ReceivedInstance("1.2.3", "1.2.3.5", "0" * 64)
        with store.study_lock("1.2.3"):
            store.write_assessment(later, {"n": 2})
            store.write_assessment(A, {"n": 0})
            store.write_assessment(A, {"n": 1})
        assert store.assessments("1.2.3") == [{"n": 1}, {"n": 2}]
        assert store.assessments("9.9") == []

    def test_every_study_is_decided_once_for_a_rebuild(self, store: Store):
        for instance in (A, B):
            receive(store, instance)
            tag(store, instance, instance.study_instance_uid)
        assert sorted(each["revision"] for each in store.decisions()) == ["1.2.3", "1.2.4"]

    def test_what_was_never_received_cannot_be_filed(self, store: Store):
        with store.batch() as batch, pytest.raises(FileNotFoundError):
            batch.file(A)

    def test_a_recall_takes_an_object_back(self, store: Store):
        receive(store, A)
        tag(store, A)
        store.take_back(A)
        assert list(store.waiting()) == [A] and not store.is_filed(A)
        with pytest.raises(FileNotFoundError):
            store.take_back(A)

    def test_a_dead_letter_is_kept_and_can_be_tried_again(self, store: Store):
        receive(store, A)
        store.bury(A, {"error": "why"})
        assert list(store.dead_letters()) == [(A, {"error": "why"})] and list(store.waiting()) == []
        assert store.stored_object(A) is not None and list(store.objects_of("1.2.3")) == [A]
        assert store.is_unfinished("1.2.3") and not store.is_unfinished("1.2.4")
        store.requeue(A)
        assert list(store.waiting()) == [A] and list(store.dead_letters()) == []
        with pytest.raises(FileNotFoundError):
            store.requeue(A)

    def test_a_partition_can_be_emptied_of_what_is_not_finished(self, store: Store):
        partition = store.open_partition("apart")
        for instance in (A, B):
            receive(partition, instance)
        partition.bury(B, {})
        partition.drop_dead_letters(before=time.time() - 3600)
        assert [instance for instance, _ in partition.dead_letters()] == [B]
        partition.drop_unfinished()
        assert list(partition.waiting()) == [] == list(partition.dead_letters())


class TestStudies:
    def test_a_study_goes_with_everything_of_it(self, store: Store):
        receive(store, A)
        tag(store, A)
        with store.study_lock("1.2.3"):
            store.study_entries("1.2.3").append("acts", {"n": 1})
            store.study_entries("1.2.3", "deliveries").prepare()
            store.study_entries("1.2.3", "deliveries").put("one", b"1")
        assert list(store.study_uids()) == ["1.2.3"] == list(store.studies_with("acts")) and store.has_study("1.2.3")
        with store.study_lock("1.2.3"):
            store.remove_study("1.2.3")
        assert not store.has_study("1.2.3") and list(store.study_uids()) == [] == list(store.studies_with("acts"))
        assert store.decision("1.2.3") is None and store.history("1.2.3") == [] and store.stored_object(A) is None
        assert store.study_entries("1.2.3").records("acts") == []
        assert store.study_entries("1.2.3", "deliveries").names() == []

    def test_under_its_lock_a_removed_study_can_be_written_again(self, store: Store):
        with store.study_lock("1.2.3"):
            store.study_entries("1.2.3").put("state", "{}")
        assert store.study_entries("1.2.3").get("state") == b"{}"

    def test_a_lock_alone_makes_no_study(self, store: Store):
        with store.study_lock("1.2.3"):
            assert store.decision("1.2.3") is None
        assert not store.has_study("1.2.3") and list(store.study_uids()) == []
        with store.batch() as batch:
            with store.study_lock("1.2.3"):
                assert store.assessments("1.2.3") == []
            with store.study_lock("1.2.4"):
                store.study_entries("1.2.4").append("acts", {"n": 1})
            batch.settle()
        assert list(store.study_uids()) == ["1.2.4"]
        with store.study_lock("1.2.4"):
            store.study_entries("1.2.4", "places").prepare()
        assert store.study_entries("1.2.4").records("acts") == [{"n": 1}]

    def test_a_study_that_is_removed_is_not_made_by_a_second_sweep(self, store: Store, opened: Callable[[], Store]):
        """Both have it on their lists, and one comes later."""
        tag_new(store, A)
        with store.study_lock("1.2.3"):
            store.write_decision("1.2.3", {"tagged_at": 0, "revision": "r2", "silent": True})
        limits, index = AgeLimits(time.time() + 10 * 86400, retention_days=1.0), Unlisted()
        assert remove_old(store, index, limits) == (1, 0)  # type: ignore[arg-type]
        late = RetentionTurns(rest=iter(["1.2.3"]))
        assert remove_old(opened(), index, limits, late)[0] == 0  # type: ignore[arg-type]
        assert list(store.study_uids()) == []

    def test_others_are_told_of_what_is_durable(self, store: Store, opened: Callable[[], Store]):
        told: list[object] = []
        with store.study_lock("1.2.3"):
            store.study_entries("1.2.3").append("acts", {"n": 1})
            store.when_durable("1.2.3", lambda: told.append(opened().study_entries("1.2.3").records("acts")))
        assert told == [[{"n": 1}]]
        store.when_durable("1.2.3", lambda: told.append(2))
        assert told[1:] == [2]

    def test_what_was_written_stays_if_others_cannot_be_told(self, store: Store, opened: Callable[[], Store]):
        def fail() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), store.study_lock("1.2.3"):
            store.study_entries("1.2.3").append("acts", {"n": 1})
            store.when_durable("1.2.3", fail)
        assert opened().study_entries("1.2.3").records("acts") == [{"n": 1}]

    def test_changes_are_told_once_all_are_known(self, store: Store):
        changes = store.study_changes()
        assert [uid for uids in changes.changed().values() for uid in uids] == []
        tag_new(store, A)
        tag_new(store, B)
        assert sorted(uid for uids in changes.changed().values() for uid in uids) == ["1.2.3", "1.2.4"]
        with store.study_lock("1.2.3"):
            store.remove_study("1.2.3")
        groups = changes.changed()
        assert groups and "1.2.3" not in [uid for uids in groups.values() for uid in uids]
        changes.forget()
        assert [uid for uids in changes.changed().values() for uid in uids] == ["1.2.4"]

    def test_a_study_is_not_older_than_its_last_change(self, store: Store):
        before = time.time()
        tag_new(store, A)
        assert before - 2 <= store.touched("1.2.3") <= time.time() + 2
        assert store.touched("9.9") >= before  # an unknown one is not old

    def test_a_trial_leaves_no_study(self, store: Store):
        assert store.takes_studies() and store.gives_objects()
        assert list(store.study_uids()) == []

    @pytest.mark.parametrize("name", ["", "..", "1..2", "1.2/3", "a"])
    def test_a_malformed_uid_is_refused(self, store: Store, name: str):
        for use in (store.decision, store.history, store.assessments, store.has_study, store.touched):
            with pytest.raises(InvalidUIDError):
                use(name)
        with pytest.raises(InvalidUIDError):
            store.study_entries(name or "..").get("acts")


def tag_new(store: Store, instance: ReceivedInstance) -> None:
    receive(store, instance)
    tag(store, instance)


class TestEntries:
    def test_an_entry_is_written_read_replaced_and_removed(self, store: Store, opened: Callable[[], Store]):
        entries = store.entries("place")
        assert entries.names() == [] and not entries.has("a")
        entries.prepare()
        entries.prepare()
        entries.put("a", "text é")
        entries.put("a+b.json", b"\0bytes")
        other = opened().entries("place")
        assert sorted(other.names()) == ["a", "a+b.json"] and other.has("a")
        assert other.get("a") == "text é".encode() and other.get("a+b.json") == b"\0bytes"
        entries.put("a", "new")
        assert other.get("a") == b"new"
        assert entries.remove("a") is True and entries.remove("a", durable=True) is False
        with pytest.raises(FileNotFoundError):
            other.get("a")

    def test_each_is_gone_through_with_its_time_while_others_go(self, store: Store):
        entries = store.entries("place")
        assert list(entries.each()) == []
        entries.prepare()
        names = [f"{number:04d}" for number in range(1001)]  # more than a page
        with store.batch():
            for name in names:
                entries.put(name, "", durable=False)
        assert sorted(name for name, _ in entries.each()) == names
        assert all(abs(written - time.time()) < 600 for _, written in entries.each())
        assert {name for name, _ in entries.each() if entries.remove(name)} == set(names)
        assert list(entries.each()) == []

    def test_the_first_time_of_a_note_stands(self, store: Store):
        marks = store.entries("marks", "pacs")
        marks.prepare()
        marks.note("2")
        ((first, _),) = marks.by_time()
        assert abs(first - time.time()) < 60 and marks.get("2") == b""
        time.sleep(0.02)
        marks.note("1")
        marks.note("2")
        assert [name for _, name in marks.by_time()] == ["2", "1"] and marks.by_time()[0][0] == first

    def test_a_move_is_one_step_and_replaces(self, store: Store):
        one, two = store.entries("outbox", "pacs"), store.study_entries("1.2.3", "deliveries")
        one.prepare()
        one.put("a", "new")
        with store.study_lock("1.2.3"):
            two.prepare()
            two.put("b", "old")
            one.move("a", two.place, "b")
        assert one.names() == [] and two.get("b") == b"new"
        with pytest.raises(FileNotFoundError):
            one.move("a", two.place, "b")

    def test_old_entries_are_cleared(self, store: Store):
        entries = store.entries("place")
        entries.prepare()
        entries.put("a", "")
        entries.clear(time.time() - 3600)
        assert entries.names() == ["a"]
        entries.clear()
        assert entries.names() == []

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\0b"])
    def test_what_is_no_name_is_refused(self, store: Store, name: str):
        entries = store.entries("place")
        entries.prepare()
        assert not entries.has(name)
        for use in (entries.get, entries.note, entries.remove, entries.records):
            with pytest.raises(ValueError):
                use(name)
        with pytest.raises(ValueError):
            entries.put(name, "")
        with pytest.raises(ValueError):
            store.entries("place", name).names()

    def test_a_log_keeps_the_order(self, store: Store, opened: Callable[[], Store]):
        with store.study_lock("1.2.3"):
            log = store.study_entries("1.2.3")
            assert log.records("acts") == []
            log.append("acts", {"who": "é\n", "n": 1})
            log.append("acts", {"n": 2})
            assert log.readable("acts") == log.records("acts")
            assert log.names().count("acts") == [name for _, name in log.by_time()].count("acts") == 1
        assert opened().study_entries("1.2.3").records("acts") == [{"who": "é\n", "n": 1}, {"n": 2}]
        assert opened().study_entries("1.2.4").readable("acts") == []

    def test_places_are_listed(self, store: Store):
        for name in ("pacs", "ris"):
            store.entries("outbox", name).prepare()
        assert sorted(store.places("outbox")) == ["pacs", "ris"] and store.places("nothing") == []

    def test_partitions_share_nothing(self, store: Store, opened: Callable[[], Store]):
        partition = store.open_partition("apart")
        for place in (store, partition):
            place.entries("place").prepare()
        partition.entries("place").put("a", "")
        partition.model_switches.set_disabled("model", True)
        tag_new(partition, A)
        assert store.entries("place").names() == [] and list(store.study_uids()) == []
        assert store.model_switches.disabled() == frozenset()
        assert list(opened().partition("apart").study_uids()) == ["1.2.3"]
        store.remove_partition("apart")
        assert list(opened().open_partition("apart").study_uids()) == []

    def test_the_installation_has_one_uid(self, store: Store, opened: Callable[[], Store]):
        assert store.exists()
        assert valid_uid(store.installation_uid()) == opened().installation_uid() == store.installation_uid()

    def test_a_scratch_file_is_removed(self, store: Store):
        with store.scratch_file() as file:
            assert not file.exists()
            file.write_bytes(b"1")
        assert not file.exists()


class TestSwitches:
    @pytest.mark.parametrize("kind", ["model_switches", "channel_switches"])
    def test_a_switch_holds_for_all(self, store: Store, opened: Callable[[], Store], kind: str):
        ours, theirs = getattr(store, kind), getattr(opened(), kind)
        ours.set_disabled("tiny@2", True)
        assert theirs.disabled() == {"tiny@2"} and theirs.is_disabled("tiny@2") and not theirs.is_disabled("tiny")
        theirs.set_disabled("tiny@2", False)
        theirs.set_disabled("tiny@2", False)
        assert ours.disabled() == frozenset()
        with pytest.raises(ValueError):
            ours.set_disabled("../x", True)


class TestLocks:
    @pytest.mark.parametrize("which", ["study", "entries"])
    def test_a_lock_is_held_by_one(self, opened: Callable[[], Store], which: str):
        order: list[str] = []
        entered = threading.Event()

        def second() -> None:
            entered.set()
            with lock_of(opened(), which):
                order.append("second")

        with lock_of(opened(), which):
            thread = threading.Thread(target=second)
            thread.start()
            assert entered.wait(10)
            time.sleep(0.05)
            order.append("first")
        thread.join(10)
        assert order == ["first", "second"]

    def test_a_lock_is_released_by_an_error(self, store: Store, opened: Callable[[], Store]):
        with pytest.raises(ZeroDivisionError), store.study_lock("1.2.3"):
            raise ZeroDivisionError
        with opened().study_lock("1.2.3"):
            pass

    def test_of_some_processes_there_is_one(self, store: Store, opened: Callable[[], Store]):
        with (
            store.workers.hold_alone("up", RuntimeError("it runs")),
            pytest.raises(RuntimeError, match="it runs"),
            opened().workers.hold_alone("up", RuntimeError("it runs")),
        ):
            pass
        with opened().workers.hold_alone("up", RuntimeError("it runs")):
            pass

    def test_one_process_leads_and_is_named_until_it_gives_its_place_back(
        self, store: Store, opened: Callable[[], Store]
    ):
        assert store.workers.leader("sweep") == ""
        with store.workers.lead("sweep") as lead:
            with pytest.raises(LedElsewhereError) as led, opened().workers.lead("sweep"):
                pass
            assert led.value.host == opened().workers.leader("sweep") == socket.gethostname()
            assert lead.is_certain and not lead.lost
            with opened().workers.lead("deliver"):
                pass
        with opened().workers.lead("sweep"):
            pass

    def test_what_a_killed_process_held_is_free(self, store: Store, opened: Callable[[], Store]):
        with holding_child(opened) as pid:
            assert store.workers.is_alive("worker-1") and not store.workers.has_died("worker-1")
            assert store.workers.count() == (1, 0)
            kill(pid)
            wait_for(lambda: not store.workers.is_alive("worker-1"), "the killed worker to be known as dead")
            assert store.workers.has_died("worker-1")
            assert store.workers.count() == (0, 1)
            with store.study_lock("1.2.3"), store.workers.hold_alone("up", RuntimeError("it runs")):
                pass
        store.workers.remove_old(time.time() + 60)
        assert store.workers.count() == (0, 0)

    def test_a_worker_that_ends_is_not_dead(self, store: Store, opened: Callable[[], Store]):
        with store.workers.hold("worker-1"), pytest.raises(BlockingIOError), opened().workers.hold("worker-1"):
            pass
        assert not store.workers.is_alive("worker-1") and not store.workers.has_died("worker-1")
        assert not store.workers.is_alive("../up")


def lock_of(store: Store, which: str) -> AbstractContextManager[object]:
    if which == "study":
        return store.study_lock("1.2.3")
    return store.entries("control").lock("silent.lock")


@contextmanager
def holding_child(opened: Callable[[], Store]) -> Iterator[int]:
    """A process that holds a worker's name, a single name and a study's lock, until it is killed."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        store = opened()
        refusal = RuntimeError("held")
        with store.workers.hold("worker-1"), store.workers.hold_alone("up", refusal), store.study_lock("1.2.3"):
            os.write(told, b"1")
            time.sleep(60)
        os._exit(0)
    os.close(told)
    try:
        assert os.read(ready, 1) == b"1"
        yield pid
    finally:
        kill(pid)
        os.close(ready)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
