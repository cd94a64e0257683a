"""Output of ``triage feedback``: the manifest, the table of cases, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from triage.adjudication.cases import AdjudicationCase
from triage.runtime.csv_table import TableWriter
from triage.validation.cohort.feedback import FeedbackExport

CASE_COLUMNS = (
    "study", "finding", "title", "chosen_by", "also", "kinds", "since", "model_label", "statements", "label", "reason",
    "judged_by", "judged_at", "blinded",
)  # fmt: skip


def write_cases(cases: Iterable[AdjudicationCase], out: Path) -> None:
    """Write a row for each case, judged or not. It names users and no patient, and may quote what readers wrote."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.row(CASE_COLUMNS)
        for case in cases:
            writer.row(_row(case))


def told(done: FeedbackExport, out: Path) -> Iterator[str]:
    """Yield the lines that say what was written, and what was left out."""
    yield f"{done.images} image{'' if done.images == 1 else 's'} with a label: {out}"
    yield f"left out: {done.contradicted} studies with contradicting readers, {done.without_image} without a score"
    if done.drawn:
        yield f"random audit: {done.judged} of {done.drawn} drawn studies are judged"
        if done.judged < done.drawn:
            if done.lapsed:
                yield f"retention removed {done.lapsed} of them before they were judged (adjudication.keep_days)"
            yield "judge the others before figures are taken: those that are judged first are not a random part"


def _row(case: AdjudicationCase) -> tuple[object, ...]:
    judged = case.judgement
    said = " | ".join(
        ", ".join(filter(None, (f"{each.who}: {_word(each.label)}", each.text))) for each in case.statements
    )
    blinded = "yes" if judged and judged.blinded else "no"
    verdict = (judged.label, judged.text, judged.who, _iso(judged.at), blinded) if judged else (None,) * 5
    return (
        case.study_instance_uid, case.finding, case.title, case.chosen_by, " ".join(case.also), " ".join(case.kinds),
        _iso(case.since), case.model_label, said, *verdict,
    )  # fmt: skip


def _word(label: int | None) -> str:
    return "undecided" if label is None else "present" if label else "absent"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
