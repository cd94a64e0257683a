"""Operating points chosen and certified on the cases of a validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from triage.model.card import ModelCard
from triage.validation.choosing.cases import Cases, cases_of, check_apart, divided
from triage.validation.choosing.choose import ChoiceTask, StratumChoice, choose_points
from triage.validation.choosing.rule import ChoiceError, parse_rule
from triage.validation.choosing.strata import strata_of
from triage.validation.cohort.members import TrainingLists, ValidationCohort, open_cohort, overlap
from triage.validation.measures.by_finding import labelled_findings
from triage.validation.run import ChoiceRequest, Progress, ValidationRequest, ValidationRun, counter
from triage.validation.scores.prediction import Prediction
from triage.validation.scores.predictions import score_cohort

CHECKED = "predictions-that-check.csv"


@dataclass(frozen=True)
class CheckedChoice:
    """A request that can be carried out, and the second cohort, if there is one."""

    request: ChoiceRequest
    finding: str
    other: ValidationCohort | None


def check_choice(
    request: ValidationRequest, card: ModelCard, cohort: ValidationCohort, trained: TrainingLists
) -> CheckedChoice | None:
    """Return the request to choose points, checked before any image is scored; None without one. Raises StartError."""
    choice = request.choice
    if choice is None:
        return None
    parse_rule(choice.rule)
    if request.scores or request.dicom or request.any_age:
        raise ChoiceError("--choose measures the model on the files: --scores, --dicom and --any-age do not go with it")
    finding = choice.finding or card.leading.name
    if finding not in {each.name for each in card.findings}:
        known = ", ".join(each.name for each in card.findings)
        raise ChoiceError(f"--finding {finding}: {card.model_id} has {known}")
    strata_of(choice.by, card, ())
    if "station" in choice.by and not choice.reason.strip():
        raise ChoiceError("--by station needs --reason: a low threshold can hide a bad detector")
    other = None
    if choice.check_cohort is not None:
        other = open_cohort(choice.check_cohort, allow_duplicates=request.allow_duplicates)
        check_apart(cohort, other)
    for each in filter(None, (cohort, other)):
        if overlap(each.members, trained).images:
            raise ChoiceError(
                f"--choose: patients of {each.manifest.name} trained the model, and no point is chosen on them: "
                "--exclude-training-patients leaves them out"
            )
    return CheckedChoice(choice, finding, other)


def certify(checked: CheckedChoice, run: ValidationRun, progress: Progress) -> list[StratumChoice]:
    """Choose a point for each stratum, and check it on other cases. Raises StartError."""
    cases = _cases(checked, run.cohort, run.predictions, run.card)
    if checked.other is None:
        choosing, checking = divided(cases)
    else:
        counting = counter(progress, "scoring the cases that check", len(checked.other.members))
        found = score_cohort(checked.other.members, run.scoring, run.request.out / CHECKED, counting)
        choosing, checking = cases, _cases(checked, checked.other, found, run.card)
    request = checked.request
    task = ChoiceTask(
        parse_rule(request.rule),
        run.card,
        checked.finding,
        request.who,
        datetime.now(UTC).replace(microsecond=0),
        request.reason.strip(),
    )
    return choose_points(task, strata_of(request.by, run.card, run.predictions), choosing, checking)


def _cases(
    checked: CheckedChoice, cohort: ValidationCohort, predictions: Sequence[Prediction], card: ModelCard
) -> Cases:
    labelled = labelled_findings(card, cohort.members, predictions)
    found = next((each for each in labelled if each.finding.name == checked.finding), None)
    if found is None:
        raise ChoiceError(f"--choose: {cohort.manifest.name} has no labels of {checked.finding}")
    return cases_of(cohort, found, predictions)
