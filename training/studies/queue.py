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
from training.runs.loop import LOG as COURSE
from training.runs.run import RECORD, WEIGHTS
from training.runs.scores import OUTPUTS
from training.studies.plan import CohortPlan, Job, Plan, RunPlan, StepPlan, better_half
from triage.validation.cohort.manifest import Row, read_manifest, write_manifest

PID, STOP, LOG = "pid", "stop", "log"
MEASURED = "validation_auc"


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
        if job.fold is None and not job.test:
            return (self.home / "runs" / job.run / WEIGHTS).exists()
        return self.scores_of(job) is not None

    def scores_of(self, job: Job) -> Path | None:
        """Return the file with the scores of one fold, or of a test; None without any."""
        run, kept = self.home / "runs" / job.run, self.kept / job.run
        name = job.test_name if job.test else f"fold{job.fold}"
        places = (run / f"{name}-{OUTPUTS}" if job.test else run / name / OUTPUTS, kept / f"{name}.csv")
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
        for job in _jobs(queue.plan, runs, step):
            if queue.finished(job):
                continue
            if (queue.home / STOP).exists():
                return False
            if not train(queue, job):
                failed.append(job)
        folds |= set(step.folds)
    if failed:
        raise TrainingError(f"not trained: {'; '.join(map(str, failed))}; see {queue.home / LOG}")
    return True


def _jobs(plan: Plan, runs: Sequence[str], step: StepPlan) -> list[Job]:
    if step.test:
        return [Job(run, None, step.test, step.split) for run in runs]
    return [Job(run, fold) for run in runs for fold in ((None,) if plan.resolved(run).single else step.folds)]


def _untrained(queue: Queue, run: str) -> list[str]:
    """Return the networks of a run that the plan asks for and that are not here: its mean would be of fewer."""
    steps = [step for step in queue.plan.steps if run in step.runs and not step.test]
    folder = queue.home / "runs" / run
    wanted = [job for step in steps for job in _jobs(queue.plan, (run,), step)]
    places = {job: folder if job.fold is None else folder / f"fold{job.fold}" for job in wanted}
    return [str(job) for job, place in places.items() if not (place / WEIGHTS).exists()]


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
    """Train one network, or score a test, in a child process; return False if it failed.

    No test is scored while a network is missing: a look is counted. Raises TrainingError if the process was killed.
    """
    run = queue.plan.resolved(job.run)
    manifests = [prepared(queue, name, queue.plan.cohorts[name]) for name in ((job.test,) if job.test else run.cohorts)]
    missing = _untrained(queue, job.run) if job.test else []
    with (queue.home / LOG).open("ab") as log:
        log.write("".join([f"== {job}\n", *(f"not trained: {one}\n" for one in missing)]).encode())
        log.flush()
        if missing:
            return False
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
        raise TrainingError(f"{job}: killed by signal {-ended.returncode}")
    return ended.returncode == 0


def command(job: Job, run: RunPlan, manifests: Sequence[Path]) -> list[str]:
    """Return the command line of the job's training, or of its test, for the folder ``home``."""
    if job.test:
        scored = ["--manifest", f"data/{manifests[0].name}", "--split", job.split, "--look-at-test"]
        return [sys.executable, "-m", "training", "score", f"runs/{job.run}", *scored]
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
    there = [_of_test(row, cohort) for row in rows if row.patient not in cohort.without and _asked(row, cohort)]
    if not cohort.keep:
        return there
    return [replace(row, split=cohort.keep[row.split], fold=None) for row in there if row.split in cohort.keep]


def _asked(row: Row, cohort: CohortPlan) -> bool:
    return all(row.columns.get(column) in values for column, values in cohort.only.items())


def _of_test(row: Row, cohort: CohortPlan) -> Row:
    return replace(row, split="test", fold=None) if row.fold in cohort.test_folds else row


def harvest(queue: Queue) -> list[Path]:
    """Copy the scores of finished folds and of tests, and the records of their runs, to ``kept``; return the new files.

    They hold public names of pictures only. The course of a training is copied where it was measured in each epoch.
    """
    new = []
    for run in sorted((queue.home / "runs").glob("*")):
        files = _of_run(run) if run.name in queue.plan.runs else {}
        for name, text in files.items():
            new += _copied(queue.kept / run.name / name, text)
    return new


def _of_run(run: Path) -> dict[str, str]:
    """Return what is kept of a run, by the name of the file."""
    folds = sorted(run.glob(f"fold*/{OUTPUTS}"))
    tests = sorted(run.glob(f"test-*-{OUTPUTS}"))
    courses = [path for path in sorted(run.glob(f"fold*/{COURSE}")) if MEASURED in path.read_text("utf-8")]
    found = {f"{path.parent.name}.csv": path.read_text("utf-8") for path in folds}
    found |= {f"{path.parent.name}.jsonl": path.read_text("utf-8") for path in courses}
    found |= {f"{path.name.removesuffix(f'-{OUTPUTS}')}.csv": path.read_text("utf-8") for path in tests}
    return {**found, "run.json": record_of(run)} if found else {}


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
