"""Predictions of a cohort, scored through the service's own code and written as they come: an ended run resumes."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from triage.decision.operating_points import ImageFacts
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.errors import StartError
from triage.model.card import ModelCard
from triage.model.registry import ADULT_FROM_YEARS
from triage.radiograph.types import View
from triage.runtime.csv_table import TableWriter, plain
from triage.runtime.durable import append_durably
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute, LoadedModels, predict
from triage.validation.cohort.members import Member
from triage.validation.scores.prediction import FoundScore as FoundScore
from triage.validation.scores.prediction import Prediction as Prediction
from triage.validation.scores.scored import CohortImage

PREDICTIONS, FILES_ALONE = "predictions.csv", "predictions-of-the-files.csv"
"""Names of the files of predictions; the second is for those of the files alone if a service scored the first."""
COLUMNS = (
    *("image", "digest", "key", "label", "study", "tag", "probability", "reasons", "view", "age_years", "distance"),
    *("station", "findings"),
)
_CHUNK = 64  # images between two fsyncs, which a crash loses at most
_LATERAL = frozenset({"LL", "RL", "LAT", "LATERAL", "L"})


class PredictionsError(StartError):
    """A file of predictions that cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Scoring:
    """Settings of scoring a cohort. ``any_age`` lets the model score patients whom its card does not cover.

    ``transport`` is ``files``, or ``dicom`` if a running service scores.
    """

    folder: Path
    card: ModelCard
    policy: AssessmentPolicy
    compute: Compute
    any_age: bool = False
    transport: Literal["files", "dicom"] = "files"

    @property
    def key(self) -> str:
        """Digest of everything except the image that a prediction depends on."""
        policy, compute = self.policy, self.compute
        parts = (
            self.card.model_dump_json(),
            repr((policy.eligibility.frontal_descriptions, policy.eligibility.words)),
            repr(
                (
                    policy.findings.operating_point,
                    policy.findings.points.points,
                    policy.registry.adult_when_age_unknown,
                    self.any_age,
                )
            ),
            compute.provider,
            self.transport,
        )
        return sha256("\n".join(parts).encode()).hexdigest()[:16]


CohortScorer = Callable[[Sequence[Member], Scoring], Iterator[Prediction]]
"""Scores members in their order, lazily."""


def score_cohort(
    members: Sequence[Member],
    scoring: Scoring,
    file: Path,
    progress: Callable[[int], None] = lambda _: None,
    scorer: CohortScorer | None = None,
) -> list[Prediction]:
    """Return the prediction of every member, in their order; score only those that ``file`` does not have.

    New predictions are appended to ``file`` in chunks, each durable before the next begins. One batch of images is in
    memory at a time. ``scorer`` is ``score_files`` by default. Raises PredictionsError if ``file`` belongs to another
    model or other settings.
    """
    known = _resumed(file, scoring.key)
    missing = [member for member in members if _identity(member) not in known]
    progress(len(members) - len(missing))
    scored = (scorer or score_files)(missing, scoring)
    while chunk := list(islice(scored, _CHUNK)):
        append_durably(file, _lines(chunk, header=not file.exists()))
        known.update({(each.image, each.digest, each.label): each for each in chunk})
        progress(len(chunk))
    return [_with_study(known[_identity(member)], member) for member in members]


def write_predictions(predictions: Sequence[Prediction], file: Path) -> None:
    """Write predictions that were not made by ``score_cohort``."""
    file.write_text(_lines(predictions, header=True), encoding="utf-8")


def read_predictions(file: Path) -> Iterator[Prediction]:
    """Read a file of predictions, without a last line that a crash has cut. Raises PredictionsError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PredictionsError(f"{file} cannot be read: {error}") from error
    whole = text[: text.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(whole, newline=""))
    if whole and tuple(reader.fieldnames or ()) != COLUMNS:
        raise PredictionsError(f"{file} was not written by this version of triage validate: choose another --out")
    try:
        for record in reader:
            yield _read({name: plain(cell) for name, cell in record.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise PredictionsError(f"{file}, line {reader.line_num}: not a prediction: {error}") from error


def scored_images(predictions: Sequence[Prediction], members: Sequence[Member]) -> list[CohortImage]:
    """Return the predictions with the labels and patients of their cohort."""
    return [
        CohortImage(
            each.image, each.label, member.row.patient, each.study, each.probability, each.assessed, each.counts
        )
        for each, member in zip(predictions, members, strict=True)
    ]


def score_files(members: Sequence[Member], scoring: Scoring) -> Iterator[Prediction]:
    """Score each member with the code of ``triage predict``, in this process and its children."""
    models = LoadedModels(
        {scoring.card.name: scoring.folder}, {scoring.card.name: scoring.card}, forced=scoring.card.name
    )
    # Validation is no clinical use: it shows whether a model is more than a demonstration.
    policy = replace(scoring.policy, registry=replace(scoring.policy.registry, allow_demo=True, disabled=frozenset()))
    if not members:
        return
    records = predict([member.row.image for member in members], models, policy, scoring.compute)
    for member, record in zip(members, records, strict=True):
        yield _apply_eligibility(member, record, scoring)


def _apply_eligibility(member: Member, record: Mapping[str, Any], scoring: Scoring) -> Prediction:
    """Check the age, which ``predict`` with a named model ignores; and view and age in the manifest for a picture."""
    is_dicom = record["study_instance_uid"] is not None
    age = record["age_years"] if is_dicom else member.row.age
    view = record["view"] if is_dicom or record["view"] != View.FRONTAL else member.row.view or record["view"]
    refusal = None
    if not is_dicom and member.row.view.upper() in _LATERAL:
        refusal = Reason.NOT_FRONTAL
    elif not scoring.any_age and _age_is_checked(record, is_dicom=is_dicom):
        refusal = _age_refusal(age, scoring, is_dicom=is_dicom, in_doubt=bool(record["age_doubt"]))
    found = prediction(member, scoring, record, view=str(view), age=age, refusal=refusal)
    return found if is_dicom else _with_thresholds(found, scoring)


def _with_thresholds(found: Prediction, scoring: Scoring) -> Prediction:
    """Return the prediction of a picture with the thresholds of its row's view, age and station."""
    facts = ImageFacts(found.view, found.age_years, found.station)
    points, now = scoring.policy.findings.points, time.time()
    scores = []
    for each in found.findings:
        point = points.point_for(scoring.card.model_sha256, each.name, facts, now)
        scores.append(each if point is None else replace(each, threshold=point.threshold))
    return replace(found, findings=tuple(scores))


def _age_is_checked(record: Mapping[str, Any], *, is_dicom: bool) -> bool:
    """Return whether the service checks the age: of an eligible object, before it decodes the pixels."""
    return record["probability"] is not None or (is_dicom and record["reasons"] == [Reason.UNDECODABLE])


def _age_refusal(age: float | None, scoring: Scoring, *, is_dicom: bool, in_doubt: bool) -> Reason | None:
    """Return the service's refusal for this age; a picture of unknown age counts as covered by the model."""
    if age is None and is_dicom and (in_doubt or not scoring.policy.registry.adult_when_age_unknown):
        return Reason.AGE_UNKNOWN
    known = ADULT_FROM_YEARS if age is None and is_dicom else age
    return None if known is None or scoring.card.covers_age(known) else Reason.AGE_NOT_COVERED


def prediction(
    member: Member, scoring: Scoring, record: Mapping[str, Any], *, view: str, age: float | None, refusal: Reason | None
) -> Prediction:
    """Return the prediction of a member from a record of the service; with a ``refusal`` its score is dropped."""
    return Prediction(
        image=member.name,
        digest=member.digest,
        key=scoring.key,
        label=member.row.label,
        study=record["study_instance_uid"] or "",
        tag=str(Tag.NOT_ASSESSED if refusal else record["tag"]),
        probability=None if refusal else record["probability"],
        reasons=(str(refusal),) if refusal else tuple(record["reasons"]),
        view=view,
        age_years=age,
        distance=None if refusal else record["distance"],
        station=str(record.get("station_name") or member.row.columns.get("station", "")),
        findings=() if refusal else _findings_of(record, scoring.card),
    )


def _findings_of(record: Mapping[str, Any], card: ModelCard) -> tuple[FoundScore, ...]:
    """Return the scores of the card's findings: of a printed prediction, or of an assessment in a spool."""
    names = {each.name for each in card.findings}
    results = [each for each in record.get("results") or () if each.get("model_digest") == card.model_sha256]
    found = record.get("findings") or [finding for each in results for finding in each["findings"]]
    return tuple(
        FoundScore(each["name"], float(each["probability"]), float(each["threshold"]))
        for each in found
        if each["name"] in names
    )


def _with_study(found: Prediction, member: Member) -> Prediction:
    """Return the prediction with its study: that of the manifest, else that of the image, else the image itself."""
    return replace(found, study=member.row.columns.get("study") or found.study or member.name)


def _identity(member: Member) -> tuple[str, str, int]:
    return member.name, member.digest, member.row.label


def _resumed(file: Path, key: str) -> dict[tuple[str, str, int], Prediction]:
    if not file.exists():
        return {}
    found = list(read_predictions(file))
    if any(each.key != key for each in found):
        raise PredictionsError(f"{file} holds predictions of another model or other settings: choose another --out")
    _cut_torn_line(file)
    return {(each.image, each.digest, each.label): each for each in found}


def _cut_torn_line(file: Path) -> None:
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if not whole:
        file.unlink()
    elif whole != len(content):
        with file.open("r+b") as stream:
            stream.truncate(whole)


def _lines(predictions: Sequence[Prediction], *, header: bool) -> str:
    text = io.StringIO(newline="")
    writer = TableWriter(text)
    if header:
        writer.row(COLUMNS)
    for each in predictions:
        record = asdict(each) | {"reasons": "|".join(each.reasons), "findings": "|".join(map(str, each.findings))}
        writer.row(record[name] for name in COLUMNS)
    return text.getvalue()


def _read(record: Mapping[str, str]) -> Prediction:
    def number(name: str) -> float | None:
        return float(record[name]) if record[name] else None

    return Prediction(
        image=record["image"],
        digest=record["digest"],
        key=record["key"],
        label=int(record["label"]),
        study=record["study"],
        tag=record["tag"],
        probability=number("probability"),
        reasons=tuple(record["reasons"].split("|")) if record["reasons"] else (),
        view=record["view"],
        age_years=number("age_years"),
        distance=number("distance"),
        station=record["station"],
        findings=tuple(map(FoundScore.from_text, record["findings"].split("|"))) if record["findings"] else (),
    )
