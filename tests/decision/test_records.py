"""What is written can be read again, also by an older release."""

import json

from tests.support.builders import a_decision, an_assessment
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from, decision_from, to_record


def test_an_assessment_survives_json() -> None:
    assessment = an_assessment(reasons=(Reason.FINDING_NOT_COVERED,), stages={"decode": 0.01})
    assert assessment_from(json.loads(json.dumps(to_record(assessment)))) == assessment


def test_a_decision_survives_json_and_fields_of_a_later_release() -> None:
    decision = a_decision()
    record = json.loads(json.dumps({**to_record(decision), "added_later": 1}))
    assert decision_from(record) == decision
