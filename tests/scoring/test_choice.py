"""The random audit at the worker: drawn with the first decision of a study, before that is written."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.studies import a_radiograph, add_image
from triage.adjudication.choice import CaseChooser
from triage.adjudication.journal import case_acts
from triage.decision.types import PriorityPolicy, Tag, TriageDecision
from triage.scoring.study_decisions import DecisionRules, StudyDecider, StudyErrors
from triage.service.scorers import choice_rules
from triage.settings.schema import Settings
from triage.settings.sections.adjudication import AdjudicationSettings
from triage.spool.spool import Spool

STUDY = "1.2.3.4"


def decide(spool: Spool, choose: Callable[[TriageDecision, bool], None], silent: bool = False) -> None:
    rules = DecisionRules(PriorityPolicy(), silent=silent, choose=choose)
    errors = StudyErrors(spool)
    StudyDecider(spool, rules, lambda study: None).decide_all({STUDY}, errors)
    assert errors.by_study == {}


def test_a_study_is_drawn_before_its_first_result_is_written_and_never_later(spool: Spool) -> None:
    called = []
    settings = Settings(adjudication=AdjudicationSettings(random_fraction=1.0, random_seed="ours"))
    choose = CaseChooser(spool, choice_rules(settings), time.time)

    def watched(decision: TriageDecision, first: bool) -> None:
        choose(decision, first)
        called.append((first, spool.decision(STUDY) is None, len(case_acts(spool, STUDY))))

    add_image(spool, a_radiograph(STUDY), tag=Tag.NORMAL, probability=0.1)
    decide(spool, watched)
    add_image(spool, a_radiograph(STUDY), tag=Tag.ABNORMAL, probability=0.9)
    decide(spool, watched)
    assert called == [(True, True, 1), (False, False, 1)]
    assert [(each.seed, each.fraction) for each in case_acts(spool, STUDY)] == [("ours", 1.0)]


def test_a_study_that_had_a_result_before_the_audit_began_is_not_drawn(spool: Spool) -> None:
    add_image(spool, a_radiograph(STUDY), tag=Tag.NORMAL, probability=0.1)
    decide(spool, lambda decision, first: None)
    settings = Settings(adjudication=AdjudicationSettings(random_fraction=1.0, random_seed="ours"))
    decide(spool, CaseChooser(spool, choice_rules(settings), time.time))
    assert case_acts(spool, STUDY) == []


def test_a_draw_needs_a_seed() -> None:
    with pytest.raises(ValueError, match="random_seed"):
        AdjudicationSettings(random_fraction=0.1)
