"""The ties of reader studies: cases without a majority in ``unresolved.csv``, and their judgements.

``judgements.jsonl`` in the study's folder has a line for each judgement; `triage readers labels` takes them as labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from triage.adjudication.acts import NoCaseError, NotYourCaseError
from triage.errors import TriageError
from triage.runtime.csv_table import read_table
from triage.runtime.durable import append_durably

UNRESOLVED = "unresolved.csv"
JUDGEMENTS = "judgements.jsonl"
_READER = "reader_"


class TiesError(TriageError):
    """The ties of a reader study cannot be read; the message names the file."""


@dataclass(frozen=True)
class TieJudgement:
    """The judgement of a tie. ``label``: 1 abnormal, 0 normal, None undecided; ``at`` in POSIX seconds."""

    image: str
    label: int | None
    who: str
    at: float
    text: str
    patient: str = ""
    why: str = ""


@dataclass(frozen=True)
class TieCase:
    """A case without a majority. ``key``: its name in addresses; ``answers``: by reader, 1, 0 or None."""

    study: Path
    key: str
    image: Path
    patient: str
    why: str
    answers: Mapping[str, int | None]
    judgement: TieJudgement | None = None

    def may_judge(self, who: str) -> bool:
        """Return True if this person is no reader of the case."""
        return who.casefold() not in {reader.casefold() for reader in self.answers}


def ties_of(study: Path) -> list[TieCase]:
    """Return the ties of the reader study in a folder. Raises TiesError if its file cannot be read."""
    path = study / UNRESOLVED
    if not path.exists():
        return []
    table = read_table(path, ("image", "patient", "why"), refusal=TiesError)
    judged = judgements(study)
    return [_tie(study, row.values, judged) for row in table.records if row.values["why"].startswith("tie ")]


def judgements(study: Path) -> dict[str, TieJudgement]:
    """Return the last judgement of each tie, by the path of its image."""
    try:
        lines = (study / JUDGEMENTS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found = [TieJudgement(**json.loads(line)) for line in lines if line.endswith("}")]  # a crash may have cut a line
    return {each.image: each for each in found}


def judge_tie(study: Path, key: str, verdict: TieJudgement) -> TieJudgement:
    """Record a judgement durably. Raises NoCaseError, NotYourCaseError, TiesError, OSError."""
    case = next((each for each in ties_of(study) if each.key == key), None)
    if case is None:
        raise NoCaseError("there is no such tie")
    if not case.may_judge(verdict.who):
        raise NotYourCaseError("you are a reader of this case: another person judges it")
    known = {**asdict(verdict), "image": str(case.image), "patient": case.patient, "why": case.why}
    append_durably(study / JUDGEMENTS, "\n" + json.dumps(known))
    return TieJudgement(**known)


def _tie(study: Path, row: Mapping[str, str], judged: Mapping[str, TieJudgement]) -> TieCase:
    image = row["image"]
    answers = {
        name.removeprefix(_READER): int(value) if value in ("0", "1") else None
        for name, value in row.items()
        if name.startswith(_READER)
    }
    key = sha256(image.encode()).hexdigest()[:16]
    return TieCase(study, key, Path(image), row["patient"], row["why"], answers, judged.get(image))
