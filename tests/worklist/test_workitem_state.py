"""When a study gets a further workitem."""

from __future__ import annotations

import pytest

from tests.support.builders import a_decision
from triage.decision.types import Tag
from triage.decision.urgency import Urgency
from triage.worklist.workitem_state import COMPLETED, WorkitemState, current, raise_level

READ_AS = {"normal": 0, "urgent": 1, "urgent, by a release before urgencies": True, "critical": 2}


@pytest.mark.parametrize(
    ("read_as", "urgency", "prior", "generation"),
    [
        ("normal", Urgency.URGENT, False, 2),
        ("normal", Urgency.NONURGENT, False, 1),
        ("normal", Urgency.CRITICAL, True, 1),
        ("urgent", Urgency.URGENT, False, 1),
        ("urgent", Urgency.CRITICAL, False, 2),
        ("urgent, by a release before urgencies", Urgency.CRITICAL, False, 2),
        ("urgent, by a release before urgencies", Urgency.URGENT, False, 1),
        ("critical", Urgency.URGENT, False, 1),
        ("critical", Urgency.CRITICAL, False, 1),
    ],
)
def test_a_study_that_was_read_gets_a_new_workitem_if_it_is_raised_further(
    read_as: str, urgency: Urgency, prior: bool, generation: int
) -> None:
    read = WorkitemState(state=COMPLETED, raised=READ_AS[read_as])
    decision = a_decision(tag=Tag.ABNORMAL, urgency=urgency, prior=prior)

    assert current(WorkitemState.from_record(read.to_record()), raise_level(decision)).generation == generation
