"""A store is moved into another: all of it, again after a crash or a change, and every difference is found."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import an_instance
from triage.spool.entries import Place
from triage.spool.instance import ReceivedInstance
from triage.spool.moving.backdating import FileBackdating
from triage.spool.moving.entries import STUDY_PLACES
from triage.spool.moving.errors import MoveError
from triage.spool.moving.move import differences, move, refuse_at_work
from triage.spool.moving.notes import end
from triage.spool.moving.study import MoveTarget
from triage.spool.result_files import DECISION
from triage.spool.spool import Spool

TAGGED, SECOND = an_instance(study="1.2.3", sop="1.2.3.4"), an_instance(study="1.2.3", sop="1.2.3.5")
WAITING, DEAD = an_instance(study="1.2.4", sop="1.2.4.4"), an_instance(study="1.2.5", sop="1.2.5.4")
FAILURE = {"reason": "DECODE_FAILED", "detail": "of the test"}


def receive(store: Spool, instance: ReceivedInstance) -> None:
    upload = store.begin_upload()
    upload.write(memoryview(instance.key.encode() * 8_000))
    store.keep(upload, instance)
    upload.discard()


def tag(store: Spool, instance: ReceivedInstance, revision: str) -> None:
    with store.batch() as batch:
        with store.study_lock(instance.study_instance_uid):
            finding = {"sop_instance_uid": instance.sop_instance_uid, "content_digest": instance.content_digest}
            store.write_assessment(instance, {**finding, "probability": 0.25})
            store.write_decision(instance.study_instance_uid, {"revision": revision})
        batch.settle()
        batch.file(instance)


@pytest.fixture
def source(tmp_path: Path) -> Spool:
    """A spool with something of everything."""
    store = Spool.open(tmp_path / "source")
    store.installation_uid()
    for instance in (TAGGED, SECOND, WAITING, DEAD):
        receive(store, instance)
    tag(store, TAGGED, "r1")
    tag(store, SECOND, "r2")
    store.bury(DEAD, FAILURE)
    of_study = store.study_entries("1.2.3")
    of_study.put("workitem.json", json.dumps({"state": "SCHEDULED"}))
    for number in range(3):
        of_study.append("reading.jsonl", {"act": number})
    store.study_entries("1.2.3", "deliveries").prepare()
    store.study_entries("1.2.3", "deliveries").put("ris+1.json", "{}")
    store.study_entries("1.2.3", "deliveries").put("ris+1.sent", b"\x00\xff")
    for words in (("outbox",), ("outbox", "ris"), ("marks",), ("marks", "ris"), ("preferences",), ("undeliverable",)):
        store.entries(*words).prepare()
    store.entries("outbox", "ris").put("0+0+1+1.2.3", b"message")
    for study in ("1.2.9", "1.2.3"):
        store.entries("marks", "ris").note(study)
    os.utime(store.root / "marks" / "ris" / "1.2.9", (1000, 1000))
    store.entries("preferences").put("abc.json", '{"columns": []}')
    store.entries("control").put("model-registry.jsonl", '{"act": "promote"}\n')
    store.entries("quarantine").put("x.dcm", b"no DICOM")
    store.entries("quarantine").put("x.json", '{"why": "of the test"}')
    store.model_switches.set_disabled("weak", True)
    store.channel_switches.set_disabled("ris", True)
    return store


@pytest.fixture
def target(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "target")


def moved(source: Spool, target: Spool) -> None:
    move(source, MoveTarget(target, FileBackdating(target)), lambda counts: None)


def all_differences(source: Spool, target: Spool) -> list[str]:
    return list(differences(source, target, lambda number: None))


def test_all_of_it_is_there(source: Spool, target: Spool) -> None:
    assert all_differences(source, target)
    counts = move(source, MoveTarget(target, FileBackdating(target)), lambda counts: None)
    assert (counts.studies, counts.objects, counts.dead_letters) == (3, 4, 1)
    assert all_differences(source, target) == []

    assert list(target.waiting()) == [WAITING] and dict(target.dead_letters()) == {DEAD: FAILURE}
    assert target.is_filed(TAGGED) and target.decision("1.2.3") == {"revision": "r2"}
    assert [each["revision"] for each in target.history("1.2.3")] == ["r1", "r2"]
    assert [each["act"] for each in target.study_entries("1.2.3").records("reading.jsonl")] == [0, 1, 2]
    assert target.study_entries("1.2.3", "deliveries").get("ris+1.sent") == b"\x00\xff"
    assert target.entries("marks", "ris").by_time()[0][1] == "1.2.9"
    assert target.entries("quarantine").get("x.dcm") == b"no DICOM"
    assert target.model_switches.disabled() == {"weak"} and target.channel_switches.disabled() == {"ris"}


def test_the_files_are_those_of_the_source(source: Spool, target: Spool) -> None:
    """What the interface of both hides: nothing was left behind in a file."""
    moved(source, target)

    def files(spool: Spool) -> dict[str, bytes]:
        found = (path for path in spool.root.rglob("*") if path.is_file() and not path.name.endswith("lock"))
        named = {str(path.relative_to(spool.root)): path.read_bytes() for path in found}
        return {name: content for name, content in named.items() if not name.startswith("moving/")}  # notes of the move

    assert files(target) == files(source)


def test_times_and_the_uid_of_the_installation_are_those_of_the_source(source: Spool, target: Spool) -> None:
    for path in source.root.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    moved(source, target)
    assert target.installation_uid() == source.installation_uid()
    assert target.touched("1.2.3") == target.decided_at("1.2.3") == 1_700_000_000
    assert target.oldest_waiting() == 1_700_000_000
    assert {at for at, _ in target.entries("marks", "ris").by_time()} == {1_700_000_000}


def test_a_second_time_changes_nothing(source: Spool, target: Spool) -> None:
    moved(source, target)
    before = {path: path.stat().st_ino for path in target.root.rglob("*") if path.is_file()}
    moved(source, target)
    after = {path: path.stat().st_ino for path in target.root.rglob("*") if path.is_file()}
    assert {path.name for path in before if before[path] != after[path]} <= {"INSTALLATION"}


class CrashError(Exception):
    pass


WRITES = ("keep", "write_assessment", "write_decision", "file", "bury", "write", "sync")
TIMES = ("installed", "received", "decided", "written")


def crash_at_write(target: object, at: int, names: tuple[str, ...] = WRITES) -> None:
    """Have the write with the number ``at`` raise CrashError, as a crash before it."""
    writes = count(1)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(writes) == at:
                raise CrashError
            return real(*arguments, **named)

        return call

    for name in names:
        setattr(target, name, counted(getattr(target, name)))


def test_it_goes_on_after_a_crash_at_any_write(source: Spool, tmp_path: Path) -> None:
    for crash_at in count(1):
        target = Spool.open(tmp_path / f"target-{crash_at}")
        crash_at_write(target, crash_at)
        try:
            moved(source, target)
        except CrashError:
            moved(source, Spool.open(target.root))
            assert all_differences(source, Spool.open(target.root)) == []
        else:
            break
    assert crash_at > 20


def test_times_are_set_after_a_crash_before_any_of_them(source: Spool, tmp_path: Path) -> None:
    for path in source.root.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    for crash_at in count(1):
        target = Spool.open(tmp_path / f"target-{crash_at}")
        times = FileBackdating(target)
        crash_at_write(times, crash_at, TIMES)
        try:
            move(source, MoveTarget(target, times), lambda _: None)
        except CrashError:
            moved(source, target)
            assert all_differences(source, target) == []
            assert target.stored_object(TAGGED).received_at() == 1_700_000_000  # type: ignore[union-attr]
        else:
            break
    assert crash_at > 5


def test_what_changed_in_the_source_meanwhile_is_followed(source: Spool, target: Spool) -> None:
    moved(source, target)
    tag(source, WAITING, "r1")
    source.requeue(DEAD)
    tag(source, DEAD, "r1")
    with source.study_lock("1.2.3"):
        source.take_back(SECOND)
        source.study_entries("1.2.3").append("reading.jsonl", {"act": 3})
        source.study_entries("1.2.3").put("workitem.json", "{}")
    new = an_instance(study="1.2.6", sop="1.2.6.4")
    receive(source, new)
    source.entries("outbox", "ris").remove("0+0+1+1.2.3")
    source.model_switches.set_disabled("weak", False)
    moved(source, target)
    assert all_differences(source, target) == []
    assert set(target.waiting()) == {SECOND, new} and list(target.dead_letters()) == []

    with source.study_lock("1.2.4"):
        source.remove_study("1.2.4")
    source.bury(new, FAILURE)
    moved(source, target)
    assert all_differences(source, target) == []
    assert not target.has_study("1.2.4")


def an_object(spool: Spool) -> None:
    path = spool.filed_path(TAGGED)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def set_time(path: Path) -> None:
    os.utime(path, (1_600_000_000, 1_600_000_000))


def an_assessment(spool: Spool) -> None:
    spool.write_assessment(TAGGED, {"sop_instance_uid": "1.2.3.4", "content_digest": TAGGED.content_digest})


DAMAGE: dict[str, tuple[Callable[[Spool], object], str]] = {
    "a byte of an object": (an_object, "other bytes"),
    "an object's end": (lambda spool: spool.filed_path(TAGGED).write_bytes(b"short"), "not of the same size"),
    "an object": (lambda spool: spool.filed_path(TAGGED).unlink(), "not in both"),
    "a waiting object": (lambda spool: spool.inbox_path(WAITING).unlink(), "in one store alone"),
    "an assessment": (an_assessment, "not the same assessments"),
    "a decision": (lambda spool: spool.write_decision("1.2.3", {"revision": "r3"}), "not the same decisions"),
    "a record": (lambda spool: spool.study_entries("1.2.3").append("reading.jsonl", {}), "reading.jsonl differs"),
    "a delivery": (
        lambda spool: spool.study_entries("1.2.3", "deliveries").remove("ris+1.sent"),
        "deliveries/ris.1.sent differs",
    ),
    "an entry": (lambda spool: spool.entries("preferences").put("abc.json", ""), "preferences/abc.json differs"),
    "an entry more": (lambda spool: spool.entries("preferences").put("b.json", ""), "preferences/b.json differs"),
    "a dead letter": (lambda spool: spool.requeue(DEAD), "dead letter"),
    "when an object came": (lambda spool: set_time(spool.filed_path(TAGGED)), "not received at the same time"),
    "when a waiting object came": (lambda spool: set_time(spool.inbox_path(WAITING)), "not received at the same time"),
    "when it was decided": (
        lambda spool: set_time(spool.study_folder("1.2.3") / DECISION),
        "not decided at the same time",
    ),
    "when an entry was written": (
        lambda spool: set_time(spool.root / "marks" / "ris" / "1.2.9"),
        "marks/ris/1.2.9 is of another time",
    ),
    "a switch": (lambda spool: spool.model_switches.set_disabled("weak", False), "kill switches"),
    "a study": (lambda spool: spool.remove_study("1.2.3"), "in one store alone"),
    "the installation": (
        lambda spool: (spool.root / "INSTALLATION").write_text("2.25.1"),
        "UID of the installation",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_difference_is_found(source: Spool, target: Spool, damage: str) -> None:
    moved(source, target)
    change, said = DAMAGE[damage]
    change(target)
    found = all_differences(source, target)
    assert found and any(said in each.replace("+", ".") for each in found), found


def test_a_target_that_was_in_use_is_refused(source: Spool, target: Spool) -> None:
    receive(target, TAGGED)
    tag(target, TAGGED, "another")
    with pytest.raises(MoveError, match="has been in use"):
        moved(source, target)


def test_a_target_with_a_study_that_waits_is_refused(source: Spool, target: Spool) -> None:
    receive(target, an_instance(study="1.2.7", sop="1.2.7.4"))
    with pytest.raises(MoveError, match=r"1\.2\.7 waits in"):
        moved(source, target)


NEW = an_instance(study="1.2.99", sop="1.2.99.4")


def after_it_went_live(target: Spool) -> None:
    receive(target, NEW)
    tag(target, NEW, "r1")


def more_of_a_study(target: Spool) -> None:
    receive(target, another := an_instance(study="1.2.3", sop="1.2.3.9"))
    tag(target, another, "r3")


def of_study(spool: Spool) -> object:
    acts = list(spool.study_entries("1.2.3").records("reading.jsonl"))
    return sorted(spool.objects_of("1.2.3")), spool.study_entries("1.2.3", "deliveries").names(), acts


Use = tuple[Callable[[Spool], object], str, Callable[[Spool], object]]
USE: dict[str, Use] = {
    "an object of a study": (more_of_a_study, r"study 1\.2\.3 ", of_study),
    "a reader's act": (
        lambda spool: spool.study_entries("1.2.3").append("reading.jsonl", {}),
        r"study 1\.2\.3 ",
        of_study,
    ),
    "a delivery": (
        lambda spool: spool.study_entries("1.2.3", "deliveries").put("a.json", ""),
        r"study 1\.2\.3 ",
        of_study,
    ),
    "a message": (
        lambda spool: spool.entries("outbox", "ris").put("0+0+1+1.2.99", b"new"),
        "outbox/ris",
        lambda spool: sorted(spool.entries("outbox", "ris").names()),
    ),
    "a preference": (
        lambda spool: spool.entries("preferences").put("abc.json", "{}"),
        "preferences",
        lambda spool: spool.entries("preferences").get("abc.json"),
    ),
    "a switch": (
        lambda spool: spool.model_switches.set_disabled("another", True),
        "the kill switches of models",
        lambda spool: spool.model_switches.disabled(),
    ),
}


@pytest.mark.parametrize("use", USE)
def test_what_a_target_wrote_itself_stays_as_it_is(source: Spool, target: Spool, use: str) -> None:
    moved(source, target)
    change, said, seen = USE[use]
    change(target)
    before = seen(target)
    source.study_entries("1.2.3").append("reading.jsonl", {"act": 9})  # the source, too, goes on
    source.entries("outbox", "ris").remove("0+0+1+1.2.3")
    source.entries("preferences").put("abc.json", '{"columns": ["age"]}')
    source.model_switches.set_disabled("weak", False)
    with pytest.raises(MoveError, match=f"{said}.* in use"):
        moved(source, target)
    assert seen(target) == before


def test_a_study_that_a_target_received_is_not_removed(source: Spool, target: Spool) -> None:
    moved(source, target)
    after_it_went_live(target)
    with pytest.raises(MoveError, match=r"1\.2\.99"):
        moved(source, target)
    assert target.decision("1.2.99") == {"revision": "r1"} and target.stored_object(NEW) is not None


def test_a_study_that_the_source_removed_and_the_target_changed_is_not_removed(source: Spool, target: Spool) -> None:
    moved(source, target)
    target.study_entries("1.2.3").append("reading.jsonl", {"act": 9})
    with source.study_lock("1.2.3"):
        source.remove_study("1.2.3")
    with pytest.raises(MoveError, match=r"1\.2\.3,"):
        moved(source, target)
    assert target.decision("1.2.3") == {"revision": "r2"}


def test_a_study_that_both_received_is_none_of_the_move(source: Spool, target: Spool) -> None:
    for store in (source, target):
        after_it_went_live(store)
    moved(source, target)
    with source.study_lock("1.2.99"):
        source.remove_study("1.2.99")
    with pytest.raises(MoveError, match=r"1\.2\.99"):
        moved(source, target)
    assert target.has_study("1.2.99")


def test_a_first_move_into_a_store_that_was_in_use_removes_nothing(source: Spool, target: Spool) -> None:
    after_it_went_live(target)
    with pytest.raises(MoveError, match=r"1\.2\.99"):
        moved(source, target)
    assert list(target.study_uids()) == ["1.2.99"]


def test_a_removal_that_a_crash_ended_is_completed(source: Spool, target: Spool) -> None:
    moved(source, target)
    with source.study_lock("1.2.3"):
        source.remove_study("1.2.3")
    remove = target.remove_study
    target.remove_study = crash  # type: ignore[method-assign]
    with pytest.raises(CrashError):
        moved(source, target)
    target.remove_study = remove  # type: ignore[method-assign]
    moved(source, target)
    assert all_differences(source, target) == [] and not target.has_study("1.2.3")


def test_a_removal_that_ended_before_its_note_was_forgotten_stands_in_no_way(source: Spool, target: Spool) -> None:
    moved(source, target)
    with source.study_lock("1.2.3"):
        source.remove_study("1.2.3")
    remove = target.remove_study

    def removes_and_crashes(uid: str) -> None:
        remove(uid)
        raise CrashError

    target.remove_study = removes_and_crashes  # type: ignore[method-assign]
    with pytest.raises(CrashError):
        moved(source, target)
    receive(source, TAGGED)  # its sender sent it again
    tag(source, TAGGED, "r1")
    moved(source, target)
    assert all_differences(source, target) == []


def test_a_study_that_the_source_removed_before_it_was_copied_whole_is_not_removed(
    source: Spool, target: Spool
) -> None:
    """Nothing proves that what is there is the move's part, and not what the target received since."""
    times = FileBackdating(target)
    times.decided = crash  # type: ignore[method-assign]
    with pytest.raises(CrashError):
        move(source, MoveTarget(target, times), lambda _: None)
    more_of_a_study(target)
    with source.study_lock("1.2.3"):
        source.remove_study("1.2.3")
    with pytest.raises(MoveError, match=r"study 1\.2\.3, which the source does not have"):
        moved(source, target)
    assert target.decision("1.2.3") == {"revision": "r3"}


def test_a_study_that_was_copied_in_part_and_received_more_since_is_refused(source: Spool, target: Spool) -> None:
    target.write_decision = crash  # type: ignore[method-assign]
    with pytest.raises(CrashError):
        moved(source, target)
    live = Spool.open(target.root)
    receive(live, another := an_instance(study="1.2.3", sop="1.2.3.9"))
    with live.study_lock("1.2.3"):
        live.study_entries("1.2.3").put("workitem.json", "of its own")
    with pytest.raises(MoveError, match=r"1\.2\.3 has 1 objects"):
        moved(source, live)
    assert live.waits(another) and live.study_entries("1.2.3").get("workitem.json") == b"of its own"


def test_a_dead_letter_of_a_target_that_went_live_stays_one(source: Spool, target: Spool) -> None:
    moved(source, target)
    with target.study_lock("1.2.4"):
        target.write_decision("1.2.4", {"revision": "r1"})
    target.bury(WAITING, FAILURE)
    with pytest.raises(MoveError, match=r"study 1\.2\.4 .* in use"):
        moved(source, target)
    assert dict(target.dead_letters()) == {DEAD: FAILURE, WAITING: FAILURE}


def crash(*_: object) -> None:
    raise CrashError


def test_a_target_whose_move_has_ended_is_refused_and_left_as_it_is(source: Spool, target: Spool) -> None:
    moved(source, target)
    end(target)
    source.entries("preferences").put("abc.json", "{}")
    with pytest.raises(MoveError, match=r"ended with --finish on \d{4}-\d\d-\d\dT.* into an empty store"):
        moved(source, target)
    assert target.entries("preferences").get("abc.json") == b'{"columns": []}'
    assert target.entries("moving", "studies").names() == []


def test_a_store_that_was_filled_by_a_move_can_be_moved_on(source: Spool, target: Spool, tmp_path: Path) -> None:
    moved(source, target)
    end(target)
    after_it_went_live(target)
    third = Spool.open(tmp_path / "third")
    moved(target, third)
    assert all_differences(target, third) == []


def test_a_store_at_work_is_refused(source: Spool) -> None:
    refuse_at_work(source)
    with source.workers.hold("worker-1"), pytest.raises(MoveError, match="stop all of them"):
        refuse_at_work(source)


def test_the_source_is_not_changed(source: Spool, target: Spool) -> None:
    before = sorted(str(path) for path in source.root.rglob("*"))
    moved(source, target)
    assert sorted(str(path) for path in source.root.rglob("*")) == before


def test_every_place_of_a_study_is_known() -> None:
    """A room that keeps entries of a study at a new place has to name it in ``STUDY_PLACES``."""
    used: set[tuple[str, ...]] = set()
    for path in (Path(__file__).parents[2] / "triage").rglob("*.py"):
        if "spool" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "study_entries":
                assert all(isinstance(word, ast.Constant) for word in node.args[1:]), f"{path}: name it as a constant"
                used.add(tuple(str(ast.literal_eval(word)) for word in node.args[1:]))
    assert used == set(STUDY_PLACES)


def test_a_place_is_named_by_its_words(source: Spool) -> None:
    assert source.entries("marks", "ris").place == Place(("marks", "ris"))
