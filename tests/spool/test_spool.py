"""The spool on a real file system."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import an_instance
from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.runtime.durable import append_durably, write_durably
from triage.runtime.file_lock import file_lock
from triage.spool.errors import SpoolError
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool


def receive(spool: Spool, instance: ReceivedInstance, content: bytes = b"object") -> bool:
    part = spool.new_part()
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        return spool.receive(part, file.fileno(), instance)


def test_a_new_spool_is_private_and_has_a_version(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "a" / "spool")
    assert stat.S_IMODE(spool.root.stat().st_mode) == 0o700
    assert (spool.root / "VERSION").read_text() == "1\n"
    Spool.open(spool.root)


def test_a_spool_of_another_version_is_refused(spool: Spool) -> None:
    (spool.root / "VERSION").write_text("2\n")
    with pytest.raises(SpoolError, match="version 2"):
        Spool.open(spool.root)


def test_a_spool_that_others_can_read_is_refused(spool: Spool) -> None:
    spool.root.chmod(0o755)
    with pytest.raises(SpoolError, match="chmod 0700"):
        Spool.open(spool.root)


def test_a_folder_with_other_things_is_not_made_a_spool(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(SpoolError, match="neither empty nor a spool"):
        Spool.open(tmp_path)


@pytest.mark.parametrize("uid", ["1", "1.2.840.10008.1.1", "2.25." + "9" * 39, "1.02.3", "1." * 31 + "12"])
def test_uids_that_are_accepted(uid: str) -> None:
    assert valid_uid(uid) == uid


@pytest.mark.parametrize(
    "uid",
    ["", ".", "..", "1..2", "1.2.", ".1", "../../etc/passwd", "1/2", "1.2\n", "1.2\0", "1.a", "1+2", "1" * 65, "１.２"],
)
def test_uids_that_must_not_touch_a_path(uid: str) -> None:
    with pytest.raises(InvalidUIDError):
        valid_uid(uid)
    with pytest.raises(InvalidUIDError):
        an_instance(study=uid)


def test_a_key_names_its_instance() -> None:
    instance = an_instance()
    assert ReceivedInstance.from_key(instance.key) == instance
    for wrong in ("", "1.2+1.3", "1.2+1.3+zz", "a+b+c", instance.key + "+1"):
        with pytest.raises(ValueError, match="not a"):
            ReceivedInstance.from_key(wrong)


def test_a_received_object_waits_until_it_is_filed(spool: Spool) -> None:
    instance = an_instance()
    assert receive(spool, instance, b"bytes")
    assert list(spool.waiting()) == [instance]
    assert spool.inbox_path(instance).read_bytes() == b"bytes"
    spool.file(instance)
    assert list(spool.waiting()) == []
    assert spool.filed_path(instance).read_bytes() == b"bytes"
    assert spool.find(instance) == spool.filed_path(instance)
    spool.file(instance)  # filing twice, as after a crash, is nothing
    assert list(spool.incoming.iterdir()) == []


def test_the_same_content_is_received_once_wherever_it_lies(spool: Spool) -> None:
    instance = an_instance()
    assert receive(spool, instance)
    assert not receive(spool, instance)
    spool.file(instance)
    assert not receive(spool, instance)
    assert list(spool.waiting()) == []
    assert list(spool.incoming.iterdir()) == []


def test_other_content_under_one_uid_is_kept_beside_the_old(spool: Spool) -> None:
    receive(spool, an_instance(content=b"1"))
    receive(spool, an_instance(content=b"2"))
    assert len(list(spool.waiting())) == 2


def test_nothing_enters_the_inbox_before_it_is_on_the_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda self, to: (order.append("rename"), rename(self, to))[1])
    receive(spool, an_instance())
    assert order == ["fsync", "rename", "fsync"]


def test_filing_what_was_never_received_is_an_error(spool: Spool) -> None:
    with pytest.raises(FileNotFoundError):
        spool.file(an_instance())


def test_assessments_and_decisions_are_read_back(spool: Spool) -> None:
    first, second = an_instance(content=b"1"), an_instance(content=b"2")
    spool.write_assessment(first, {"n": 1})
    spool.write_assessment(second, {"n": 2})
    spool.write_assessment(second, {"n": 3})
    assert sorted(a["n"] for a in spool.assessments("1.2.3")) == [1, 3]
    assert spool.decision("1.2.3") is None
    spool.write_decision("1.2.3", {"tag": "a"})
    spool.write_decision("1.2.3", {"tag": "b"})
    assert spool.decision("1.2.3") == {"tag": "b"}
    assert spool.history("1.2.3") == [{"tag": "a"}, {"tag": "b"}]
    assert list(spool.decisions()) == [{"tag": "b"}]
    assert spool.assessments("9.9") == []


def test_a_history_line_cut_by_a_crash_is_passed_over(spool: Spool) -> None:
    spool.write_decision("1.2.3", {"tag": "a"})
    with (spool.study_folder("1.2.3") / "history.jsonl").open("a") as history:
        history.write('\n{"tag": "b')
    spool.write_decision("1.2.3", {"tag": "c"})
    assert spool.history("1.2.3") == [{"tag": "a"}, {"tag": "c"}]


def test_a_dead_letter_is_seen_and_requeued(spool: Spool) -> None:
    instance = an_instance()
    receive(spool, instance)
    spool.bury(instance, {"error": "x"})
    assert list(spool.waiting()) == []
    assert list(spool.dead_letters()) == [(instance, {"error": "x"})]
    spool.requeue(instance)
    assert list(spool.waiting()) == [instance]
    assert list(spool.dead_letters()) == []
    with pytest.raises(FileNotFoundError):
        spool.requeue(instance)


def test_a_study_is_locked_for_one_at_a_time(spool: Spool) -> None:
    inside = threading.Event()
    entered_meanwhile: list[bool] = []

    def second() -> None:
        with spool.study_lock("1.2.3"):
            inside.set()

    with spool.study_lock("1.2.3"):
        thread = threading.Thread(target=second)
        thread.start()
        entered_meanwhile.append(inside.wait(0.2))
    thread.join(30)
    assert entered_meanwhile == [False]
    assert inside.is_set()


def test_a_worker_is_alive_exactly_while_it_holds_its_lock(spool: Spool) -> None:
    assert not spool.workers.is_alive("w")
    with spool.workers.hold("w"):
        assert spool.workers.is_alive("w")
        with pytest.raises(BlockingIOError), spool.workers.hold("w"):
            pass
    assert not spool.workers.is_alive("w")


def test_a_worker_that_ends_in_trouble_leaves_no_lock_and_one_that_is_killed_does(spool: Spool) -> None:
    with pytest.raises(RuntimeError), spool.workers.hold("w"):
        assert not spool.workers.has_died("w")
        raise RuntimeError
    assert not spool.workers.has_died("w")
    (spool.root / "locks" / "killed").touch()
    assert spool.workers.has_died("killed")
    assert not spool.workers.is_alive("killed")
    with spool.workers.hold("killed"):
        assert not spool.workers.has_died("killed")


def test_a_study_that_is_removed_while_others_wait_for_its_lock_stays_locked_for_one_at_a_time(spool: Spool) -> None:
    spool.write_decision("1.2.3", {"tag": "a"})
    inside: list[int] = []
    most: list[int] = []

    def hold() -> None:
        with spool.study_lock("1.2.3"):
            inside.append(1)
            most.append(len(inside))
            spool.write_decision("1.2.3", {"tag": "b"})
            inside.pop()

    waiting = [threading.Thread(target=hold) for _ in range(8)]
    with spool.study_lock("1.2.3"):
        for thread in waiting[:4]:
            thread.start()
        spool.remove_study("1.2.3")
        for thread in waiting[4:]:  # they make the folder and its lock anew
            thread.start()
    for thread in waiting:
        thread.join(30)
    assert most == [1] * 8
    assert len(spool.history("1.2.3")) == 8


REMOVAL = """
import sys
from pathlib import Path

from triage.spool.spool import Spool

spool = Spool.open(Path(sys.argv[1]))
with spool.study_lock("1.2.3"):
    spool.remove_study("1.2.3")
"""


def removed_by_another_process(spool: Spool) -> None:
    subprocess.run([sys.executable, "-c", REMOVAL, str(spool.root)], check=True, timeout=60)


def at_a_call(
    monkeypatch: pytest.MonkeyPatch, when: str, owner: Any, name: str, deed: Callable[[], None], times: int
) -> None:
    """Do ``deed`` right before or after each of the next ``times`` calls of a system call, whether it raises or not."""
    original, left = getattr(owner, name), [None] * times

    def meddled_with(*arguments: Any, **named: Any) -> Any:
        due = bool(left and left.pop() is None)
        if due and when == "before":
            deed()
        try:
            return original(*arguments, **named)
        finally:
            if due and when == "after":
                deed()

    monkeypatch.setattr(owner, name, meddled_with)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("when", "owner", "name"),
    [
        ("before", os, "mkdir"),  # nothing has been looked at yet
        ("after", os, "mkdir"),  # the folder was there, or is made, and is to be looked at or opened
        ("before", os, "open"),  # nobody looks at it any more
        ("after", os, "open"),  # the lock is a file without a name
        ("before", fcntl, "flock"),
    ],
)
@pytest.mark.parametrize("existed", [True, False])
def test_a_study_that_is_removed_while_its_lock_is_taken_is_locked_all_the_same(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, when: str, owner: Any, name: str, times: int, existed: bool
) -> None:
    if existed:
        spool.write_decision("1.2.3", {"tag": "a"})
    with monkeypatch.context() as patching:
        at_a_call(patching, when, owner, name, lambda: removed_by_another_process(spool), times)
        stack = ExitStack()
        stack.enter_context(spool.study_lock("1.2.3"))
    with stack:
        assert spool.decision("1.2.3") is None
        with pytest.raises(BlockingIOError), file_lock(spool.study_folder("1.2.3") / ".lock", blocking=False):
            raise AssertionError("two have the study")
        spool.write_decision("1.2.3", {"tag": "b"})
    assert spool.decision("1.2.3") == {"tag": "b"}


def test_a_lock_that_cannot_be_made_is_an_error_and_not_tried_for_ever(spool: Spool) -> None:
    folder = spool.study_folder("1.2.3")
    folder.parent.mkdir()
    folder.symlink_to("nowhere")
    with pytest.raises(FileExistsError), spool.study_lock("1.2.3"):
        raise AssertionError("there is no folder")


def test_the_kill_switch_is_a_file(spool: Spool) -> None:
    spool.model_switches.set_disabled("rsna-adult", True)
    assert Spool.open(spool.root).model_switches.disabled() == {"rsna-adult"}
    spool.model_switches.set_disabled("rsna-adult", False)
    spool.model_switches.set_disabled("rsna-adult", False)
    assert spool.model_switches.disabled() == frozenset()
    with pytest.raises(ValueError, match="not a name"):
        spool.model_switches.set_disabled("../x", True)


def test_unparsable_objects_are_kept_with_the_reason(spool: Spool) -> None:
    part = spool.new_part()
    part.write_bytes(b"garbage")
    kept = spool.quarantine(part, "no Study Instance UID")
    assert kept.read_bytes() == b"garbage"
    assert "no Study Instance UID" in kept.with_suffix(".json").read_text()


def test_usage_is_that_of_the_file_system(spool: Spool) -> None:
    usage = spool.usage()
    assert 0 < usage.free_bytes < usage.total_bytes
    assert 0 <= usage.used_fraction <= 1


def test_what_is_written_durably_outside_the_spool_is_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_durably(path, "first\n")
    write_durably(path, "second\n")
    append_durably(tmp_path / "lines", "one\n")
    append_durably(tmp_path / "lines", "two\n")
    assert (path.read_text(), (tmp_path / "lines").read_text()) == ("second\n", "one\ntwo\n")
    assert path.stat().st_mode & 0o077 == 0
    assert {entry.name for entry in tmp_path.iterdir()} == {"record.json", "lines"}


def test_a_file_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / ".lock", blocking=False),
        pytest.raises(BlockingIOError),
        file_lock(tmp_path / ".lock", blocking=False),
    ):
        pass
    with file_lock(tmp_path / ".lock", blocking=False):
        pass
