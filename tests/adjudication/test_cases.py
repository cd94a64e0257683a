"""Cases: who disagrees with what, who may judge it, and how it was chosen."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.support.findings import a_score, scored
from tests.support.redis_server import RedisServer
from tests.support.worklist_page import tagged
from triage.adjudication import acts
from triage.adjudication.acts import (
    CaseRefusedError,
    ImagesChangedError,
    NoCaseError,
    NotYourCaseError,
    Objection,
    Verdict,
    study_cases,
)
from triage.adjudication.cases import DisputeKind
from triage.adjudication.choice import CaseChooser, ChoiceRules, is_drawn
from triage.adjudication.journal import FILE, ChosenBy, Contradicted, case_acts, other_finding
from triage.adjudication.marks import CaseMarks
from triage.decision.records import decision_from
from triage.decision.types import Tag, TriageDecision
from triage.operations.retention import AgeLimits, remove_old
from triage.spool.spool import Spool
from triage.worklist import reader_acts as reading
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act, Marking, Via


@pytest.fixture
def index(redis_server: RedisServer) -> IndexedWorklist:
    return IndexedWorklist(redis_server.client())


def says(who: str, label: int, against: Contradicted = Contradicted.MODEL, finding: str = "", **more: str) -> Objection:
    return Objection(who, 5.0, Via.PAGE, against, finding, label, "why", **more)


def label(spool: Spool, index: IndexedWorklist, study: str, who: str, label: int | None) -> None:
    reading.mark(spool, index, study, Marking(Act.LABEL, 1.0, who, Via.PAGE, label))


def with_finding(spool: Spool, index: IndexedWorklist, number: int = 1) -> TriageDecision:
    return tagged(spool, index, number, Tag.ABNORMAL, results=scored(a_score("lung_opacity", 0.91))["results"])


def test_a_reader_disagrees_another_person_judges_and_a_further_image_opens_it_again(
    spool: Spool, index: IndexedWorklist
) -> None:
    uid = with_finding(spool, index).study_instance_uid
    acts.disagree(spool, uid, says("ann", 0, finding="lung_opacity"))
    (case,) = study_cases(spool, uid)
    assert (case.finding, case.model_label, case.kinds) == ("lung_opacity", 1, (DisputeKind.READER_MODEL,))
    assert case.chosen_by is ChosenBy.DISAGREEMENT and case.title
    assert CaseMarks(spool).opened() == [uid]
    for party in ("ann", "ANN"):  # the same person by another case of letters
        with pytest.raises(NotYourCaseError):
            acts.judge(spool, uid, Verdict(party, 6.0, "lung_opacity", 1, "because", True))
    with pytest.raises(ImagesChangedError):
        acts.judge(spool, uid, Verdict("cleo", 6.0, "lung_opacity", 0, "a skin fold", True, "0" * 64))
    shown = acts.digest_of(acts.counted_images(spool, uid))
    acts.judge(spool, uid, Verdict("cleo", 6.0, "lung_opacity", 0, "a skin fold", True, shown))
    (case,) = study_cases(spool, uid)
    assert case.judgement is not None and (case.judgement.label, case.judgement.blinded) == (0, True)
    assert (CaseMarks(spool).opened(), CaseMarks(spool).judged(9)) == ([], [uid])
    # What was judged is what was seen: with another image that counts it is a case again.
    acts.append_act(spool, uid, acts.CaseAct(acts.CaseActKind.JUDGED, 7.0, "cleo", "lung_opacity", images=()))
    (case,) = study_cases(spool, uid)
    assert case.judgement is None and case.earlier is not None
    CaseChooser(spool, ChoiceRules(), time.time)(decision_from(spool.decision(uid) or {}), False)
    assert CaseMarks(spool).opened() == [uid]


def test_what_contradicts_nothing_is_refused_and_what_was_said_is_taken_back_by_its_reader(
    spool: Spool, index: IndexedWorklist
) -> None:
    uid = with_finding(spool, index).study_instance_uid
    with pytest.raises(CaseRefusedError, match="says the same"):
        acts.disagree(spool, uid, says("ann", 1, finding="lung_opacity"))
    with pytest.raises(CaseRefusedError, match="yourself"):
        acts.disagree(spool, uid, says("ann", 1, Contradicted.READER, reader="Ann"))
    with pytest.raises(reading.ResultChangedError):
        acts.disagree(spool, uid, says("ann", 0, seen="0" * 64))
    with pytest.raises(reading.NotTaggedError):
        acts.disagree(spool, "1.2.3", says("ann", 1))
    assert not (spool.study_folder("1.2.3")).exists()
    first = acts.disagree(spool, uid, says("ann", 0))
    second = acts.disagree(
        spool, uid, says("ben", 0, Contradicted.REPORT, other_finding("  Free   AIR "), title="Free air")
    )
    assert (first.number, second.number, second.finding) == (1, 2, "other:free air")
    assert (first.revision, first.tag) == ((spool.decision(uid) or {})["revision"], "ABNORMAL")
    with pytest.raises(NotYourCaseError):
        acts.withdraw(spool, uid, 1, "ben", 6.0)
    acts.withdraw(spool, uid, 1, "ann", 6.0)
    with pytest.raises(NoCaseError):
        acts.withdraw(spool, uid, 1, "ann", 6.0)
    assert [case.finding for case in study_cases(spool, uid)] == ["other:free air"]
    with pytest.raises(NoCaseError):
        acts.judge(spool, uid, Verdict("cleo", 6.0, "", 0, "because", True))
    assert (spool.study_folder(uid) / FILE).stat().st_mode & 0o077 == 0


def test_labels_are_sides_too_and_readers_disagree_with_each_other(spool: Spool, index: IndexedWorklist) -> None:
    uid = tagged(spool, index, 1, Tag.ABNORMAL).study_instance_uid
    label(spool, index, uid, "ann", 1)
    assert study_cases(spool, uid) == []  # the same as the result
    label(spool, index, uid, "ben", 0)
    (case,) = study_cases(spool, uid)
    assert case.kinds == (DisputeKind.READER_MODEL, DisputeKind.READER_READER)
    assert not case.may_judge("ann") and not case.may_judge("ben") and case.may_judge("cleo")
    label(spool, index, uid, "ben", None)
    assert study_cases(spool, uid) == []


def test_a_random_audit_is_drawn_at_the_first_decision_alone_and_by_the_seed(
    spool: Spool, index: IndexedWorklist
) -> None:
    first, second = (tagged(spool, index, number, Tag.NORMAL) for number in (1, 2))
    everything = CaseChooser(spool, ChoiceRules(1.0, "seed one"), time.time)
    everything(first, True)
    everything(first, True)  # of a run that was killed: no second draw
    everything(second, False)  # its result may have been seen
    assert [each.seed for each in case_acts(spool, first.study_instance_uid)] == ["seed one"]
    assert case_acts(spool, second.study_instance_uid) == []
    (case,) = study_cases(spool, first.study_instance_uid)
    assert (case.chosen_by, case.kinds) == (ChosenBy.RANDOM, ())
    label(spool, index, first.study_instance_uid, "ann", 1)
    (case,) = study_cases(spool, first.study_instance_uid)
    assert (case.chosen_by, case.also) == (ChosenBy.RANDOM, (ChosenBy.DISAGREEMENT,))
    reading.mark(spool, index, first.study_instance_uid, Marking(Act.READ, 1.0, "dora", Via.PAGE))
    assert not study_cases(spool, first.study_instance_uid)[0].may_judge("dora")  # she knows the result
    uids = [f"1.2.{number}" for number in range(4000)]
    drawn = {seed: {uid for uid in uids if is_drawn(uid, seed, 0.1)} for seed in ("a", "b")}
    assert all(300 < len(each) < 500 for each in drawn.values()) and len(drawn["a"] & drawn["b"]) < 100
    assert not any(is_drawn(uid, "a", 0.0) for uid in uids) and all(is_drawn(uid, "a", 1.0) for uid in uids)


def test_a_score_near_its_operating_point_is_uncertain_and_silent_studies_are_no_cases(
    spool: Spool, index: IndexedWorklist
) -> None:
    near = tagged(spool, index, 1, Tag.ABNORMAL, results=scored(a_score("lung_opacity", 0.51))["results"])
    far = with_finding(spool, index, 2)
    choose = CaseChooser(spool, ChoiceRules(uncertain_within=0.02), time.time)
    for each in (near, far):
        choose(each, True)
    (case,) = study_cases(spool, near.study_instance_uid)
    assert case.chosen_by is ChosenBy.UNCERTAINTY
    assert CaseMarks(spool).opened() == [near.study_instance_uid]


def test_retention_waits_for_a_judgement_and_counts_what_goes_unjudged(spool: Spool, index: IndexedWorklist) -> None:
    now = time.time()
    drawn, said, judged = (tagged(spool, index, number, Tag.ABNORMAL) for number in (1, 2, 3))
    uids = [each.study_instance_uid for each in (drawn, said, judged)]
    CaseChooser(spool, ChoiceRules(fraction=1.0, seed="s"), lambda: now)(drawn, True)
    for uid in uids[1:]:
        acts.disagree(spool, uid, replace(says("ann", 0), at=now))
    acts.judge(spool, uids[2], Verdict("cleo", now, "", 0, "normal", True))
    for uid in uids:
        reading.mark(spool, index, uid, Marking(Act.READ, now, "ann", Via.PAGE))
    limits = AgeLimits(now + 40 * 86400, retention_days=30, case_days=90)
    assert remove_old(spool, index, limits)[0] == 1  # the judged one
    assert sorted(spool.study_uids()) == sorted(uids[:2]) and CaseMarks(spool).lapsed() == []
    assert remove_old(spool, index, replace(limits, now=now + 91 * 86400))[0] == 2
    lapsed = {(each.chosen_by, each.of_study, each.since) for each in CaseMarks(spool).lapsed()}
    assert lapsed == {(ChosenBy.RANDOM, True, now), (ChosenBy.DISAGREEMENT, True, now)}
    assert not any(uid in path.read_text(errors="replace") for uid in uids for path in spool.root.rglob("*.jsonl"))


def test_retention_forgets_a_study_with_its_cases(spool: Spool, index: IndexedWorklist) -> None:
    uid = tagged(spool, index, 1, Tag.ABNORMAL).study_instance_uid
    acts.disagree(spool, uid, says("ann", 0))
    reading.mark(spool, index, uid, Marking(Act.READ, 1.0, "ann", Via.PAGE))
    assert remove_old(spool, index, AgeLimits(time.time() + 10 * 86400, 1.0))[0] == 1
    assert not any(path.name == uid for path in spool.root.rglob("*"))
