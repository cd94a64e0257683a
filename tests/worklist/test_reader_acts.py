"""The acts of readers: a press is one act, a changed result asks again, and an undo takes back one act alone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from triage.decision.records import to_record
from triage.decision.types import TriageDecision
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_act import Act, Marking, Via, leaving_act, readers_of
from triage.worklist.reader_acts import NoSuchActError, ResultChangedError, acts_of, mark, undo

PRESS, OTHER = "a" * 16, "b" * 16


def reading(who: str = "ann", press: str = PRESS, seen: str = "") -> Marking:
    return Marking(Act.READ, time.time(), who, Via.PAGE, source=press, seen=seen)


def listed(index: IndexedWorklist) -> int:
    return len(index.page(None, 10, time.time()).entries)


def test_a_press_is_one_act_however_often_and_by_how_many_it_comes_at_once(
    spool: Spool, index: IndexedWorklist, study: TriageDecision
) -> None:
    uid = study.study_instance_uid
    who = ["ann", "ann", "ann", "bob"]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: mark(spool, index, uid, reading(name, seen=study.revision)), who))
    acts = acts_of(spool, uid)
    assert sorted(each.who for each in acts) == ["ann", "bob"]  # both have read it; each said so once
    assert {each.who for each in readers_of(acts, study.revision)} == {"ann", "bob"}
    assert listed(index) == 0
    index.unread(uid)  # Redis lost it before the answer came, and the page asks again
    mark(spool, index, uid, reading())
    assert (listed(index), len(acts_of(spool, uid))) == (0, 2)


def test_another_result_than_the_one_that_was_shown_is_not_marked(
    spool: Spool, index: IndexedWorklist, study: TriageDecision
) -> None:
    uid = study.study_instance_uid
    changed = replace(study, revision="d" * 64, tagged_at=study.tagged_at + 1, sequence=study.sequence + 1)
    with spool.study_lock(uid):
        spool.write_decision(uid, to_record(changed))
    index.put(changed)
    with pytest.raises(ResultChangedError):
        mark(spool, index, uid, reading(seen=study.revision))
    assert acts_of(spool, uid) == []
    assert listed(index) == 1
    mark(spool, index, uid, reading(seen=changed.revision))
    assert listed(index) == 0


@pytest.mark.parametrize("first", ["ann", "bob"])
def test_an_undo_takes_back_its_own_reading_and_no_other(
    spool: Spool, index: IndexedWorklist, study: TriageDecision, first: str
) -> None:
    uid = study.study_instance_uid
    presses = {"ann": PRESS, "bob": OTHER}
    for who in (first, *(presses.keys() - {first})):
        mark(spool, index, uid, reading(who, presses[who]))
    with pytest.raises(NoSuchActError):
        undo(spool, index, uid, reading("ann", OTHER))  # bob's
    for _ in range(2):
        undo(spool, index, uid, reading("ann", PRESS))
    assert [each.who for each in readers_of(acts_of(spool, uid), study.revision)] == ["bob"]
    assert (listed(index), len(acts_of(spool, uid))) == (0, 3)
    undo(spool, index, uid, reading("bob", OTHER))
    assert leaving_act(acts_of(spool, uid)) is None
    assert listed(index) == 1


def test_an_undo_of_a_new_result_s_reading_leaves_the_study_on_the_list_although_the_old_one_was_read(
    spool: Spool, index: IndexedWorklist, study: TriageDecision
) -> None:
    uid = study.study_instance_uid
    mark(spool, index, uid, reading("bob", OTHER))
    changed = replace(study, revision="d" * 64, tagged_at=study.tagged_at + 1, sequence=study.sequence + 1)
    with spool.study_lock(uid):
        spool.write_decision(uid, to_record(changed))
    index.put(changed)
    mark(spool, index, uid, reading())
    undo(spool, index, uid, reading())
    assert listed(index) == 1
