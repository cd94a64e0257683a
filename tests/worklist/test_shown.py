"""The record of what was shown to whom, and the answer whether the tag was visible before the reading."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.worklist_page import decided, tagged
from triage.decision.records import to_record
from triage.decision.types import Tag, TriageDecision
from triage.operations.explain import explanation
from triage.operations.trace import gather
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_act import Act, Marking, Via
from triage.worklist.reader_acts import mark
from triage.worklist.shown import FILE, ON_STUDY_PAGE, Item, Look, Place, record_shown, shown_of
from triage.worklist.tag_visibility import note_beginning, visibility_of

ROW = (Item.TAG, Item.ORDER)
AT = 2e9


def look(at: float, who: str = "ann", place: Place = Place.STUDY, revision: str = "") -> Look:
    return Look(place, at, who, ROW if place is Place.LIST else ON_STUDY_PAGE, revision)


def read(spool: Spool, index: IndexedWorklist, study: TriageDecision, at: float, who: str, act: Act = Act.READ) -> None:
    label = 1 if act is Act.LABEL else None
    mark(spool, index, study.study_instance_uid, Marking(act, at, who, Via.PAGE, label))


def test_a_line_says_what_was_visible_of_which_result_before_or_after_which_reading(
    spool: Spool, index: IndexedWorklist, study: TriageDecision
) -> None:
    uid = study.study_instance_uid
    with ThreadPoolExecutor(3) as threads:  # a page that asks again and again, and a row that stays on the screen
        list(threads.map(lambda _: record_shown(spool, uid, look(AT)), range(3)))
    assert [record_shown(spool, uid, look(AT + number, place=Place.LIST)) for number in (0, 9999)] == [True, False]
    read(spool, index, study, AT + 100, "ann")
    assert record_shown(spool, uid, look(AT + 101))
    assert record_shown(spool, uid, look(AT + 102, "bob"))
    found = shown_of(spool, uid)
    assert [(each.who, each.place, each.read, each.own_read) for each in found] == [
        ("ann", Place.STUDY, False, False),
        ("ann", Place.LIST, False, False),
        ("ann", Place.STUDY, True, True),
        ("bob", Place.STUDY, True, False),
    ]
    assert {(each.tag, each.urgency, each.priority, each.revision) for each in found} == {
        ("ABNORMAL", "urgent", "HIGH", study.revision)
    }
    page = " ".join(explanation(gather(uid, spool), AT).split())
    assert "SHOWN TO READERS" in page
    assert "ann in the list, before any reading: tag ABNORMAL, order" in page
    assert "ann on the study's page, after the own reading: tag ABNORMAL, urgency urgent, priority HIGH" in page


def test_a_row_of_an_earlier_result_is_recorded_with_the_values_that_it_had(
    spool: Spool, index: IndexedWorklist, study: TriageDecision
) -> None:
    from dataclasses import replace

    uid = study.study_instance_uid
    later = replace(study, tag=Tag.NOT_ASSESSED, revision="d" * 64, sequence=study.sequence + 1)
    with spool.study_lock(uid):
        spool.write_decision(uid, to_record(later))
    assert record_shown(spool, uid, look(AT, place=Place.LIST, revision=study.revision))
    assert record_shown(spool, uid, look(AT, place=Place.LIST, revision=later.revision))
    assert not record_shown(spool, uid, look(AT, place=Place.LIST, revision="e" * 64))  # it never had such a result
    assert not record_shown(spool, "1.2.999", look(AT))
    assert not spool.study_folder("1.2.999").exists()
    assert [each.tag for each in shown_of(spool, uid)] == ["ABNORMAL", "NOT_ASSESSED"]


def test_a_damaged_line_hides_neither_the_others_nor_the_study(spool: Spool, study: TriageDecision) -> None:
    uid = study.study_instance_uid
    record_shown(spool, uid, look(AT))
    with (spool.study_folder(uid) / FILE).open("a") as file:
        file.write('\n{"place": "of a later release"}\nnot JSON\n{"place": "st')
    assert record_shown(spool, uid, look(AT + 100))
    assert len(gather(uid, spool).shown) == 2


@pytest.mark.parametrize(
    ("before", "recorded", "told", "expected"),
    [
        (["ann"], True, False, "yes"),
        (["bob"], True, False, "unknown"),  # who may be the one whom the report names
        ([], True, False, "no"),
        ([], False, False, "unknown"),  # of a time without a record
        ([], True, True, "unknown"),  # the PACS may have shown it
    ],
)
def test_was_the_tag_visible_before_the_reading(
    spool: Spool, index: IndexedWorklist, before: list[str], recorded: bool, told: bool, expected: str
) -> None:
    if recorded:
        note_beginning(spool, 0.0)
        note_beginning(spool, 3e9)  # the next start
    study = tagged(spool, index, 1, Tag.ABNORMAL)
    uid = study.study_instance_uid
    if told:
        (spool.study_folder(uid) / "deliveries").mkdir()
        (spool.study_folder(uid) / "deliveries" / "pacs").touch()
    for who in before:
        record_shown(spool, uid, look(AT, who))
    assert visibility_of(spool, uid, {"ann"}) == "unknown"  # not read yet
    read(spool, index, study, AT + 1, "Dr. Ann of the RIS")
    record_shown(spool, uid, look(AT + 2))
    read(spool, index, study, AT + 3, "ann", Act.LABEL)
    assert visibility_of(spool, uid, {"ann"}) == expected


def test_silence_is_not_visible(spool: Spool, index: IndexedWorklist) -> None:
    from dataclasses import replace

    study = decided(spool, 1, Tag.ABNORMAL)
    uid = study.study_instance_uid
    silent = replace(study, silent=True)
    with spool.study_lock(uid):
        (spool.study_folder(uid) / "history.jsonl").unlink()
        spool.write_decision(uid, to_record(silent))
    read(spool, index, silent, AT, "ann")
    assert visibility_of(spool, uid, {"ann"}) == "no"
