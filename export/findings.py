"""Each finding of a release: its held-out scores on the scale that ships, its calibration and its operating points."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from export import calibrate
from export import card_fields as fields
from export import performance as figures
from export.centre import equal_point
from export.description import DescriptionFile, FindingDescription
from export.held_out import HeldOutScores
from training.data.targets import target_matrix
from training.errors import TrainingError
from training.files import write_csv
from training.runs.run import TrainingRun
from training.runs.scores import OUTPUTS, RunScores
from triage.model.card_finding import OperatingPoint, Performance
from triage.model.wrapping import Curve


@dataclass(frozen=True, eq=False)
class MeasuredFinding:
    """One finding and what is measured of it.

    ``output`` is its column in the run. ``lowered_by`` is subtracted from the logit that the network learnt
    (``--centre``), 0 without.
    """

    about: FindingDescription
    output: int
    judged: HeldOutScores
    lowered_by: float
    curve: Curve | None
    points: tuple[OperatingPoint, ...]

    @property
    def thresholds(self) -> list[float]:
        """Thresholds of the operating points."""
        return [point.threshold for point in self.points]


def outputs_of(run: TrainingRun, about: DescriptionFile) -> list[int]:
    """Return the column of each finding. Raises TrainingError where the first is not the one that the run measured."""
    names = list(run.config.outputs)
    if unknown := [each.target for each in about.findings if each.target not in names]:
        raise TrainingError(f"{', '.join(unknown)}: {run.folder} has the outputs {', '.join(names)}")
    if about.findings[0].target != names[0]:
        raise TrainingError(f"the first finding must be of {names[0]}, the first target of {run.folder}")
    return [names.index(each.target) for each in about.findings]


def measure_finding(
    about: DescriptionFile, finding: FindingDescription, output: int, judged: HeldOutScores, *, centre: bool,
    calibration: calibrate.Method,
) -> MeasuredFinding:  # fmt: skip
    """Return the measurements of one finding. Raises TrainingError for held-out patients of one class."""
    if not figures.has_both_classes(judged.scored):
        raise TrainingError(f"{finding.name}: the held-out patients are all of one class, which measures nothing")
    lowered_by = equal_point(judged.scored) if centre else 0.0
    judged = replace(judged, scored=judged.scored.lowered(lowered_by)) if centre else judged
    curve = calibrate.fit_curve(judged.scored.labels, judged.scored.logits, calibration)
    return MeasuredFinding(
        finding, output, judged, lowered_by, curve, fields.operating_points(judged, about, centred=centre)
    )


def judged_by_output(judged: HeldOutScores, folds: TrainingRun, output: int) -> HeldOutScores:
    """Return the held-out scores of another output of the same networks, from the tables that the folds wrote.

    Raises TrainingError where a picture is not in them.
    """
    name = list(folds.config.outputs)[output]
    logits = _logits(folds, name)
    missing = [case.origin for case in judged.cases if case.picture not in logits]
    if missing:
        raise TrainingError(f"{missing[0]}: {OUTPUTS} of {folds.folder} has no {name} of its picture")
    found = np.array([logits[case.picture] for case in judged.cases])
    labels = target_matrix(judged.cases, folds.config.targets)[:, output]
    known = [int(place) for place in np.flatnonzero(~np.isnan(labels))]
    scored = replace(judged.scored, labels=labels.astype(np.float64), logits=found).take(known)
    return replace(judged, scored=scored, cases=[judged.cases[place] for place in known])


def _logits(folds: TrainingRun, name: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for member in folds.members:
        try:
            with (member / OUTPUTS).open(newline="", encoding="utf-8") as file:
                found |= {row["picture"]: float(row[name]) for row in csv.DictReader(file)}
        except (OSError, KeyError, ValueError) as error:
            raise TrainingError(f"{member / OUTPUTS} has no scores of {name}: {error}") from error
    return found


def write_as_shipped(findings: Sequence[MeasuredFinding], path: Path) -> None:
    """Write the held-out scores on the scale of the model: of the leading finding, and a column for each other one.

    ``triage validate --scores`` reads them; an image without a score of a finding has an empty cell.
    """
    findings[0].judged.scored.write(path)
    others = {
        f"probability:{each.about.name}": dict(
            zip(each.judged.scored.images, each.judged.scored.probabilities.tolist(), strict=True)
        )
        for each in findings[1:]
    }
    if not others:
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {name: f"{found[row['image']]:.6f}" if row["image"] in found else "" for name, found in others.items()}
    write_csv(path, list(rows[0]), rows)


def combined_performance(findings: Sequence[MeasuredFinding], about: DescriptionFile) -> tuple[Performance, ...]:
    """Return sensitivity and specificity for the leading finding's label, where any finding that counts makes positive.

    Over the held-out images of which every finding that counts has a score: one image stands for a study here.
    """
    counting = [each for each in findings if each.about.counts]
    lead = counting[0].judged.scored
    positive = np.zeros(len(lead.images), dtype=bool)
    for each in counting:
        called = dict(zip(each.judged.scored.images, _called(each), strict=True))
        positive |= np.array([called.get(image, False) for image in lead.images])
    ill = lead.labels > 0.5
    part = about.export
    return (
        Performance(
            cohort=part.validation,
            reference=part.reference,
            held_out_how=f"{counting[0].judged.how}; each image taken as a study",
            figures={
                "sensitivity": figures.share(positive[ill]),
                "specificity": figures.share(~positive[~ill]),
            },
        ),
    )


def _called(finding: MeasuredFinding) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    scored: RunScores = finding.judged.scored
    return np.asarray(scored.probabilities >= finding.points[0].threshold)
