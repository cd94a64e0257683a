"""Labels from readers' answers: a file for each reader, one with the majority, one of unresolved cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triage.adjudication.ties import UNRESOLVED, judgements
from triage.reader_study.answers import read_progress
from triage.reader_study.cases import ReaderCase
from triage.reader_study.progress import ReadCase, ReaderAnswer
from triage.reader_study.study import ReaderStudy
from triage.runtime.csv_table import TableWriter
from triage.validation.cohort.manifest import COLUMNS, Row, write_manifest

READER = "reader_"
"""Prefix of a reader's column in the combined file: 1 abnormal, 0 normal, empty without an answer."""


SETTLED_BY = "settled_by"
"""Column of the combined file: majority, or judgement for a tie."""


@dataclass(frozen=True)
class Consensus:
    """Consensus of the readers on a case: ``label`` None without a majority, and ``why``."""

    label: int | None
    why: str = ""


@dataclass(frozen=True)
class Summary:
    """Counts of a written study: cases with a majority, those without by reason, answers by reader."""

    labelled: int
    unresolved: Mapping[str, int]
    answered: Mapping[str, int]


def consensus(answers: Mapping[str, ReaderAnswer | None]) -> Consensus:
    """Return the answer of more than half of all readers of the study, whether or not the others have answered."""
    for answer in (ReaderAnswer.ABNORMAL, ReaderAnswer.NORMAL):
        if 2 * sum(given is answer for given in answers.values()) > len(answers):
            return Consensus(answer.label)
    abnormal, normal = (
        sum(given is each for given in answers.values()) for each in (ReaderAnswer.ABNORMAL, ReaderAnswer.NORMAL)
    )
    if None in answers.values():
        return Consensus(None, "not read by all")
    if abnormal == normal and abnormal:
        return Consensus(None, f"tie {abnormal}:{normal}")
    return Consensus(None, "not readable for the majority")


def write_labels(study: ReaderStudy) -> Summary:
    """Write ``labels-<reader>.csv``, ``labels.csv`` and ``unresolved.csv`` into the study's folder.

    The first two are manifests for ``triage validate``. A tie that another person judged has that label; other cases
    without a majority are in the third only.
    """
    read = {reader: _by_case(study, reader) for reader in study.readers}
    for reader in study.readers:
        write_manifest(study.folder / f"labels-{reader}.csv", _of_reader(study, reader, read[reader]))
    rows, unresolved, judged = [], [], judgements(study.folder)
    for number, case in enumerate(study.cases):
        answers = {reader: _answer(read[reader], number) for reader in study.readers}
        found = consensus(answers)
        columns = {**_reader_columns(read, number), SETTLED_BY: "majority"}
        judgement = judged.get(str(case.image)) if found.why.startswith("tie ") else None
        if found.label is None and judgement is not None and judgement.label is not None:
            rows.append(_row(case, judgement.label, {**columns, SETTLED_BY: "judgement"}))
        elif found.label is None:
            unresolved.append((case, found.why, columns))
        else:
            rows.append(_row(case, found.label, columns))
    write_manifest(study.folder / "labels.csv", rows)
    _write_unresolved(study.folder / UNRESOLVED, unresolved, [f"{READER}{reader}" for reader in study.readers])
    reasons = [why for _, why, _ in unresolved]
    return Summary(
        len(rows),
        {why: reasons.count(why) for why in sorted(set(reasons))},
        {reader: sum(one.answer is not None for one in read[reader].values()) for reader in study.readers},
    )


def _by_case(study: ReaderStudy, reader: str) -> dict[int, ReadCase]:
    """Return the reader's cases, by position in the study."""
    order = study.order(reader)
    progress = read_progress(study.answers(reader), len(order))
    return {order[position]: read for position, read in progress.read.items()}


def _answer(read: Mapping[int, ReadCase], number: int) -> ReaderAnswer | None:
    return read[number].answer if number in read else None


def _of_reader(study: ReaderStudy, reader: str, read: Mapping[int, ReadCase]) -> list[Row]:
    position = {number: index for index, number in enumerate(study.order(reader))}
    rows = []
    for number, case in enumerate(study.cases):
        one = read.get(number)
        if one is None or one.answer is None or one.answer.label is None:
            continue
        columns = {
            "seconds": f"{one.active_ms / 1000:.1f}",
            "seconds_with_idle": f"{one.elapsed_ms / 1000:.1f}",
            "answered_at": one.answered_at,
            "answers_given": str(one.answers_given),
            "place": str(position[number] + 1),
        }
        rows.append(_row(case, one.answer.label, columns))
    return rows


def _reader_columns(read: Mapping[str, Mapping[int, ReadCase]], number: int) -> dict[str, str]:
    labels = {}
    for reader, own in read.items():
        answer = _answer(own, number)
        labels[f"{READER}{reader}"] = "" if answer is None or answer.label is None else str(answer.label)
    return {**labels, "readers_abnormal": str(list(labels.values()).count("1")), "readers": str(len(read))}


def _row(case: ReaderCase, label: int, columns: Mapping[str, str]) -> Row:
    known = case.columns
    return Row(
        image=case.image,
        label=label,
        patient=case.patient,
        split=known.get("split", ""),
        fold=int(float(known["fold"])) if known.get("fold") else None,
        view=known.get("view", ""),
        age=float(known["age"]) if known.get("age") else None,
        sex=known.get("sex", ""),
        source=known.get("source", ""),
        columns={**{name: value for name, value in known.items() if name not in COLUMNS}, **columns},
    )


def _write_unresolved(path: Path, cases: list[tuple[ReaderCase, str, dict[str, str]]], readers: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.row(["image", "patient", "why", *readers])
        for case, why, columns in cases:
            writer.row([case.image, case.patient, why, *(columns[reader] for reader in readers)])
