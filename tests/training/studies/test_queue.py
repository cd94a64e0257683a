"""Working a plan off: in its order, each fold once, stopped in between, and carried to another machine."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.cohort_images import TINY, write_cohort
from training.cli import main
from training.errors import TrainingError
from training.studies import queue as queues
from training.studies.confusion import confusion, overlaid_roc
from training.studies.confusion import markdown as matrices
from training.studies.course import course_of
from training.studies.course import markdown as courses
from training.studies.plan import CohortPlan, Job, Plan, RunPlan, StepPlan
from training.studies.plan_results import Comparison, markdown, measure, pairs, pairs_markdown, table
from training.studies.plan_scores import Question, scores_of_run
from training.studies.queue import PID, STOP, Queue, claim, harvest, work
from triage.validation.cohort.manifest import Row, read_manifest, write_manifest

RECORD = {
    "kind": "cross-validate",
    "config": {},
    "training_images": 12,
    "environment": {},
    "source": {"manifests": [{"path": "/somewhere/drawn.csv", "sha256": ""}]},
    "cache": "/somewhere",
}
KINDS = ("base", "better", "worse", "worst")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """Two folds of drawn images, and four runs of which two are stopped after the first fold."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    cohort = write_cohort(tmp_path / "cohort", 24)
    rows = [
        Row(**{**vars(row), "fold": number // 4 % 2, "columns": {"picture": f"nih:{number}", "side": "ab"[number % 2]}})
        for number, row in enumerate(read_manifest(cohort))
    ]
    write_manifest(home / "data" / "drawn.csv", rows)
    lines = [f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
             for name, values in TINY.items()]  # fmt: skip
    (home / "tiny.toml").write_text("\n".join(lines))
    runs = {
        name: RunPlan(config=str(home / "tiny.toml"), cohorts=("drawn",), set={"schedule.epochs": 1}) for name in KINDS
    }
    steps = (StepPlan(runs=KINDS), StepPlan(runs=("base",), folds=(1,)), StepPlan(better_half_of=KINDS[1:], folds=(1,)))
    plan = Plan(cohorts={"drawn": CohortPlan(prepare=("folder",), source="drawn")}, runs=runs, steps=steps)
    return Queue(plan, home, tmp_path / "data", tmp_path / "kept")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs in the order in which they were done, each by writing scores instead of training."""
    done: list[Job] = []

    def scored(queue: Queue, job: Job) -> bool:
        done.append(job)
        if job.run == "worst" and queue.plan.about == "fails":
            return False
        folder = queue.home / "runs" / job.run / f"fold{job.fold}"
        folder.mkdir(parents=True)
        rows = read_manifest(queue.home / "data" / "drawn.csv")
        quality = {"base": 1.0, "better": 3.0, "worse": 0.5, "worst": -1.0}[job.run]
        with (folder / "outputs.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("picture", "fold", "abnormal"))
            for number, row in enumerate(rows):
                if row.fold == job.fold:
                    writer.writerow((row.columns["picture"], job.fold, quality * (row.label - 0.5) + number % 5 / 4))
        (folder.parent / "run.json").write_text(json.dumps(RECORD))
        return True

    monkeypatch.setattr(queues, "train", scored)
    return done


def by_name(queue: Queue, run: str, folds: Sequence[int]) -> float:
    """The better run has the shorter name."""
    assert list(folds) == [0]
    return -len(run) - (run == "worst")


def test_each_fold_is_trained_once_in_the_plans_order_and_half_of_the_runs_are_stopped(
    queue: Queue, trained: list[Job]
) -> None:
    assert work(queue, by_name)
    first = [*(Job(name, 0) for name in KINDS), Job("base", 1)]
    assert trained == [*first, Job("better", 1), Job("worse", 1)]
    assert work(queue, by_name) and len(trained) == 7


def test_a_stop_file_ends_it_before_the_next_training(queue: Queue, trained: list[Job]) -> None:
    (queue.home / STOP).touch()
    assert not work(queue, by_name) and trained == []


def test_another_machine_goes_on_with_what_was_kept(queue: Queue, trained: list[Job], tmp_path: Path) -> None:
    work(queue, by_name)
    kept = {path.relative_to(queue.kept).as_posix() for path in harvest(queue)}
    assert {"base/fold0.csv", "base/fold1.csv", "base/run.json", "worst/fold0.csv"} <= kept
    assert harvest(queue) == []
    assert "/somewhere" not in (queue.kept / "base" / "run.json").read_text()
    (tmp_path / "new" / "data").mkdir(parents=True)
    other = Queue(queue.plan, tmp_path / "new", queue.data, queue.kept)
    assert all(other.finished(job) for job in trained)
    assert not other.finished(Job("worst", 1))


def test_two_processes_never_work_in_one_folder(queue: Queue) -> None:
    queue.home.joinpath(PID).write_text(f"{os.getppid()}\n")
    with pytest.raises(TrainingError, match=r"works here already: make the file .*stop to end it"):
        claim(queue.home)
    queue.home.joinpath(PID).write_text("4194304\n")  # of no process: above the largest that Linux gives
    claim(queue.home)
    assert queue.home.joinpath(PID).read_text() == f"{os.getpid()}\n"


def test_a_training_that_fails_is_named_after_all_others(queue: Queue, trained: list[Job]) -> None:
    failing = replace(queue, plan=queue.plan.model_copy(update={"about": "fails"}))
    with pytest.raises(TrainingError, match=r"not trained: worst, fold 0; see .*log"):
        work(failing, measure)
    assert trained[-2:] == [Job("better", 1), Job("worse", 1)]


def test_a_real_training_is_scored_and_what_a_failed_one_said_is_in_the_log(queue: Queue) -> None:
    assert queues.train(queue, Job("base", 0))
    assert queue.finished(Job("base", 0)) and not queue.finished(Job("base", 1))
    assert len(scores_of_run(queue, "base").pictures) == 12
    broken = {"broken": RunPlan(config="nothing", cohorts=("drawn",))}
    assert not queues.train(replace(queue, plan=queue.plan.model_copy(update={"runs": broken})), Job("broken", 0))
    assert "no configuration 'nothing'" in (queue.home / "log").read_text()


def test_of_a_prepared_cohort_only_the_splits_that_are_kept_stay(tmp_path: Path, triage_data: Path) -> None:
    cohort = CohortPlan(prepare=("wcmc", "--validation", "0.14"), source="wcmc-pediatric", keep={"val": "children"})
    queue = Queue(Plan(cohorts={"c": cohort}, runs={}, steps=()), tmp_path / "home", triage_data, tmp_path / "kept")
    rows = read_manifest(queues.prepared(queue, "c", cohort))
    assert {row.split for row in rows} == {"children"} and 700 < len(rows) < 760


def test_patients_who_are_to_be_left_out_are(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = queue.home / "data" / "drawn.csv"

    def copied(command: Sequence[str], **_: object) -> SimpleNamespace:
        Path(command[-1]).write_bytes(whole.read_bytes())
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(queues.subprocess, "run", copied)
    cohort = CohortPlan(prepare=("folder",), source="drawn", without=("cohort:3",))
    rows = read_manifest(queues.prepared(queue, "fewer", cohort))
    assert len(rows) == 22 and all(row.patient != "cohort:3" for row in rows)
    assert {row.fold for row in rows} == {0, 1}


def test_the_outcome_compares_on_the_images_that_both_scored(queue: Queue, trained: list[Job]) -> None:
    work(queue, by_name)
    base, better, worse, worst = table(queue, KINDS, Comparison(tests=10))
    assert (base.images, worst.images, base.difference) == (24, 12, None)
    assert better.within == 1.0 and better.within > base.within > worse.within > worst.within
    assert better.difference == pytest.approx(better.within - base.within)
    assert worse.difference is not None and worse.difference < 0 and worse.difference_ci95 is not None
    assert worse.adjusted == pytest.approx(min(1.0, worse.p_value * 9), rel=0.2) or worse.adjusted == 1.0
    assert "| `worst` | 0 | 12 |" in markdown([base, better, worse, worst])


def test_folds_of_other_scales_are_compared_within_them_and_every_two_runs(queue: Queue, trained: list[Job]) -> None:
    work(queue, by_name)
    lifted = scores_of_run(queue, "better")
    lifted = replace(lifted, logits=lifted.logits + 100 * np.array(lifted.folds))
    pooled, folded = Comparison().auc(lifted), Comparison(within_folds=True).auc(lifted)
    assert pooled < folded == 1.0, "the second fold's scores are above all of the first's"
    assert lifted.folds_mean_and_sd == (1.0, 0.0)
    found = pairs(queue, KINDS, Comparison(within_folds=True))
    assert [(pair.first, pair.second) for pair in found] == list(combinations(KINDS, 2))
    assert all(pair.adjusted >= pair.p_value for pair in found)
    base, better, *_ = table(queue, KINDS, Comparison(within_folds=True))
    assert found[0].difference == pytest.approx(base.within - better.within)
    said = pairs_markdown(found)
    assert said.startswith("| run | less |") and "| `base` | `better` | " in said


def test_several_runs_are_asked_together_on_the_images_that_all_scored(queue: Queue, trained: list[Job]) -> None:
    work(queue, by_name)
    base, better, both = (scores_of_run(queue, run) for run in ("base", "better", "better+base"))
    order = [better.pictures.index(picture) for picture in base.pictures]
    assert sorted(both.pictures) == sorted(base.pictures)
    means = dict(zip(base.pictures, (base.logits + better.logits[order]) / 2, strict=True))
    assert both.logits == pytest.approx([means[picture] for picture in both.pictures])
    assert set(scores_of_run(queue, "base+worst").folds) == {0}
    first, mean = table(queue, ("base", "base+better"))
    assert mean.run == "base+better" and mean.within > first.within


def test_only_images_of_a_kind_are_asked_about(queue: Queue, trained: list[Job]) -> None:
    work(queue, by_name)
    asked = Question("abnormal", {"side": frozenset("a")})
    assert {int(picture[4:]) % 2 for picture in scores_of_run(queue, "base", None, asked).pictures} == {0}
    assert len(scores_of_run(queue, "base", None, Question(only={"side": frozenset("ab")})).pictures) == 24
    with pytest.raises(TrainingError, match="no column 'other'; there are label"):
        scores_of_run(queue, "base", None, Question(only={"other": frozenset("a")}))
    with pytest.raises(TrainingError, match="no output 'other'; there are"):
        scores_of_run(queue, "base", None, Question("other"))


TEST = Job("base", None, "drawn", "test")


def test_a_test_waits_for_all_networks_and_is_scored_once(queue: Queue) -> None:
    steps = (StepPlan(runs=("base",), folds=(0, 1)), StepPlan(runs=("base",), test="drawn"))
    queue = replace(queue, plan=queue.plan.model_copy(update={"steps": steps}))
    assert not queues.train(queue, TEST)
    assert "not trained: base, fold 0\nnot trained: base, fold 1\n" in (queue.home / "log").read_text()
    said = queues.command(TEST, queue.plan.resolved("base"), [queue.home / "data" / "drawn.csv"])
    wanted = ["score", "runs/base", "--manifest", "data/drawn.csv", "--split", "test", "--look-at-test"]
    assert said[3:] == wanted
    (queue.home / "runs" / "base").mkdir(parents=True)
    (queue.home / "runs" / "base" / "test-drawn-test-outputs.csv").write_text(
        "picture,fold,abnormal\nnih:0,-1,-2\nnih:2,-1,0.5\nnih:3,-1,1\n"
    )
    (queue.home / "runs" / "base" / "run.json").write_text(json.dumps(RECORD))
    assert queue.finished(TEST) and harvest(queue)
    shutil.rmtree(queue.home / "runs")
    assert queue.finished(TEST)
    found = confusion("base", scores_of_run(queue, "base@drawn"))
    assert (found.true_positives, found.false_positives, found.true_negatives) == (2, 0, 1) and found.each == ()


def test_of_a_cohort_only_the_asked_rows_stay_and_some_folds_are_a_test(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = queue.home / "data" / "drawn.csv"

    def copied(command: Sequence[str], **_: object) -> SimpleNamespace:
        Path(command[-1]).write_bytes(whole.read_bytes())
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(queues.subprocess, "run", copied)
    cohort = CohortPlan(prepare=("folder",), source="drawn", only={"side": ("a",)}, test_folds=(1,))
    rows = read_manifest(queues.prepared(queue, "part", cohort))
    assert {row.columns["side"] for row in rows} == {"a"}
    assert {(row.split, row.fold) for row in rows} == {("train", 0), ("test", None)}


def test_the_course_of_a_training_is_kept_where_each_epoch_was_measured(queue: Queue, trained: list[Job]) -> None:
    work(queue, by_name)
    for fold, each in ((0, (0.6, 0.9, 0.8)), (1, (0.7, 0.75, 0.79))):
        lines = [json.dumps({"epoch": number, "validation_auc": one}) for number, one in enumerate(each, 1)]
        (queue.home / "runs" / "base" / f"fold{fold}" / "log.jsonl").write_text("\n".join(lines) + "\n")
    harvest(queue)
    shutil.rmtree(queue.home / "runs")
    course = course_of(queue, "base")
    assert course.epochs_to(0.75) == (2, 2) and course.epochs_to(0.8) == (2, None)
    assert "| `base` | 2 | 0.650 ± 0.071 | 0.795 ± 0.007 | 0.795 ± 0.007 | 2, never |" in courses([course], [0.8])
    with pytest.raises(TrainingError, match="no training of better was measured after each epoch"):
        course_of(queue, "better")


def test_counts_at_half_and_their_curves(queue: Queue, trained: list[Job]) -> None:
    work(queue, by_name)
    scored = scores_of_run(queue, "worse")
    found = confusion("worse", scored)
    called, positive = scored.logits >= 0, scored.labels > 0.5
    assert (found.true_positives, found.false_positives) == ((called & positive).sum(), (called & ~positive).sum())
    assert found.true_negatives + found.false_negatives == (~called).sum()
    assert str(found.ppv).startswith(f"{(called & positive).sum() / called.sum():.3f} (")
    assert len(found.each) == 2 and "| `worse` |" in matrices([found])
    assert len(overlaid_roc([("worse", scored)]).axes[0].lines) == 3


def test_the_commands(queue: Queue, tmp_path: Path) -> None:
    places = ["--home", str(tmp_path / "h"), "--data", str(tmp_path), "--kept", str(tmp_path / "k")]
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / STOP).touch()
    plan = f"""
[cohorts.drawn]
prepare = ["folder"]
source = "drawn"
[runs.base]
config = {json.dumps(str(queue.home / "tiny.toml"))}
cohorts = ["drawn"]
[[steps]]
runs = ["base"]
"""
    (tmp_path / "plan.toml").write_text(plan)
    assert CliRunner().invoke(main, ["work", str(tmp_path / "plan.toml"), *places]).output == "stopped\n"
    assert CliRunner().invoke(main, ["harvest", str(tmp_path / "plan.toml"), *places]).output == ""
    refused = CliRunner().invoke(main, ["outcome", str(tmp_path / "plan.toml"), "base", *places])
    assert refused.exit_code == 1 and "no fold of base is finished" in refused.output
