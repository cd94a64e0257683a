"""Work off a plan: one training at a time, in its order. Finished folds are not trained again, here or elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from training.errors import TrainingError
from training.files import write_text
from training.runs.run import RECORD, WEIGHTS
from training.runs.scores import OUTPUTS
from training.studies.plan import CohortPlan, Job, Plan, RunPlan, better_half
from triage.validation.cohort.manifest import Row, read_manifest, write_manifest

PID, STOP, LOG = "pid", "stop", "log"


@dataclass(frozen=True)
class Queue:
    """Jobs of a plan, and their folders.

    ``home`` holds manifests, runs, cache and log; ``data`` the cohorts as their owners publish them; ``kept`` the
    scores of finished folds, from any machine (see ``harvest``).
    """

    plan: Plan
    home: Path
    data: Path
    kept: Path

    def finished(self, job: Job) -> bool:
        """Return True if the job's scores are here or kept; for a run without folds, if its network is here."""
        if job.fold is None:
            return (self.home / "runs" / job.run / WEIGHTS).exists()
        return self.scores_of(job) is not None

    def scores_of(self, job: Job) -> Path | None:
        """Return the file with the scores of one fold, None without any."""
        places = (
            self.home / "runs" / job.run / f"fold{job.fold}" / OUTPUTS,
            self.kept / job.run / f"fold{job.fold}.csv",
        )
        return next((path for path in places if path.is_file()), None)


def work(queue: Queue, measure: Callable[[Queue, str, Sequence[int]], float]) -> bool:
    """Train the unfinished jobs; return False if the file ``home/stop`` ended it before the next job.

    ``measure(queue, run, folds)`` returns the figure by which half of the runs are stopped. A training that fails does
    not stop the others: a TrainingError names it at the end, and its output is in ``home/log``. Raises TrainingError at
    once where another process works here, and where a training is killed.
    """
    claim(queue.home)
    folds: set[int] = set()
    failed: list[Job] = []
    for step in queue.plan.steps:
        runs = step.runs
        if step.better_half_of:
            runs = better_half(
                {run: measure(queue, run, sorted(folds - set(step.folds))) for run in step.better_half_of}
            )
        for job in _jobs(queue.plan, runs, step.folds):
            if queue.finished(job):
                continue
            if (queue.home / STOP).exists():
                return False
            if not train(queue, job):
                failed.append(job)
        folds |= set(step.folds)
    if failed:
        names = ", ".join(f"{job.run} fold {job.fold}" for job in failed)
        raise TrainingError(f"not trained: {names}; see {queue.home / LOG}")
    return True


def _jobs(plan: Plan, runs: Sequence[str], folds: Sequence[int]) -> list[Job]:
    return [Job(run, fold) for run in runs for fold in ((None,) if plan.resolved(run).single else folds)]


def claim(home: Path) -> None:
    """Write ``home/pid``. Raises TrainingError where another process works on this home."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / PID
    if path.exists():
        earlier = int(path.read_text() or 0)
        if earlier != os.getpid() and psutil.pid_exists(earlier):
            raise TrainingError(f"process {earlier} works here already: make the file {home / STOP} to end it")
    write_text(path, f"{os.getpid()}\n")


def train(queue: Queue, job: Job) -> bool:
    """Train one network in a child process; return False if it failed. Raises TrainingError if it was killed."""
    run = queue.plan.resolved(job.run)
    manifests = [prepared(queue, name, queue.plan.cohorts[name]) for name in run.cohorts]
    with (queue.home / LOG).open("ab") as log:
        log.write(f"== {job.run}, fold {job.fold}\n".encode())
        log.flush()
        ended = subprocess.run(
            command(job, run, manifests),
            cwd=queue.home,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TQDM_MININTERVAL": "60"},
            check=False,
        )
    if ended.returncode < 0:
        raise TrainingError(f"{job.run}, fold {job.fold}: killed by signal {-ended.returncode}")
    return ended.returncode == 0


def command(job: Job, run: RunPlan, manifests: Sequence[Path]) -> list[str]:
    """Return the command line of the job's training, for the folder ``home``."""
    kind, folds = ("train", []) if job.fold is None else ("cross-validate", ["--fold", str(job.fold)])
    named = [part for path in manifests for part in ("--manifest", f"data/{path.name}")]
    changes = [part for key, value in run.set.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    place = ["-o", f"runs/{job.run}", "--cache", "cache"]
    return [sys.executable, "-m", "training", kind, run.config, *named, *place, *folds, *changes]


def prepared(queue: Queue, name: str, cohort: CohortPlan) -> Path:
    """Return the cohort's manifest; it is made if absent. Raises TrainingError."""
    path = queue.home / "data" / f"{name}.csv"
    if path.exists():
        return path
    whole = path.with_name(f"{name}-whole.csv")
    source = ["--source", str(queue.data / cohort.source), "--out", str(whole)]
    made = subprocess.run(
        [sys.executable, "-m", "training", "prepare", *cohort.prepare, *source],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise TrainingError(f"cohort {name}: {made.stderr.strip()}")
    part = path.with_suffix(".part")
    write_manifest(part, _chosen(read_manifest(whole), cohort))
    part.replace(path)  # so that the manifest is complete or absent, whenever this process is killed
    return path


def _chosen(rows: Sequence[Row], cohort: CohortPlan) -> list[Row]:
    """Return the rows of the splits that stay, under their new names; renamed splits lose their folds."""
    there = [row for row in rows if row.patient not in cohort.without]
    if not cohort.keep:
        return there
    return [replace(row, split=cohort.keep[row.split], fold=None) for row in there if row.split in cohort.keep]


def harvest(queue: Queue) -> list[Path]:
    """Copy the scores of finished folds, and the records of their runs, to ``kept``; return the new files.

    They hold public names of pictures only.
    """
    new = []
    for scores in sorted((queue.home / "runs").glob(f"*/fold*/{OUTPUTS}")):
        run = scores.parent.parent
        if run.name in queue.plan.runs:
            new += _copied(queue.kept / run.name / f"{scores.parent.name}.csv", scores.read_text(encoding="utf-8"))
            new += _copied(queue.kept / run.name / "run.json", record_of(run))
    return new


def record_of(run: Path) -> str:
    """Return the configuration, versions and number of rows of a run as JSON, without any path of this machine."""
    record: Mapping[str, Any] = json.loads((run / RECORD).read_text(encoding="utf-8"))
    manifests = [Path(one["path"]).name for one in record["source"]["manifests"]]
    kept = {name: record[name] for name in ("kind", "config", "training_images", "environment")}
    return json.dumps({**kept, "manifests": manifests}, indent=1) + "\n"


def _copied(path: Path, text: str) -> list[Path]:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return []
    write_text(path, text)
    return [path]
