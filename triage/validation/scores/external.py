"""Scores and calls from files: of another model, of readers, or of networks that were scored out of fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path

from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.runtime.csv_table import read_table
from triage.validation.cohort.manifest import FINDING_NAME
from triage.validation.cohort.members import Member
from triage.validation.scores.predictions import FoundScore, Prediction, PredictionsError

READER = "reader_"
"""Prefix of a column that holds a reader's calls."""
OF_FINDING = ":"
"""What separates a reader's name from the finding that the calls are of."""

_VALUES = ("probability", "logit", "label")
Scores = Mapping[str, float | None]
Record = Mapping[str, str | float | None]
"""A row of a CSV file, or an object of a JSON file."""


def read_scores(file: Path) -> dict[str, float | None]:
    """Read scores or calls by image name: CSV with ``image`` (or ``file``) and ``probability``, ``logit`` or ``label``.

    Also reads JSON as training writes it (``oof.json``). An empty score is None. Raises PredictionsError.
    """
    return {_image_of(record, file): _value_of(record, file) for record in _records(file)}


def read_finding_scores(file: Path) -> dict[str, dict[str, float | None]]:
    """Read the scores of further findings by name and image, from columns ``probability:FINDING``.

    Raises PredictionsError.
    """
    found: dict[str, dict[str, float | None]] = {}
    for record in _records(file):
        for column in record:
            name, _, finding = column.partition(OF_FINDING)
            if name == "probability" and finding:
                value = _value_of({"probability": record[column]}, file)
                found.setdefault(finding, {})[_image_of(record, file)] = value
    return found


def read_readers(file: Path) -> dict[str, dict[str, float | None]]:
    """Read calls by reader and image: CSV with ``image``, ``reader`` and ``label``, a row for each call.

    Or with a column ``reader_NAME`` for each reader, as ``triage readers`` writes them; a file with neither holds one
    reader, named like the file. Calls of a finding (``read_finding_readers``) are left out. Raises PredictionsError.
    """
    return _readers_in(file).get("", {})


def read_finding_readers(file: Path) -> dict[str, dict[str, dict[str, float | None]]]:
    """Read calls by finding, reader and image: rows with a column ``finding``, or columns ``reader_NAME:FINDING``.

    Raises PredictionsError.
    """
    return {finding: readers for finding, readers in _readers_in(file).items() if finding}


def _readers_in(file: Path) -> dict[str, dict[str, dict[str, float | None]]]:
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for record in _records(file):
        finding = str(record.get("finding") or "")
        for column, value in _calls_of(record, file).items():
            name, of = _reader_and_finding(column)
            found.setdefault(of or finding, {}).setdefault(name, {})[_image_of(record, file)] = value
    if not found:
        raise PredictionsError(f"{file} has no rows")
    return found


def _reader_and_finding(text: str) -> tuple[str, str]:
    """Return reader and finding of ``NAME:FINDING``; no finding where there is none after the last colon."""
    name, _, finding = text.rpartition(OF_FINDING)
    return (name, finding) if name and FINDING_NAME.fullmatch(finding) else (text, "")


def manifest_readers(members: Sequence[Member], manifest: Path) -> dict[str, dict[str, float | None]]:
    """Return the calls in the manifest's own columns ``reader_NAME``. Raises PredictionsError."""
    return manifest_finding_readers(members, manifest).get("", {})


def manifest_finding_readers(
    members: Sequence[Member], manifest: Path
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return the calls in columns ``reader_NAME:FINDING`` by finding, empty for ``reader_NAME``.

    Raises PredictionsError.
    """
    names = sorted({name for member in members for name in member.row.columns if name.startswith(READER)})
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for name in names:
        reader, finding = _reader_and_finding(name.removeprefix(READER))
        found.setdefault(finding, {})[reader] = {
            member.name: _call_of(member.row.columns.get(name, ""), name, manifest) for member in members
        }
    return found


def aligned(scores: Scores, members: Sequence[Member], file: Path) -> list[float | None]:
    """Return the score of every member, by its name or its bare file name. Raises PredictionsError if none has one."""
    by_file: dict[str, float | None] = {}
    repeated = set()
    for name, value in scores.items():
        bare = Path(name).stem
        repeated |= {bare} & by_file.keys()
        by_file[bare] = value
    found = [_score_of(member, scores, by_file, repeated) for member in members]
    if all(value is None for value in found):
        raise PredictionsError(f"{file} scores none of the cohort's images: is it of another cohort?")
    return found


@dataclass(frozen=True)
class GivenFinding:
    """The given probabilities of one finding for the members of a cohort, and its threshold."""

    name: str
    values: Sequence[float | None]
    threshold: float

    def score(self, number: int) -> FoundScore | None:
        """Return the score of a member; None without one."""
        value = self.values[number]
        return None if value is None else FoundScore(self.name, value, self.threshold)


def as_predictions(members: Sequence[Member], given: Sequence[GivenFinding]) -> list[Prediction]:
    """Return given probabilities as predictions; an image without one of the first finding is not assessed."""
    return [_prediction(number, member, given) for number, member in enumerate(members)]


def majority(readers: Mapping[str, Scores]) -> dict[str, float | None]:
    """Return the call of the majority of readers for every image; None for a tie."""
    images = sorted({image for calls in readers.values() for image in calls})
    voted: dict[str, float | None] = {}
    for image in images:
        calls = [call for call in (each.get(image) for each in readers.values()) if call is not None]
        share = sum(calls) / len(calls) if calls else 0.5
        voted[image] = None if share == 0.5 else float(share > 0.5)
    return voted


def _prediction(number: int, member: Member, given: Sequence[GivenFinding]) -> Prediction:
    found = [each.score(number) for each in given]
    lead = found[0]
    tag = Tag.NOT_ASSESSED if lead is None else Tag.ABNORMAL if lead.positive else Tag.NORMAL
    return Prediction(
        image=member.name,
        digest=member.digest,
        key="given",
        label=member.row.label,
        study=member.row.columns.get("study") or member.name,
        tag=str(tag),
        probability=None if lead is None else lead.probability,
        reasons=(str(Reason.NO_MODEL),) if lead is None else (),
        view=member.row.view,
        age_years=member.row.age,
        distance=None,
        station=member.row.columns.get("station", ""),
        findings=() if lead is None else tuple(each for each in found if each is not None),
    )


def _score_of(member: Member, scores: Scores, by_file: Scores, repeated: set[str]) -> float | None:
    if member.name in scores:
        return scores[member.name]
    bare = Path(member.name).stem
    return None if bare in repeated else by_file.get(bare)


def _calls_of(record: Record, file: Path) -> dict[str, float | None]:
    wide = [name for name in record if name and name.startswith(READER)]
    if wide:
        return {name.removeprefix(READER): _call_of(record[name], name, file) for name in wide}
    return {str(record.get("reader") or file.stem): _call_of(record.get("label"), "label", file)}


def _call_of(text: str | float | None, column: str, file: Path) -> float | None:
    value = _value_of({"label": text}, file)
    if value not in (None, 0.0, 1.0):
        raise PredictionsError(f"{file}: {column} {value:g} is neither 0 nor 1")
    return value


def _records(file: Path) -> list[Record]:
    if file.suffix != ".json":
        return [dict(each.values) for each in read_table(file, refusal=PredictionsError).records]
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PredictionsError(f"{file} cannot be read: {error}") from error
    if isinstance(found, list) and all(isinstance(record, dict) for record in found):
        return found
    raise PredictionsError(f"{file} is no list of objects")


def _image_of(record: Record, file: Path) -> str:
    name = record.get("image") or record.get("file")
    if not name:
        raise PredictionsError(f"{file} needs a column image")
    return Path(str(name)).as_posix()


def _value_of(record: Record, file: Path) -> float | None:
    name = next((name for name in _VALUES if record.get(name) is not None), None)
    if name is None:
        raise PredictionsError(f"{file} needs a column {', '.join(_VALUES[:-1])} or {_VALUES[-1]}")
    cell = record[name]
    if cell is None or cell == "":
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError):
        raise PredictionsError(f"{file}: {name} {cell!r} is no number") from None
    value = 1 / (1 + exp(-value)) if name == "logit" else value
    if not 0 <= value <= 1:
        raise PredictionsError(f"{file}: {name} {value:g} is not between 0 and 1")
    return value
