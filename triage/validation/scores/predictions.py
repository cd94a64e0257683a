"""Scores a cohort through the service's own path and keeps what was scored: a run that was ended goes on there."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from triage.decision.reasons import LISTED_NOT_COUNTED, Reason
from triage.decision.types import Tag
from triage.errors import StartError
from triage.model.card import ModelCard
from triage.model.registry import ADULT_FROM_YEARS
from triage.radiograph.types import View
from triage.runtime.csv_table import plain, written
from triage.runtime.durable import append_durably
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute, LoadedModels, predict
from triage.validation.cohort.members import Member
from triage.validation.scores.scored import ScoredImage

COLUMNS = ("image", "digest", "key", "label", "study", "tag", "probability", "reasons", "view", "age_years", "distance")
_CHUNK = 64  # images between two fsyncs: what a crash costs
_LATERAL = frozenset({"LL", "RL", "LAT", "LATERAL", "L"})


class PredictionsError(StartError):
    """A file of predictions that cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Prediction:
    """What the service would say of one image. ``reasons`` are values of ``Reason``."""

    image: str
    digest: str
    key: str
    label: int
    study: str
    tag: str
    probability: float | None
    reasons: tuple[str, ...]
    view: str
    age_years: float | None
    distance: float | None

    @property
    def assessed(self) -> bool:
        """Whether the model's score stands. A negative that may not be called normal has been assessed all the same."""
        return self.probability is not None and set(self.reasons) <= {Reason.FINDING_NOT_COVERED}

    @property
    def counts(self) -> bool:
        """Whether its study has to take it into account."""
        return not LISTED_NOT_COUNTED.intersection(self.reasons)


@dataclass(frozen=True)
class Scoring:
    """How a cohort is scored. ``any_age`` lets the model score patients whom its card does not cover.

    ``way`` is ``files``, or ``dicom`` for what a running service scored.
    """

    folder: Path
    card: ModelCard
    policy: AssessmentPolicy
    compute: Compute
    any_age: bool = False
    way: str = "files"

    @property
    def key(self) -> str:
        """A digest of everything beside the image that a prediction rests on."""
        policy, compute = self.policy, self.compute
        parts = (
            self.card.model_dump_json(),
            repr((policy.eligibility.frontal_descriptions, policy.eligibility.words)),
            repr((policy.operating_point, policy.registry.adult_when_age_unknown, self.any_age)),
            compute.provider,
            self.way,
        )
        return sha256("\n".join(parts).encode()).hexdigest()[:16]


Scorer = Callable[[Sequence[Member], Scoring], Iterator[Prediction]]
"""Scores members in their order, lazily."""


def score(
    members: Sequence[Member],
    scoring: Scoring,
    file: Path,
    progress: Callable[[int], None] = lambda _: None,
    scorer: Scorer | None = None,
) -> list[Prediction]:
    """The prediction of every member, in their order; what ``file`` has already is not scored again.

    New ones are appended to ``file`` in pieces, each on the disk before the next is begun. Images are in memory a batch
    at a time. ``scorer`` is ``from_files`` unless given. Raises PredictionsError if ``file`` is of another model or
    other settings.
    """
    known = _resumed(file, scoring.key)
    missing = [member for member in members if _identity(member) not in known]
    progress(len(members) - len(missing))
    coming = (scorer or from_files)(missing, scoring)
    while piece := list(islice(coming, _CHUNK)):
        append_durably(file, _lines(piece, header=not file.exists()))
        known.update({(each.image, each.digest, each.label): each for each in piece})
        progress(len(piece))
    return [_of_member(known[_identity(member)], member) for member in members]


def write(predictions: Sequence[Prediction], file: Path) -> None:
    """Write predictions that were made elsewhere."""
    file.write_text(_lines(predictions, header=True), encoding="utf-8")


def read_predictions(file: Path) -> Iterator[Prediction]:
    """What ``score`` wrote. A last line that a crash cut is left out. Raises PredictionsError."""
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


def images(predictions: Sequence[Prediction], members: Sequence[Member]) -> list[ScoredImage]:
    """Predictions with the labels and patients of their cohort."""
    return [
        ScoredImage(
            each.image, each.label, member.row.patient, each.study, each.probability, each.assessed, each.counts
        )
        for each, member in zip(predictions, members, strict=True)
    ]


def from_files(members: Sequence[Member], scoring: Scoring) -> Iterator[Prediction]:
    """Each member scored by the path of ``triage predict``, in this process and its children."""
    models = LoadedModels(
        {scoring.card.name: scoring.folder}, {scoring.card.name: scoring.card}, forced=scoring.card.name
    )
    # Validation is no clinical use: it is how one learns whether a model is more than a demonstration.
    policy = replace(scoring.policy, registry=replace(scoring.policy.registry, allow_demo=True, disabled=frozenset()))
    if not members:
        return
    records = predict([member.row.image for member in members], models, policy, scoring.compute)
    for member, record in zip(members, records, strict=True):
        yield _as_for_a_patient(member, record, scoring)


def _as_for_a_patient(member: Member, record: Mapping[str, Any], scoring: Scoring) -> Prediction:
    """What a named model does not look at: the age; and of a picture, which has no tags, what the manifest says."""
    is_dicom = record["study_instance_uid"] is not None
    age = record["age_years"] if is_dicom else member.row.age
    view = record["view"] if is_dicom or record["view"] != View.FRONTAL else member.row.view or record["view"]
    refusal = None
    if not is_dicom and member.row.view.upper() in _LATERAL:
        refusal = Reason.NOT_FRONTAL
    elif not scoring.any_age and _age_would_matter(record, is_dicom=is_dicom):
        refusal = _age_refusal(age, scoring, is_dicom=is_dicom, in_doubt=bool(record["age_doubt"]))
    return prediction(member, scoring, record, view=str(view), age=age, refusal=refusal)


def _age_would_matter(record: Mapping[str, Any], *, is_dicom: bool) -> bool:
    """The service looks at the age of an eligible object, before it decodes the pixels."""
    return record["probability"] is not None or (is_dicom and record["reasons"] == [Reason.UNDECODABLE])


def _age_refusal(age: float | None, scoring: Scoring, *, is_dicom: bool, in_doubt: bool) -> Reason | None:
    """As the service would choose; a picture of unknown age is taken to be of one that the model is for."""
    if age is None and is_dicom and (in_doubt or not scoring.policy.registry.adult_when_age_unknown):
        return Reason.AGE_UNKNOWN
    known = ADULT_FROM_YEARS if age is None and is_dicom else age
    return None if known is None or scoring.card.covers_age(known) else Reason.AGE_NOT_COVERED


def prediction(
    member: Member, scoring: Scoring, record: Mapping[str, Any], *, view: str, age: float | None, refusal: Reason | None
) -> Prediction:
    """A record of the service's, of this member; with a ``refusal`` its score does not stand."""
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
    )


def _of_member(found: Prediction, member: Member) -> Prediction:
    """The study that the manifest names goes before the one in the image; an image without either is a study."""
    study = member.row.columns.get("study") or found.study or member.name
    return replace(found, study=study)


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
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    for each in predictions:
        record = asdict(each) | {"reasons": "|".join(each.reasons)}
        writer.writerow(["" if record[name] is None else written(record[name]) for name in COLUMNS])
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
    )
