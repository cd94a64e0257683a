"""Looking at a test set, which is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from training.data.cases import TrainingCase
from training.errors import TrainingError
from training.files import digest, write_json, write_text
from training.runs.devices import Process
from training.runs.run import RunSources, TrainingRun
from training.runs.scores import RunScores, summary
from training.runs.train import score_cases

LOOKS = "looks.jsonl"


def looks_at(folder: Path) -> list[dict[str, object]]:
    """Every time that a test set was scored in this run."""
    path = folder / LOOKS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def look(
    run: TrainingRun,
    manifest: Path,
    splits: Sequence[str],
    process: Process,
    *,
    allowed: bool,
    members: Sequence[Path] = (),
) -> RunScores:
    """Score the rows of ``manifest`` (in ``splits``, or all) by the mean of ``members``, or of all the run's networks.

    Writes ``test-NAME.csv`` and ``.json``. The look is counted in the run's folder before anything is scored. Raises
    TrainingError unless it is ``allowed``, and for a row whose patient was trained on.
    """
    if not allowed:
        count = len(looks_at(run.folder))
        raise TrainingError(f"{manifest} was not scored: say --look-at-test (looked at {count} times from this run)")
    cases = _test_cases(run, manifest, splits)
    name = "-".join([manifest.stem, *splits])
    if process.writes:
        entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "manifest": str(manifest)}
        entry |= {"sha256": digest(manifest), "splits": ",".join(splits), "images": str(len(cases))}
        lines = [json.dumps(one) for one in [*looks_at(run.folder), entry]]
        write_text(run.folder / LOOKS, "".join(f"{line}\n" for line in lines))
    chosen = members or run.members
    scored = score_cases(run, chosen, cases, process)
    if process.writes:
        scored.write(run.folder / f"test-{name}.csv")
        record = {**summary(scored), "looks": len(looks_at(run.folder)), "networks": len(chosen)}
        write_json(run.folder / f"test-{name}.json", record)
    return scored


def _test_cases(run: TrainingRun, manifest: Path, splits: Sequence[str]) -> list[TrainingCase]:
    cases = [case for case in RunSources((manifest,)).cases() if not splits or case.split in splits]
    if not cases:
        raise TrainingError(f"{manifest} has no row in {list(splits)}")
    for case in cases:
        if case.patient in run.seen:
            raise TrainingError(f"{case.origin}: its patient was trained on in {run.folder}")
    return cases
