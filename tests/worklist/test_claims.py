"""Claims of workitems by readers of our page, by the rules of PS3.4 annex CC."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.worklist_page import tagged
from triage.cli import triage as cli
from triage.decision.types import Tag
from triage.operations.explain import explanation
from triage.operations.trace import gather
from triage.spool.spool import Spool
from triage.worklist import claims as rooms
from triage.worklist import workitem_state
from triage.worklist.claims import (
    Claims,
    ClaimVia,
    Held,
    HeldError,
    NotClaimedError,
    Person,
    claims_of,
    held,
    note_claim,
)
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_act import Act, Marking, Via
from triage.worklist.reader_acts import mark
from triage.worklist.workitem_store import Workitems, read_state, workitem_uid

ANN, BOB, EVE = (Person(name, 2e9, admin=name == "bob") for name in ("ann", "bob", "eve"))
HOSTILE = 'R^\\=\n<b>"עברית"</b>' + "x" * 90


@pytest.fixture
def study(spool: Spool, index: IndexedWorklist) -> str:
    return tagged(spool, index, 1, Tag.ABNORMAL).study_instance_uid


@pytest.fixture
def claims(spool: Spool) -> Claims:
    return Claims(spool, Workitems(spool, "CXR triage", low=False))


def by_workstation(claims: Claims, study: str, state: str, transaction_uid: str) -> None:
    """Change the state as another system does over UPS-RS."""

    def step(before: workitem_state.WorkitemState, raised: int) -> workitem_state.WorkitemState:
        after = workitem_state.change(before, state, transaction_uid, 2e9, raised)
        note_claim(claims.spool, study, workitem_uid(study, before.generation), transaction_uid, Person("CAD1", 2e9))
        return after

    claims.workitems.change_newest(study, step)


def test_of_many_who_claim_at_once_one_holds_it(spool: Spool, claims: Claims, study: str) -> None:
    def attempt(name: str) -> Held | None:
        try:
            return claims.claim(study, Person(name, 2e9))
        except HeldError as error:
            return error.held

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(attempt, ["ann", "bob", "ann", "eve"]))
    (claim,) = found
    assert claim is not None
    assert held(spool, study) == claim
    assert [each.act for each in claims_of(spool, study)] == ["claimed"]
    shown = claims.workitems.current(study)
    assert shown is not None
    assert (shown.ProcedureStepState, "TransactionUID" in shown) == ("IN PROGRESS", False)
    performed = shown.UnifiedProcedureStepPerformedProcedureSequence[0]
    assert performed.ActualHumanPerformersSequence[0].HumanPerformerName == claim.by


def test_a_reading_by_its_owner_completes_it_and_by_another_does_not(claims: Claims, study: str) -> None:
    claims.claim(study, ANN)
    assert claims.complete(study, BOB) == Held("ann", ClaimVia.PAGE, 2e9)
    assert claims.complete(study, ANN) is None
    state = read_state(claims.spool, study)
    assert (state.state, state.generation) == ("COMPLETED", 1)
    with pytest.raises(NotClaimedError):
        claims.claim(study, ANN)
    claims.reopen(study)  # it is put back on the list
    claims.reopen(study)
    shown = claims.workitems.current(study)
    assert shown is not None
    assert shown.ProcedureStepState == "SCHEDULED"
    assert shown.ReplacedProcedureStepSequence[0].ReferencedSOPInstanceUID == workitem_uid(study, 1)


def test_only_its_owner_or_an_admin_ends_a_claim_and_a_new_workitem_replaces_it(claims: Claims, study: str) -> None:
    with pytest.raises(NotClaimedError):
        claims.release(study, ANN, "nothing to end")
    for number, person in enumerate((ANN, BOB), 1):
        claims.claim(study, ANN)
        with pytest.raises(HeldError, match="only its owner or an admin"):
            claims.release(study, EVE, "mine now")
        assert claims.release(study, person, "called away") is None
        ended, now = claims.workitems.get(workitem_uid(study, number)), claims.workitems.current(study)
        assert ended is not None
        assert now is not None
        progress = ended.ProcedureStepProgressInformationSequence[0]
        assert (ended.ProcedureStepState, progress.ReasonForCancellation) == ("CANCELED", "called away")
        assert progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"
        assert (now.ProcedureStepState, now.SOPInstanceUID) == ("SCHEDULED", workitem_uid(study, number + 1))
        assert now.ReplacedProcedureStepSequence[0].ReferencedSOPInstanceUID == workitem_uid(study, number)
    page = " ".join(explanation(gather(study, claims.spool), 2e9).split())
    assert "released by bob, on the page: called away" in page


def test_a_claim_of_a_study_that_was_read_is_ended_and_not_replaced(
    index: IndexedWorklist, claims: Claims, study: str
) -> None:
    claims.claim(study, ANN)
    mark(claims.spool, index, study, Marking(Act.READ, 2e9, "bob", Via.PAGE))
    claims.release(study, ANN, "read by bob")
    state = read_state(claims.spool, study)
    assert (state.state, state.generation) == ("CANCELED", 1)


def test_a_workstation_s_claim_is_shown_and_never_taken_over(claims: Claims, study: str) -> None:
    by_workstation(claims, study, "IN PROGRESS", "1.2.3.4")
    assert held(claims.spool, study) == Held("CAD1", ClaimVia.UPS, 2e9)
    with pytest.raises(HeldError, match="held by CAD1 already"):
        claims.claim(study, Person("CAD1", 2e9, admin=True))  # a user of the same name is not that system
    with pytest.raises(HeldError, match="only that system can end it"):
        claims.release(study, BOB, "an admin")
    claims.complete(study, Person("CAD1", 2e9))
    assert read_state(claims.spool, study).state == "IN PROGRESS"
    (claims.spool.study_folder(study) / rooms.FILE).unlink()  # claimed while an earlier release ran
    claim = held(claims.spool, study)
    assert claim is not None
    assert (claim.by, claim.via) == ("", ClaimVia.UPS)


@pytest.mark.parametrize("act", ["claim", "release", "complete"])
def test_a_crash_between_the_line_and_the_state_changes_no_claim(
    claims: Claims, study: str, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if act != "claim":
        claims.claim(study, ANN)
    before = held(claims.spool, study)

    def crash(*_: object) -> None:
        raise OSError(5, "Input/output error")

    doing = {
        "claim": lambda: claims.claim(study, ANN),
        "release": lambda: claims.release(study, ANN, "why"),
        "complete": lambda: claims.complete(study, ANN),
    }[act]
    with monkeypatch.context() as patch:
        patch.setattr(claims.spool, "write", crash)
        with pytest.raises(OSError, match="Input/output"):
            doing()
    assert held(claims.spool, study) == before
    doing()
    assert held(claims.spool, study) != before


def test_a_hostile_name_is_one_component_of_one_person(claims: Claims, study: str) -> None:
    claims.claim(study, Person(HOSTILE, 2e9))
    claim = held(claims.spool, study)
    assert claim is not None
    assert claim.is_of(HOSTILE)
    shown = claims.workitems.current(study)
    assert shown is not None
    name = str(
        shown.UnifiedProcedureStepPerformedProcedureSequence[0].ActualHumanPerformersSequence[0].HumanPerformerName
    )
    assert name.startswith('R<b>"עברית"</b>xxx')
    assert len(name) == 64
    claims.complete(study, Person(HOSTILE, 2e9))
    assert read_state(claims.spool, study).state == "COMPLETED"


def test_the_command_ends_a_claim_of_the_page_and_no_other(claims: Claims, study: str, tmp_path: Path) -> None:
    audit = tmp_path / "audit.xml"
    environment = {
        "TRIAGE_SPOOL_PATH": str(claims.spool.root),
        "TRIAGE_AUDIT_PATH": str(audit),
        "TRIAGE_AUDIT_ALWAYS": "1",
    }

    def ran(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(cli, ["workitem", "release", *words, "--by", "D. Admin"], env=environment)
        return found.exit_code, found.output

    assert ran(study, "--reason", "gone home")[0] == 1  # nothing is claimed
    claims.claim(study, ANN)
    assert ran(study, "--reason", "two\nlines")[0] == 2
    assert ran("1.2.x", "--reason", "no UID")[0] == 2
    assert ran(workitem_uid(study, 1), "--reason", "gone home")[0] == 0
    assert held(claims.spool, study) is None
    last = claims_of(claims.spool, study)[-1]
    assert (last.who, last.via, last.reason) == ("D. Admin", "command", "gone home")
    assert audit.read_text().count("RELEASE") >= 4  # each intent, and each outcome
    by_workstation(claims, study, "IN PROGRESS", "1.2.3.4")
    status, output = ran(study, "--reason", "it hangs")
    assert (status, "only that system can end it" in output) == (1, True)
    assert json.loads((claims.spool.study_folder(study) / "workitem.json").read_text())["state"] == "IN PROGRESS"
