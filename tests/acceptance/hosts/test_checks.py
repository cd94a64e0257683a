"""The checks of the trial of three hosts fail on what they are for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.acceptance.hosts import checks, costs
from tests.acceptance.hosts.bounds import DATABASE, LEADER_S, SILENCE_S, Outage, WayCut
from tests.acceptance.hosts.checks import Verdict
from tests.acceptance.hosts.objects import LATERAL, Outgoing, studies
from tests.acceptance.hosts.pacs import Results
from tests.acceptance.hosts.watches import LeaderWatch, WorkWatch
from triage.spool.instance import ReceivedInstance

STUDY, OTHER = "2.25.1", "2.25.2"
SAID = {"0": {"tag": "NORMAL"}}


def _message(control_id: str, tag: str = "NORMAL", more: str = "", patient: str = "PHANTOM-0") -> bytes:
    head = f"MSH|^~\\&|CXR_TRIAGE|H|RIS|H|20260101||ORU^R01|{control_id}|P|2.5.1\rPID|1||{patient}^^^H^MR||ROE\r"
    return f"{head}OBX|1|CWE|tag^Tag||{tag}^words\rOBX|2|ST|110180^UID^DCM||{STUDY}{more}\r".encode()


def _objects(study: str = STUDY, *, is_read: bool = False) -> list[Outgoing]:
    return [Outgoing(ReceivedInstance(study, "2.25.9", "ab" * 32), "0", b"", "PHANTOM-0", is_read)]


def _delivered(*messages: bytes, returned: frozenset[str] = frozenset()) -> list[str]:
    results, verdict = Results(), Verdict()
    for each in messages:
        results.message(each)
    checks._delivered(results, {STUDY: _objects()}, SAID, returned, verdict)
    return verdict.faults


def test_a_result_that_is_told_once_or_again_is_right() -> None:
    assert _delivered(_message("1")) == []
    assert _delivered(_message("1", "ABNORMAL"), _message("2"), _message("2")) == []


def test_other_bytes_under_one_name_an_old_result_last_and_none_are_told() -> None:
    (fault,) = _delivered(_message("1"), _message("1", more=" "))
    assert "delivered with different bytes: ['1']" in fault
    (fault,) = _delivered(_message("1"), _message("2", "ABNORMAL"))
    assert "another tag than they have" in fault
    assert any("no HL7 message" in each for each in _delivered())


def test_a_study_that_came_again_is_told_at_a_new_time_under_the_same_name() -> None:
    assert _delivered(_message("1"), _message("1", more=" "), returned=frozenset({STUDY})) == []
    assert _delivered(_message("1"), _message("1", more=" "), returned=frozenset({OTHER}))


def test_a_result_of_another_patient_or_of_none_is_told() -> None:
    for patient in ("", "PHANTOM-1"):
        (fault,) = _delivered(_message("1", patient=patient), _message("2"))
        assert "names another patient, or none" in fault


def test_a_message_that_comes_again_is_no_new_one() -> None:
    results = Results()
    results.message(_message("1"))
    told = results.told_at[STUDY]
    results.message(_message("1"))
    assert results.told_at[STUDY] == told
    assert len(results.sendings["1"]) == 2 and results.studies_of_messages[STUDY] == {"1"}


class _Store:
    """A store with as many decisions of each study."""

    def __init__(self, **_: object) -> None:
        self.decisions, self.there = 1, set[str]()

    def history(self, _: str) -> list[dict[str, Any]]:
        return [{}] * self.decisions

    def has_study(self, study: str) -> bool:
        return study in self.there


def test_a_result_that_was_built_twice_is_told() -> None:
    results, store = Results(), _Store()
    for control_id in ("1", "2", "2"):
        results.message(_message(control_id))
    for decisions, faults in ((2, 0), (1, 1)):
        store.decisions, verdict = decisions, Verdict()
        checks._told_as_often_as_decided(store, results, {STUDY: _objects()}, verdict)  # type: ignore[arg-type]
        assert len(verdict.faults) == faults


def _ris(**other: Any) -> Any:
    right = {"left": [], "confused": {OTHER}, "answers": {"AA": 1, "AE": 1, "ConnectionResetError": 2}, "surprises": []}
    return SimpleNamespace(**(right | other))


def _removed(ris: Any, *there: str) -> list[str]:
    store, verdict = _Store(), Verdict()
    store.there = set(there)
    checks._read_and_removed(store, ris, {STUDY: _objects(is_read=True)}, verdict, 0.0)  # type: ignore[arg-type]
    return verdict.faults


def test_studies_that_were_read_have_to_go() -> None:
    assert _removed(_ris()) == []
    (fault,) = _removed(_ris(), STUDY)
    assert "1 studies were read, and are not removed" in fault


def test_reports_have_to_be_answered_as_documented() -> None:
    for wrong in ({"left": [STUDY]}, {"surprises": ["AA"]}, {"answers": {"CE": 1}}, {"confused": set()}):
        assert len(_removed(_ris(**wrong))) == 1


def test_a_trial_reads_some_studies_of_one_image_and_confuses_others() -> None:
    sent = list(studies(7, 40))
    read = [study for study in sent if study[0].is_read]
    confused = [study for study in sent if study[0].is_confused]
    assert read and confused and not [study for study in read if study in confused]
    assert {len(study) for study in (*read, *confused)} == {1} and {len(study) for study in sent} == {1, 2}


def test_some_are_read_by_a_report_that_comes_before_them() -> None:
    sent = list(studies(7, 200))
    early = [number for number, study in enumerate(sent) if study[0].is_early]
    assert early and min(early) > 20 and all(sent[number][0].is_read for number in early)
    assert LATERAL not in {sent[number][0].kind for number in early}


def _costs(
    *, gap_s: float = 0.0, is_open: bool = False, silence_s: float = 0.0, outages: tuple[Outage, ...] = (), **other: Any
) -> list[str]:
    """The faults of a trial with one time without a deliverer and one silence, both from 100 s on."""
    leaders, verdict = LeaderWatch(lambda _: True), Verdict()
    leaders.gaps["deliver"].append((100.0, 100.0 + gap_s))
    if is_open:
        leaders.gone["deliver"] = (100.0, 100.0 + gap_s)
    trial = SimpleNamespace(began=0.0, outages=list(outages), way_cuts=other.get("way_cuts", []))
    pacs = SimpleNamespace(every_s=1.0, silences=lambda: [(100.0, 100.0 + silence_s)])
    watched = costs.Watched(leaders, WorkWatch(None, None))  # type: ignore[arg-type]
    costs.judge_costs(trial, pacs, other.get("results", Results()), watched, verdict)  # type: ignore[arg-type]
    return verdict.faults


def test_costs_within_their_bounds_are_right() -> None:
    assert _costs(gap_s=LEADER_S, silence_s=SILENCE_S) == []


def test_a_long_time_without_a_leader_is_a_fault_but_for_an_outage() -> None:
    (fault,) = _costs(gap_s=LEADER_S + 1)
    assert "role deliver" in fault
    assert _costs(gap_s=LEADER_S + 1, outages=(Outage(frozenset({DATABASE}), 95.0, 105.0),)) == []
    assert len(_costs(gap_s=LEADER_S + 1, outages=(Outage(frozenset({"Redis"}), 95.0, 105.0),))) == 1


def test_a_time_without_a_leader_that_does_not_end_is_a_fault() -> None:
    (fault,) = _costs(gap_s=1.0, is_open=True)
    assert "nothing leads at the end" in fault


def test_a_long_silence_is_a_fault_but_for_an_outage() -> None:
    (fault,) = _costs(silence_s=SILENCE_S + 2)
    assert "nothing was acknowledged" in fault
    assert _costs(silence_s=SILENCE_S + 2, outages=(Outage(frozenset({DATABASE}), 95.0, 105.0),)) == []


def test_a_message_that_is_sent_again_and_again_is_a_fault() -> None:
    results = Results()
    results.sendings["1"] = [90.0, 120.0, 125.0, 130.0]
    (fault,) = _costs(results=results)  # the time without a deliverer is a cause of one
    assert "sent again without a cause: ['1']" in fault


def test_a_way_that_was_cut_without_a_look_is_a_fault() -> None:
    assert _costs(way_cuts=[WayCut("a", DATABASE, 100.0, 140.0)])
