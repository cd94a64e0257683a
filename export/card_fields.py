"""Measured parts of a card: thresholds, calibration, figures, and the distribution of the training images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from export import calibrate
from export import performance as figures
from export.description import DescriptionFile
from export.held_out import Chests, HeldOutScores, Members
from training.runs.run import TrainingRun
from triage.model.card import Distribution
from triage.model.card_finding import CalibrationFit, OperatingPoint, Performance
from triage.model.distribution import COMPONENTS, LIMIT_PERCENTILE, out_of_fold
from triage.model.wrapping import Curve
from triage.validation.cohort.manifest import PUBLIC_COHORTS


def operating_points(
    judged: HeldOutScores, about: DescriptionFile, *, centred: bool = False
) -> tuple[OperatingPoint, ...]:
    """Return 0.5, and the threshold for the target sensitivity where there are enough positives to certify one.

    ``centred``: the scores were moved so that 0.5 is where sensitivity and specificity are equal.
    """
    scored, wanted = judged.scored, about.export.target_sensitivity
    centre = f"put where sensitivity and specificity are equal on {about.export.validation}, on which it is stated too"
    chosen = [("default", 0.5, centre if centred else "fixed in advance, as Tang et al. 2020")]
    threshold = calibrate.threshold_for(scored.labels, scored.probabilities, wanted)
    if threshold is not None:
        how = (
            f"highest threshold with an exact 95 % lower bound of sensitivity of {wanted} on {about.export.validation}"
        )
        chosen.append((f"sensitivity {wanted}", threshold, _with_reason(how, judged)))
    return tuple(
        OperatingPoint(
            name=name,
            threshold=value,
            chosen=why,
            sensitivity=figures.sensitivity(scored, value),
            specificity=figures.specificity(scored, value),
            approximate=bool(judged.approximate),
        )
        for name, value, why in chosen
    )


def _with_reason(text: str, judged: HeldOutScores) -> str:
    return f"{text}; approximate: {judged.approximate}" if judged.approximate else text


def few_positives(points: Sequence[OperatingPoint], about: DescriptionFile) -> list[str]:
    """Return the limit to state where no threshold could be certified."""
    if len(points) > 1:
        return []
    return [f"Too few positives to certify a threshold for a sensitivity of {about.export.target_sensitivity}."]


def about_calibration(curve: Curve | None, method: str) -> str:
    """Return the card's text on the calibration."""
    if curve is None:
        return "none: the probability is the network's plain score"
    return f"{method} scaling, output calibrated_probability; probability is the network's plain score"


def calibration_fit(
    curve: Curve | None, method: calibrate.Method, judged: HeldOutScores, about: DescriptionFile
) -> CalibrationFit | None:
    """Return the calibration and the data of its fit; None without one."""
    if curve is None:
        return None
    scored = judged.scored
    return CalibrationFit(
        method="platt" if method == "platt" else "temperature",
        slope=curve.slope,
        intercept=curve.intercept,
        fitted_on=_with_reason(f"{about.export.validation}: {judged.how}", judged),
        images=len(scored.labels),
        positives=int((scored.labels > 0.5).sum()),
        approximate=bool(judged.approximate),
        brier_before=round(calibrate.brier(scored.labels, scored.probabilities), 4),
        brier_after=round(calibrate.brier(scored.labels, calibrate.apply(curve, scored.logits)), 4),
    )


def thresholds_by_name(points: Sequence[OperatingPoint]) -> dict[str, float]:
    """Return thresholds by their name in the figures."""
    return {f"{point.threshold:g}": point.threshold for point in points}


def performances(
    judged: HeldOutScores,
    about: DescriptionFile,
    points: Sequence[OperatingPoint],
) -> Iterator[Performance]:
    """Yield the figures on held-out patients, over all and within each view, and the AUC of the projection alone."""
    part, scored = about.export, judged.scored
    thresholds = thresholds_by_name(points)
    how = "; ".join(text for text in (judged.how, judged.approximate, part.how) if text)
    whole = figures.performance(scored, part.validation, part.reference, how, thresholds)
    views = sorted(set(scored.views) - {""})
    parts = {view: scored.where([found == view for found in scored.views]) for view in views if len(views) > 1}
    parts = {view: shown for view, shown in parts.items() if figures.has_both_classes(shown)}
    if parts:
        within = {"auc within view": figures.within_views(scored)}
        whole = whole.model_copy(update={"figures": within | whole.figures})
    yield whole
    for view, shown in parts.items():
        yield figures.performance(shown, f"{part.validation}, {view} only", part.reference, how, thresholds)
    if {"AP", "PA"} <= set(views):
        alone = figures.view_alone(scored)
        text = "the projection alone, for comparison: what reading AP or PA as the label would reach"
        yield Performance(cohort=part.validation, reference=part.reference, held_out_how=text, figures={"auc": alone})


def distribution(chests: Chests) -> Distribution:
    """Return the distances of training images, each to those of other patients, and the limit by them.

    The share refused of each class, and of RSNA's where it is known, is of the run's own rows.
    """
    distances = out_of_fold(chests.images, [case.patient for case in chests.cases])
    limit = round(float(np.percentile(distances, LIMIT_PERCENTILE)), 4)
    own = np.arange(len(chests.cases)) < chests.own
    groups = {"all": np.ones(len(chests.cases), dtype=bool)}
    groups |= {"positive": own & (chests.labels > 0.5), "negative": own & (chests.labels < 0.5)}
    classes = np.array([case.columns.get("rsna_class", "") for case in chests.cases])
    groups |= {f"RSNA's {name}": own & (classes == name) for name in sorted(set(classes[own]) - {""})}
    groups |= {"further chests": ~own}
    for view in sorted({case.view for case in chests.cases} - {""}):
        groups[view] = np.array([case.view == view for case in chests.cases])
    refused = distances > limit
    return Distribution(
        measure=f"largest of three ratios in a subspace of {COMPONENTS} components of 32 x 32 thumbnails: "
        "inside, outside, contrast (triage/model/distribution.py)",
        limit=limit,
        chosen=f"{LIMIT_PERCENTILE:g}th percentile of the out-of-fold distances of {len(chests.cases)} chests, "
        "five folds by patient",
        refusals={name: figures.share(refused[keep]) for name, keep in groups.items() if keep.any()},
    )


def public_patients(patients: Sequence[str]) -> list[str]:
    """Return the patients whose identifiers are public; those of a hospital stay in its manifest."""
    return [patient for patient in patients if patient.partition(":")[0] in PUBLIC_COHORTS]


def architecture(run: TrainingRun, members: Members) -> str:
    """Return the card's text on the architecture and the choice of its members."""
    count, view = len(members.folders), run.config.input
    parts = [f"{run.config.model.architecture} at {view.size} px"]
    parts.append("one network" if count == 1 else f"{count} networks averaged")
    if view.evaluation == "centre-crop":
        parts.append(f"the middle of {view.resize} px")
    if view.flips:
        parts.append("image and mirror image averaged")
    return ", ".join(parts) + f"; {members.chosen}"
