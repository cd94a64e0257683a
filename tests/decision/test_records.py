"""What is written can be read again, also by an older release."""

import json
from dataclasses import asdict, fields

import pytest

from tests.support.builders import a_decision, an_assessment
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from, decision_from, to_record
from triage.decision.types import ModelResult, Tag, TriageDecision


def test_an_assessment_survives_json() -> None:
    assessment = an_assessment(reasons=(Reason.FINDING_NOT_COVERED,), stages={"decode": 0.01})
    assert assessment_from(json.loads(json.dumps(to_record(assessment)))) == assessment


def test_a_decision_survives_json_and_fields_of_a_later_release() -> None:
    decision = a_decision()
    record = json.loads(json.dumps({**to_record(decision), "added_later": 1}))
    assert decision_from(record) == decision


def test_a_record_is_what_dataclasses_make_of_it() -> None:
    result = ModelResult("m 1", "b" * 64, Tag.NORMAL, 0.1, reasons=(Reason.FINDING_NOT_COVERED,))
    assessment = an_assessment(stages={"decode": 0.01}, results=(result,), reasons=(Reason.FINDING_NOT_COVERED,))
    for value in (assessment, a_decision()):
        assert to_record(value) == asdict(value)
        assert json.dumps(to_record(value)) == json.dumps(asdict(value))


NEVER = {
    "str": [None, 7, True, [], {}, float("nan"), "\ud800"],
    "float": ["7", "", [], {}, True, float("nan"), float("inf"), float("-inf"), 1e300, 10**400, -1.0],
    "int": ["7", None, 1.5, True, -1, 2**53, [], float("nan")],
    "bool": [0, 1, None, "true", []],
    "tuple": ["NO_MODEL", {}, None, 7, [None], [["1.2"]], ["\ud800"]],
    "Tag": ["HEALTHY", None, 7, [], {}],
    "Priority": ["STAT", None, 1, [], {}],
    "Urgency": ["HIGH", None, 7, [], {}],
}
KINDS = [
    (field.name, value)
    for field in fields(TriageDecision)
    for value in NEVER[str(field.type).partition("[")[0].partition(" ")[0]]
    if value is not None or "None" not in str(field.type)
]


@pytest.mark.parametrize(("name", "value"), KINDS)
def test_no_decision_is_read_that_none_of_ours_can_be(name: str, value: object) -> None:
    """As it stands in an index that anybody can write: one such value stopped the whole list."""
    record = json.loads(json.dumps({**to_record(a_decision()), name: value}))
    with pytest.raises((ValueError, TypeError)):
        decision_from(record)


def test_a_decision_without_a_probability_and_one_of_an_earlier_release_are_read() -> None:
    record = json.loads(json.dumps(to_record(a_decision(probability=None, model_id=None, received_at=0))))
    for later in ("prior", "calling_ae_title", "accession_issuer", "sequence"):
        del record[later]
    assert decision_from(record).sequence == 0
