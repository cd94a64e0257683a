"""Scoring of a test set; each look at it is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from training.data.cases import TrainingCase
from training.errors import TrainingError
from training.files import digest, write_json, write_text
from training.runs.devices import Process
from training.runs.run import RunSources, TrainingRun
from training.runs.scores import OUTPUTS, RunScores, summary, write_outputs
from training.runs.train import score_cases

LOOKS = "looks.jsonl"


def looks_at(folder: Path) -> list[dict[str, object]]:
    """Return the entries of the log of looks: each time that a test set was scored from this run."""
    path = folder / LOOKS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


@dataclass(frozen=True)
class TestSet:
    """Manifest of a test set, and the splits to score (all without any)."""

    __test__ = False  # not a class of tests, whatever pytest reads into its name

    manifest: Path
    splits: Sequence[str] = ()


def look(
    run: TrainingRun, test: TestSet, process: Process, *, allowed: bool, members: Sequence[Path] = ()
) -> RunScores:
    """Score a test set by the mean of ``members``, or of all the run's networks, and count the look.

    Writes ``test-NAME.csv`` and ``.json``, and ``test-NAME-outputs.csv`` by picture. The look is counted in the run's
    folder before the first image is scored.
    Raises TrainingError unless it is ``allowed``, and for a row whose patient was trained on.
    """
    if not allowed:
        count = len(looks_at(run.folder))
        raise TrainingError(
            f"{test.manifest} was not scored: say --look-at-test (looked at {count} times from this run)"
        )
    cases = _test_cases(run, test)
    name = "-".join([test.manifest.stem, *test.splits])
    if process.writes:
        entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "manifest": str(test.manifest)}
        entry |= {"sha256": digest(test.manifest), "splits": ",".join(test.splits), "images": str(len(cases))}
        lines = [json.dumps(one) for one in [*looks_at(run.folder), entry]]
        write_text(run.folder / LOOKS, "".join(f"{line}\n" for line in lines))
    chosen = members or run.members
    scored = score_cases(run, chosen, cases, process)
    if process.writes:
        scored.write(run.folder / f"test-{name}.csv")
        _write_by_picture(run, scored, cases, run.folder / f"test-{name}-{OUTPUTS}")
        record = {**summary(scored), "looks": len(looks_at(run.folder)), "networks": len(chosen)}
        write_json(run.folder / f"test-{name}.json", record)
    return scored


def _write_by_picture(run: TrainingRun, scored: RunScores, cases: Sequence[TrainingCase], path: Path) -> None:
    by_image = {str(case.image.resolve()): case for case in cases}
    known = [by_image[image] for image in scored.images]
    write_outputs(path, known, run.config.outputs[:1], scored.logits[:, None], -1)


def _test_cases(run: TrainingRun, test: TestSet) -> list[TrainingCase]:
    cases = [case for case in RunSources((test.manifest,)).cases() if not test.splits or case.split in test.splits]
    if not cases:
        raise TrainingError(f"{test.manifest} has no row in {list(test.splits)}")
    for case in cases:
        if case.patient in run.seen:
            raise TrainingError(f"{case.origin}: its patient was trained on in {run.folder}")
    return cases
