"""Grids, ablations, learning curves, comparisons and plots."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import ttest_ind

from tests.support.cohort_images import TINY, write_cohort
from training.cli import main
from training.config import Config
from training.data.cases import limited, read_cases
from training.errors import TrainingError
from training.runs.devices import Process
from training.runs.run import WEIGHTS, RunSources, RunSpec
from training.runs.scores import RunScores, figures
from training.studies import plots
from training.studies.compare import paired, replicates
from training.studies.experiments import ablations_of, grid_of, run_study, sizes_of
from triage.statistics.intervals import auc

CPU = Process(torch.device("cpu"))
QUICK = Config.model_validate(
    {
        **TINY,
        "schedule": {**TINY["schedule"], "epochs": 1},
        "data": {"folds": 2},
        "grid": {"optimizer.learning_rate": [0.004, 1e6], "loss.smoothing": [0.0]},
        "ablate": {"no-average": {"schedule.averaging": 0.0}, "robust": {"loss.kind": "gce"}},
    }
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def scored(labels: list[int], logits: list[float], folds: list[int] | None = None) -> RunScores:
    count = len(labels)
    names = tuple(f"{number}.png" for number in range(count))
    people, empty = tuple(f"p:{number}" for number in range(count)), ("",) * count
    numbers = np.array(labels, dtype=float), np.array(logits, dtype=float)
    return RunScores(names, people, empty, tuple(folds or [0] * count), empty, empty, empty, *numbers)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_goes_on_after_one_that_diverges_and_trains_nothing_twice(tmp_path: Path) -> None:
    source, out = RunSources((write_cohort(tmp_path, 32),)), tmp_path / "grid"
    variants = grid_of(QUICK)
    assert len(variants) == 2
    for _ in range(2):
        run_study(RunSpec(QUICK, source, out, tmp_path / "cache"), variants, CPU, [0])
    rows = table(out / "results.csv")
    assert rows[0]["variant"] == "learning_rate=0.004-smoothing=0.0"
    assert float(rows[0]["loss"]) > 0
    assert rows[1]["images"] == "diverged"
    first = (out / rows[0]["variant"] / "fold0" / WEIGHTS).stat().st_mtime_ns
    run_study(RunSpec(QUICK, source, out, tmp_path / "cache"), variants, CPU, [0])
    assert (out / rows[0]["variant"] / "fold0" / WEIGHTS).stat().st_mtime_ns == first


def test_an_ablation_changes_one_thing_at_a_time(tmp_path: Path) -> None:
    variants = ablations_of(QUICK)
    assert list(variants) == ["base", "no-average", "robust"]
    assert list(ablations_of(QUICK, ["robust"])) == ["base", "robust"]
    with pytest.raises(TrainingError, match=r"no .ablate.other.; there are no-average, robust"):
        ablations_of(QUICK, ["other"])
    with pytest.raises(TrainingError, match=r"has no .grid."):
        grid_of(QUICK.model_copy(update={"grid": {}}))
    write_cohort(tmp_path, 32)
    config = tmp_path / "tiny.toml"
    parts = {**TINY, "data": {"folds": 2}, "ablate.robust": {"loss.kind": "gce"}}
    lines = []
    for name, values in parts.items():
        lines += [f"[{name}]", *(f'"{key}" = {json.dumps(value)}' for key, value in values.items())]
    config.write_text("\n".join(lines))
    manifest = str(tmp_path / "cohort.csv")
    command = ["ablate", str(config), "--manifest", manifest, "-o", str(tmp_path / "out"), "--fold", "1"]
    result = CliRunner().invoke(main, [*command, "--set", "schedule.epochs=1"])
    assert result.exit_code == 0, result.output
    rows = table(tmp_path / "out" / "results.csv")
    assert {row["variant"]: row["changes"] for row in rows} == {"base": "", "robust": "loss.kind = gce"}


def test_a_learning_curve_is_over_nested_sets_of_patients(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 48)
    cases = read_cases([manifest])
    few, more = ({case.image for case in limited(cases, count, seed=5)} for count in (8, 20))
    assert (len(few), len(more)) == (8, 20)
    assert few < more
    assert limited(cases, 0, seed=5) == cases
    variants = sizes_of([0, 16, 16])
    assert list(variants) == ["images=16", "images=all"]
    outcomes = run_study(RunSpec(QUICK, RunSources((manifest,)), tmp_path / "curve", tmp_path / "cache"), variants, CPU)
    assert [len(outcome.scored.images) for outcome in outcomes if outcome.scored] == [48, 48]
    run_study(RunSpec(QUICK, RunSources((manifest,)), tmp_path / "curve", tmp_path / "cache"), sizes_of([8]), CPU)
    assert {row["variant"] for row in table(tmp_path / "curve" / "results.csv")} == {"images=8", *variants}
    plot = tmp_path / "curve.svg"
    runs = [str(tmp_path / "curve" / name) for name in variants]
    assert CliRunner().invoke(main, ["figures", "learning-curve", *runs, "-o", str(plot)]).exit_code == 0
    axes = plots.learning_curve([plots.limited_run(Path(run)) for run in runs]).axes[0]
    assert axes.containers[0].lines[0].get_xdata().tolist() == [16, 24]
    sizes = CliRunner().invoke(main, ["figures", "sizes", *runs, "-o", str(tmp_path / "sizes.png")])
    assert sizes.exit_code == 0 and (tmp_path / "sizes.png").stat().st_size > 1000


def test_the_papers_test_is_scipys() -> None:
    labels = [0, 0, 0, 1, 1, 1]
    first = [scored(labels, [0, 1, 2, 1.5, 2.5, at]) for at in (0.5, 1.7, 3)]
    second = [scored(labels, [0, 1, 2, 2.5, 3, at]) for at in (1.5, 2.2, 3)]
    found = replicates(first, second)
    aucs = [[figures(one)["auc"] for one in group] for group in (first, second)]
    assert found.p_value == pytest.approx(ttest_ind(*aucs).pvalue)
    assert found.difference == pytest.approx(np.mean(aucs[1]) - np.mean(aucs[0]))
    with pytest.raises(TrainingError, match="two trainings"):
        replicates(first[:1], second)


def test_a_paired_bootstrap_sees_what_is_there_and_nothing_where_there_is_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200).tolist()
    weak = [label + rng.normal(0, 2) for label in labels]
    strong = [3 * label + rng.normal(0, 1) for label in labels]
    better = paired([scored(labels, weak)], [scored(labels, strong)])
    assert better.ci95[0] > 0 and better.p_value < 0.01
    none = paired([scored(labels, weak)], [scored(labels, weak)])
    assert (none.difference, none.p_value) == (0, 1)
    with pytest.raises(TrainingError, match="other labels"):
        paired([scored(labels, weak)], [scored([1 - label for label in labels], weak)])


def test_the_command_compares_folds(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    labels, folds = [0, 1] * 30, [number // 20 for number in range(60)]
    for name, strength in (("first", 1), ("second", 4)):
        logits = [strength * label + rng.normal() for label in labels]
        scored(labels, logits, folds).write(tmp_path / f"{name}.csv")
    files = [str(tmp_path / f"{name}.csv") for name in ("first", "second")]
    result = CliRunner().invoke(main, ["compare", *files])
    assert result.exit_code == 0, result.output
    record = json.loads(result.output)
    assert record["paired"]["all"]["difference"] > 0
    assert len(record["replicates"]["first"]) == 3
    assert CliRunner().invoke(main, ["figures", "roc", *files, "-o", str(tmp_path / "roc.pdf")]).exit_code == 0
    assert (tmp_path / "roc.pdf").read_bytes()[:4] == b"%PDF"
    assert CliRunner().invoke(main, ["figures", "roc", *files, "-o", str(tmp_path / "roc.txt")]).exit_code == 1


def test_the_area_under_the_drawn_curve_is_the_auc() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 100).astype(float)
    scores = np.round(labels + rng.normal(0, 1, 100), 1)  # with ties
    alarms, hits = plots.roc_points(labels, scores)
    assert np.trapezoid(hits, alarms) == pytest.approx(auc(labels, scores))
    figure = plots.overlaid_roc([("model", scored(labels.astype(int).tolist(), scores.tolist()))])
    assert figure.axes[0].get_legend().get_texts()[0].get_text().startswith(f"model: {auc(labels, scores):.3f} (")
