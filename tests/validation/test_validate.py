"""The command: what it writes, what it refuses, what it goes on with, and when it says yes."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import roc_auc_score

from tests.support.model_folders import write_model
from triage.cli import triage
from triage.model.card import load_card
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute, LoadedModels, predict
from triage.validation.cohort.manifest import Row, write_manifest
from triage.validation.cohort.provenance import Provenance, manifest_digest, write_provenance
from triage.validation.measures import bars
from triage.validation.report import plots
from triage.validation.report.card_page import card_page
from triage.validation.report.report import render
from triage.validation.scores import predictions
from triage.validation.scores.predictions import PredictionsError, read_predictions

PATIENTS = 12


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult", cam=True)
    write_model(folder, "other-adult", bias=0.2)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose mean says the label, but for noise; two of each patient."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for number in range(2 * PATIENTS):
        chest = draw(number, rows=96, columns=96).astype(np.float64) / 4095
        brighter = chest ** (0.6 if number // 2 % 2 else 1.3) + rng.normal(0, 0.01, chest.shape)
        assert cv2.imwrite(str(folder / f"{number}.png"), (brighter.clip(0, 1) * 255).astype(np.uint8))
    return folder


def rows(images: Path) -> list[Row]:
    return [
        Row(
            image=images / f"{number}.png",
            label=number // 2 % 2,
            patient=f"p{number // 2}",
            split="test",
            view="PA" if number % 3 else "AP",
            age=30.0 + number,
            sex="F" if number % 4 < 2 else "M",
            source="phantoms",
            columns={"study": f"s{number // 2}", "machine": f"m{number % 2}"},
        )
        for number in range(2 * PATIENTS)
    ]


@pytest.fixture
def manifest(tmp_path: Path, images: Path) -> Path:
    path = tmp_path / "cohort.csv"
    write_manifest(path, rows(images))
    return path


def run(model: Path, manifest: Path, out: Path, *options: str) -> Result:
    command = ["validate", "--model", str(model), "--cohort", str(manifest), "--out", str(out), "--rounds", "200"]
    one_child = {"TRIAGE_WORKER_DECODE_PROCESSES": "1", "TRIAGE_WORKER_THREADS": "1"}
    return CliRunner().invoke(triage, [*command, *options], catch_exceptions=False, env=one_child)


def metrics_in(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found


def test_what_is_measured_is_what_the_service_scores(
    tmp_path: Path, models: Path, manifest: Path, images: Path
) -> None:
    out = tmp_path / "out"
    done = run(models / "tiny-adult", manifest, out, "--prevalence", "0.1", "--require", "coverage_lower>=0.8")
    assert done.exit_code == 0, done.output
    metrics, found = metrics_in(out), list(read_predictions(out / "predictions.csv"))
    assert [each.image for each in found] == [f"{number}.png" for number in range(2 * PATIENTS)]
    files = [images / each.image for each in found]
    alone = list(
        predict(
            files, LoadedModels.only(models / "tiny-adult"), AssessmentPolicy(), Compute(threads=1, decode_processes=1)
        )
    )
    np.testing.assert_allclose(
        [each.probability or -1 for each in found], [record["probability"] for record in alone], atol=1e-6
    )
    labels, scores = [each.label for each in found], [each.probability for each in found]
    assert metrics["image"]["auc"]["assessed"]["value"] == pytest.approx(roc_auc_score(labels, scores))
    assert metrics["metrics_schema"] == 2
    assert (metrics["image"]["n"], metrics["study"]["n"]) == (2 * PATIENTS, PATIENTS)
    assert set(metrics["subgroups"]) == {"view", "sex", "age", "machine"}
    assert [group["group"] for group in metrics["subgroups"]["view"]] == ["AP", "PA"]
    assert metrics["passed"] is True
    page = (out / "report.html").read_text()
    assert "data:image/jpeg" in page and "Activation map" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page), "the page stands alone"


def test_without_images_the_report_holds_no_radiograph(tmp_path: Path, models: Path, manifest: Path) -> None:
    assert run(models / "tiny-adult", manifest, tmp_path / "out", "--no-images").exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/jpeg" not in page and "data:image/png" not in page
    assert "cohort.csv" in page and "Worst case" in page


def test_a_bar_that_does_not_hold_is_status_1(tmp_path: Path, models: Path, manifest: Path) -> None:
    done = run(models / "tiny-adult", manifest, tmp_path / "out", "--require", "sensitivity_lower>=0.9999")
    assert done.exit_code == 1
    assert metrics_in(tmp_path / "out")["bars"][0]["holds"] is False
    assert "fails" in done.output


def test_a_model_that_refuses_everything_fails(tmp_path: Path, models: Path, images: Path) -> None:
    """Also bars that images not assessed can break: of a hundred refused images none was called wrongly."""
    child = tmp_path / "children.csv"
    write_manifest(child, [replace(row, age=4.0) for row in rows(images)])
    wanted = [f"{name}_lower>=0.01" for name in ("auc", "sensitivity", "specificity", "coverage", "accuracy")]
    wanted += ["brier_upper<=0.5", "auc_lower[view=PA]>=0.01"]
    done = run(models / "tiny-adult", child, tmp_path / "out", *[each for bar in wanted for each in ("--require", bar)])
    assert done.exit_code == 1
    metrics = metrics_in(tmp_path / "out")
    assert [each["holds"] for each in metrics["bars"]] == [False] * len(wanted)
    assert metrics["image"]["coverage"]["value"] == 0
    assert metrics["not_assessed"][0]["reason"] == "age_not_covered"
    done = run(models / "tiny-adult", child, tmp_path / "any", "--any-age", "--require", "coverage_lower>=0.8")
    assert done.exit_code == 0


def test_what_a_bar_is_held_against_is_an_interval_in_the_worst_case(
    tmp_path: Path, models: Path, images: Path
) -> None:
    """A blank among the positives is not assessed: the assessed alone would clear a bar that the cohort does not."""
    blank = tmp_path / "blank.png"
    assert cv2.imwrite(str(blank), np.full((96, 96), 120, dtype=np.uint8))
    broken = tmp_path / "broken.png"
    broken.write_bytes((images / "1.png").read_bytes()[:200])
    cohort = rows(images)
    cohort[12] = replace(cohort[12], image=blank, label=1, patient="blank", columns={})
    cohort[13] = replace(cohort[13], image=broken, label=1, patient="broken", columns={})
    path = tmp_path / "cohort.csv"
    write_manifest(path, cohort)
    assert run(models / "tiny-adult", path, tmp_path / "out").exit_code == 0
    metrics = metrics_in(tmp_path / "out")
    assert {each["reason"]: each["positives"] for each in metrics["not_assessed"]} == {
        "out_of_distribution": 1,
        "undecodable": 1,
    }
    point = metrics["image"]["points"][0]
    assert point["worst_case"]["confusion"]["fn"] == point["assessed"]["confusion"]["fn"] + 2
    bound = min(low for low, _ in point["worst_case"]["figures"]["sensitivity"]["intervals"].values())
    for limit, holds in ((bound, True), (bound + 0.001, False)):
        held = bars.hold(bars.parse(f"sensitivity_lower>={limit:.17f}"), metrics)
        assert (held.holds, held.bound) == (holds, bound)


def test_an_ended_run_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path, models: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    assert run(models / "tiny-adult", manifest, whole).exit_code == 0
    text = (whole / "predictions.csv").read_text().splitlines(keepends=True)
    ended.mkdir()
    (ended / "predictions.csv").write_text(
        "".join(text[:11]) + text[11][:40]
    )  # the power went while a line was written
    scored: list[Path] = []
    real = predictions.predict

    def counted(files: Sequence[Path], *rest: Any) -> Any:
        scored.extend(files)
        return real(files, *rest)

    monkeypatch.setattr(predictions, "predict", counted)
    assert run(models / "tiny-adult", manifest, ended).exit_code == 0
    assert len(scored) == 2 * PATIENTS - 10
    assert [each.image for each in read_predictions(ended / "predictions.csv")] == [
        each.image for each in read_predictions(whole / "predictions.csv")
    ]
    first, second = metrics_in(whole), metrics_in(ended)
    assert first["image"]["coverage"] == second["image"]["coverage"]
    assert first["image"]["auc"]["assessed"]["value"] == pytest.approx(second["image"]["auc"]["assessed"]["value"])
    scored.clear()
    assert run(models / "tiny-adult", manifest, ended).exit_code == 0
    assert scored == []


def test_predictions_of_another_model_are_not_mixed_in(tmp_path: Path, models: Path, manifest: Path) -> None:
    assert run(models / "tiny-adult", manifest, tmp_path / "out").exit_code == 0
    done = run(models / "other-adult", manifest, tmp_path / "out")
    assert done.exit_code == 78 and "another model or other settings" in done.output
    (tmp_path / "junk.csv").write_text("a,b\n1,2\n")
    with pytest.raises(PredictionsError, match="not written by this version"):
        list(read_predictions(tmp_path / "junk.csv"))


def broken_manifests(images: Path) -> dict[str, tuple[Callable[[list[Row]], list[Row]], str]]:
    copy = images / "copy.png"
    copy.write_bytes((images / "0.png").read_bytes())
    return {
        "one class": (lambda all_: [replace(row, label=1) for row in all_], "every label is 1"),
        "missing file": (lambda all_: [*all_, replace(all_[0], image=images / "none.png")], "no file"),
        "twice": (lambda all_: [*all_, all_[0]], "already"),
        "same bytes": (lambda all_: [*all_, replace(all_[0], image=copy)], "same bytes as line 2; --allow-duplicates"),
        "other label": (lambda all_: [*all_, replace(all_[0], image=copy, label=1)], "and another label"),
        "two splits": (lambda all_: [replace(all_[0], split="train"), *all_[1:]], "splits must be by patient"),
    }


@pytest.mark.parametrize("what", ["one class", "missing file", "twice", "same bytes", "other label", "two splits"])
def test_a_bad_manifest_is_one_error_before_any_scoring(tmp_path: Path, models: Path, images: Path, what: str) -> None:
    change, message = broken_manifests(images)[what]
    path = tmp_path / "cohort.csv"
    write_manifest(path, change(rows(images)))
    done = run(models / "tiny-adult", path, tmp_path / "out")
    assert done.exit_code == 78
    assert message in done.output and str(path) in done.output
    assert not (tmp_path / "out").exists()


def test_a_model_whose_digest_does_not_match_is_refused_before_any_scoring(
    tmp_path: Path, images: Path, manifest: Path
) -> None:
    write_model(tmp_path, "changed")
    with (tmp_path / "changed" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    done = run(tmp_path / "changed", manifest, tmp_path / "out")
    assert done.exit_code == 78 and "not the file that the card describes" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("bar", "message"),
    [
        ("auc>=0.9", "NAME_lower>=VALUE"),
        ("auc_lower<=0.9", "held with >="),
        ("beauty_lower>=0.9", "NAME of auc"),
        ("auc_lower@0.5>=0.9", "no operating point"),
        ("auc_lower[view=LL]>=0.9", "no such group"),
        ("sensitivity_lower@0.7>=0.9", "the points are"),
        ("ppv_at_prevalence_lower>=0.1", "give --prevalence"),
    ],
)
def test_a_bar_that_cannot_be_held_is_refused(bar: str, message: str) -> None:
    figure = {"value": 0.9, "n": 9, "intervals": {"exact": [0.8, 1.0]}}
    measured = {"auc": {"worst_case": figure}, "coverage": figure}
    point = {"name": "0.5", "threshold": 0.5, "worst_case": {"figures": {"sensitivity": figure}}}
    metrics = {"image": {**measured, "points": [point]}, "subgroups": {"view": [{"group": "PA"}]}}
    with pytest.raises(bars.BarError, match=re.escape(message)):
        bars.hold(bars.parse(bar), metrics)


def test_a_bar_that_cannot_be_held_ends_the_command(tmp_path: Path, models: Path, manifest: Path) -> None:
    done = run(models / "tiny-adult", manifest, tmp_path / "out", "--require", "beauty_lower>=0.9")
    assert done.exit_code == 78 and "NAME of auc" in done.output
    assert not (tmp_path / "out").exists()


def test_training_patients_are_counted_or_left_out(tmp_path: Path, images: Path, manifest: Path) -> None:
    listed = b"p0\np1\n"
    training = {"data": [], "images": 2, "recipe": "none", "patients_file": "patients.txt"}
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "patients.txt").write_bytes(listed)
    folder = tmp_path / "models"
    with pytest.raises(Exception, match="cannot be read"):  # written below, for the card names it
        write_model(folder, "known", training={**training, "patients_sha256": sha256(listed).hexdigest()})
    (folder / "known" / "patients.txt").write_bytes(listed)
    assert run(folder / "known", manifest, tmp_path / "with").exit_code == 0
    assert metrics_in(tmp_path / "with")["cohort"]["images_of_training_patients"] == 4
    assert "flatter the model" in " ".join(metrics_in(tmp_path / "with")["warnings"])
    other = tmp_path / "other-form.csv"
    other.write_text(re.sub(r",p([0-9])", r",patient-\1", manifest.read_text()))
    done = run(folder / "known", other, tmp_path / "unknown")
    assert done.exit_code == 0, done.output
    assert metrics_in(tmp_path / "unknown")["cohort"]["images_of_training_patients"] is None
    assert "in another form" in " ".join(metrics_in(tmp_path / "unknown")["warnings"])
    done = run(folder / "known", other, tmp_path / "refused", "--exclude-training-patients")
    assert done.exit_code == 78 and "cannot be left out" in done.output
    assert run(folder / "known", manifest, tmp_path / "without", "--exclude-training-patients").exit_code == 0
    found = metrics_in(tmp_path / "without")
    assert (found["image"]["n"], found["cohort"]["images_of_training_patients_left_out"]) == (2 * PATIENTS - 4, 4)


def test_images_of_training_are_told_by_their_bytes_and_by_what_they_show(
    tmp_path: Path, images: Path, manifest: Path
) -> None:
    header, *rows = manifest.read_text().splitlines()
    shown = [f"{row},nih:{number}" for number, row in enumerate(rows)]
    (tmp_path / "shown.csv").write_text("\n".join([f"{header},picture", *shown]) + "\n")
    same_bytes = sha256((manifest.parent / rows[0].partition(",")[0]).read_bytes()).hexdigest()
    lists = {"patients": "p99\n", "images": f"{same_bytes}\nnih:1\nnih:{len(rows) + 1}\n"}
    write_model(tmp_path / "models", "listed")
    folder = tmp_path / "models" / "listed"
    card = json.loads((folder / "card.json").read_text())
    for what, listed in lists.items():
        (folder / f"{what}.txt").write_text(listed)
        digest = sha256(listed.encode()).hexdigest()
        card["training"] |= {f"{what}_file": f"{what}.txt", f"{what}_sha256": digest}
    (folder / "card.json").write_text(json.dumps(card))
    assert run(folder, tmp_path / "shown.csv", tmp_path / "with").exit_code == 0
    found = metrics_in(tmp_path / "with")
    assert found["cohort"]["training_images"] == 2
    assert "learnt from 2 of these very images" in " ".join(found["warnings"])
    assert run(folder, tmp_path / "shown.csv", tmp_path / "without", "--exclude-training-patients").exit_code == 0
    assert metrics_in(tmp_path / "without")["cohort"]["images_of_training_patients_left_out"] == 2


def test_two_models_readers_and_replicates_side_by_side(
    tmp_path: Path, models: Path, manifest: Path, images: Path
) -> None:
    calls = tmp_path / "readers.csv"
    with calls.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "reader", "label"])
        for number, row in enumerate(rows(images)):
            for reader in range(3):
                writer.writerow([row.image.name, f"R{reader}", row.label if number % 5 != reader else 1 - row.label])
    assert run(models / "other-adult", manifest, tmp_path / "other").exit_code == 0
    scores = str(tmp_path / "other" / "predictions.csv")
    options = ["--versus", str(models / "other-adult"), "--versus", scores, "--readers", str(calls)]
    options += [each for kind in ("--replicate", "--versus-replicate") for each in (kind, scores, kind, scores)]
    done = run(models / "tiny-adult", manifest, tmp_path / "out", *options)
    assert done.exit_code == 0, done.output
    found = metrics_in(tmp_path / "out")
    by_name = {each["name"]: each for each in found["versus"]}
    assert set(by_name) == {"other-adult", "predictions", "R0", "R1", "R2", "majority of readers"}
    model = by_name["other-adult"]
    assert model["auc"]["difference"] == pytest.approx(0, abs=1e-9)  # a bias changes no order
    assert model["points"][0]["mcnemar"]["p_value"] <= 1
    assert by_name["R0"]["reader"]["sensitivity"]["value"] == found["readers"][0]["sensitivity"]["value"]
    assert by_name["R0"]["combined"]["auc"]["value"] > 0.5
    majority = next(each for each in found["readers"] if each["name"] == "majority of readers")
    assert majority["accuracy"]["value"] == 1
    assert found["replicates"]["first"]["n"] == 2
    page = (tmp_path / "out" / "report.html").read_text()
    assert "True and false positive rates of readers" in page


def test_sizes_and_architectures_are_drawn_beside_each_other(tmp_path: Path, models: Path, manifest: Path) -> None:
    """Models by their cards, training runs by their configuration; scores of unknown origin are not drawn."""
    assert run(models / "other-adult", manifest, tmp_path / "other").exit_code == 0
    scores = (tmp_path / "other" / "predictions.csv").read_text()
    for name, architecture, size in (("small", "alexnet", 96), ("large", "resnet18-w32", 448)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "predictions.csv").write_text(scores)
        config = {"model": {"architecture": architecture}, "input": {"size": size}}
        (tmp_path / name / "run.json").write_text(json.dumps({"config": config}))
    (tmp_path / "unknown.csv").write_text(scores)
    given = [tmp_path / "small", tmp_path / "large" / "predictions.csv", tmp_path / "unknown.csv"]
    options = [each for path in given for each in ("--versus", str(path))]
    done = run(models / "tiny-adult", manifest, tmp_path / "out", *options, "--no-images")
    assert done.exit_code == 0, done.output
    found = metrics_in(tmp_path / "out")
    assert [(each["name"], each["architecture"], each["size"]) for each in found["versus"]] == [
        ("small", "alexnet", 96),
        ("large", "resnet18-w32", 448),
        ("unknown", None, None),
    ]
    assert (found["model"]["architecture"], found["model"]["size"]) == ("mean of the image", 64)
    low, high = found["versus"][0]["auc_alone"]["intervals"]["bootstrap"]
    assert low <= found["versus"][0]["auc"]["second"] <= high
    drawn = svg(plots.designs(found))
    for text in ("alexnet", "resnet18-w32", "mean of the image", "64 px", "96 px", "448 px", "AUC"):
        assert f">{text}<" in drawn
    assert "unknown" not in drawn
    assert re.search(r">large: AUC \d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)<", svg(plots.roc(found)))
    assert "AUC by architecture and image size" in (tmp_path / "out" / "report.html").read_text()
    again = run(models / "tiny-adult", manifest, tmp_path / "twice", *options[:2], "--versus", options[1])
    assert again.exit_code == 78 and "names small twice" in again.output
    (tmp_path / "small" / "run.json").write_text("{}")
    broken = run(models / "tiny-adult", manifest, tmp_path / "broken", *options[:2])
    assert broken.exit_code == 78 and "not the run.json of a training" in broken.output
    assert not (tmp_path / "broken").exists()


def svg(source: str) -> str:
    """The drawing in a data URI."""
    return b64decode(source.partition("base64,")[2]).decode()


def test_a_manifest_with_readers_columns_and_notes(tmp_path: Path, models: Path, images: Path) -> None:
    """A manifest as ``triage readers labels`` and ``training prepare`` write it."""
    told = [replace(row, columns={**row.columns, "reader_B": str(row.label), "readers": "1"}) for row in rows(images)]
    path = tmp_path / "cohort.csv"
    write_manifest(path, told)
    note = "Patient independence is not proven."
    described = Provenance(
        cohort="own",
        title="ours",
        terms="none",
        source="none",
        options={},
        counts={},
        patients=PATIENTS,
        public_patients=0,
        checked=(),
        partial=False,
        missing=0,
        missing_first=(),
        warnings=(note,),
        notes={},
        manifest_sha256=manifest_digest(path),
    )
    write_provenance(path, described)
    assert run(models / "tiny-adult", path, tmp_path / "out").exit_code == 0
    found = metrics_in(tmp_path / "out")
    assert [(each["name"], each["sensitivity"]["value"]) for each in found["readers"]] == [("B", 1)]
    assert not [name for name in found["subgroups"] if name.startswith("reader")]
    assert note in found["warnings"]
    path.write_text(path.read_text() + "\n")
    done = run(models / "tiny-adult", path, tmp_path / "out")
    assert done.exit_code == 78 and "another state" in done.output


def test_scores_out_of_fold_are_measured_instead_and_said_to_be(tmp_path: Path, models: Path, images: Path) -> None:
    folded = [replace(row, fold=number // 4 % 3) for number, row in enumerate(rows(images))]
    path = tmp_path / "cohort.csv"
    write_manifest(path, folded)
    oof = [
        {"image": row.image.name, "fold": row.fold, "label": float(row.label), "logit": row.label * 2 - 1 + 0.01 * n}
        for n, row in enumerate(folded[:-1])
    ]
    (tmp_path / "oof.json").write_text(json.dumps(oof))
    done = run(models / "tiny-adult", path, tmp_path / "out", "--scores", str(tmp_path / "oof.json"))
    assert done.exit_code == 0, done.output
    found = metrics_in(tmp_path / "out")
    assert found["image"]["auc"]["assessed"]["value"] == 1
    assert found["image"]["coverage"]["value"] == pytest.approx(1 - 1 / (2 * PATIENTS))
    assert found["image"]["auc"]["assessed"]["intervals"]["pairs"][0] < 0.7  # six against six say little
    assert found["folds"]["folds"] == 3
    assert "oof.json" in " ".join(found["warnings"])
    said = (tmp_path / "out" / "report.html").read_text()
    assert "is not measured here: scores were given" in said and "Of 100 images it assesses" not in said
    assert "| not measured: scores alone |" in card_page(load_card(models / "tiny-adult"), [found])
    asked = ("--scores", str(tmp_path / "oof.json"), "--require", "coverage_lower>=0.1")
    refused = run(models / "tiny-adult", path, tmp_path / "asked", *asked)
    assert refused.exit_code == 78 and "not measured from given --scores" in refused.output


def test_a_file_of_another_cohort_is_refused_before_any_scoring(tmp_path: Path, models: Path, manifest: Path) -> None:
    (tmp_path / "scores.csv").write_text("image,probability\nelsewhere.png,0.5\n")
    done = run(models / "tiny-adult", manifest, tmp_path / "out", "--scores", str(tmp_path / "scores.csv"))
    assert done.exit_code == 78 and "scores none of the cohort's images" in done.output
    (tmp_path / "scores.csv").write_text("image,probability\n0.png,1.5\n")
    done = run(models / "tiny-adult", manifest, tmp_path / "out", "--versus", str(tmp_path / "scores.csv"))
    assert done.exit_code == 78 and "not between 0 and 1" in done.output
    (tmp_path / "scores.csv").write_text("image,probability\nelsewhere.png,0.5\n")
    for option in ("--versus", "--replicate"):
        done = run(models / "tiny-adult", manifest, tmp_path / "out", option, str(tmp_path / "scores.csv"))
        assert done.exit_code == 78 and "scores none of the cohort's images" in done.output
    (tmp_path / "calls.csv").write_text("image,reader,label\nelsewhere.png,R1,1\n")
    done = run(models / "tiny-adult", manifest, tmp_path / "out", "--readers", str(tmp_path / "calls.csv"))
    assert done.exit_code == 78 and "reader R1 scores none" in done.output
    assert not (tmp_path / "out").exists()


def test_boxes_are_pointed_at_more_or_less_than_by_chance(tmp_path: Path, models: Path, manifest: Path) -> None:
    lines = ["Image Index,Finding Label,Bbox [x,y,w,h],,,", "0.png,Mass,0,0,1024,1024", "1.png,Nodule,0,0,1,1"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    done = run(models / "tiny-adult", manifest, tmp_path / "out", "--boxes", str(tmp_path / "boxes.csv"))
    assert done.exit_code == 0, done.output
    found = {each["finding"]: each for each in metrics_in(tmp_path / "out")["pointing_game"]["findings"]}
    assert (found["Mass"]["hits"], found["Mass"]["chance"]) == (1, pytest.approx(1.0))
    assert (found["Nodule"]["hits"], found["all"]["n"]) == (0, 2)
    done = run(models / "other-adult", manifest, tmp_path / "no", "--boxes", str(tmp_path / "boxes.csv"))
    assert "no output cam" in metrics_in(tmp_path / "no")["pointing_game"]["why_not"]


def test_dicom_files_are_assessed_by_their_own_tags(tmp_path: Path, models: Path) -> None:
    cohort = []
    subjects = [("PA", "050Y"), ("AP", "061Y"), ("LL", "050Y"), ("PA", "003Y"), ("", "050Y"), ("PA", "")]
    for number, (view, age) in enumerate(subjects):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(as_dicom(draw(number, rows=96, columns=96), PhantomSubject(view=view, age=age, study="one")))
        cohort.append(Row(path, number % 2, f"p{number}"))
    write_manifest(tmp_path / "cohort.csv", cohort)
    assert run(models / "tiny-adult", tmp_path / "cohort.csv", tmp_path / "out", "--no-images").exit_code == 0
    found = list(read_predictions(tmp_path / "out" / "predictions.csv"))
    assert [each.reasons for each in found] == [
        (),
        (),
        ("not_frontal",),
        ("age_not_covered",),
        ("view_unverified",),
        ("age_unknown",),
    ]
    assert [each.assessed for each in found] == [True, True, False, False, False, False]
    assert metrics_in(tmp_path / "out")["study"]["n"] == 1


def test_the_page_needs_nothing_but_the_record(tmp_path: Path, models: Path, manifest: Path) -> None:
    assert run(models / "tiny-adult", manifest, tmp_path / "out", "--no-images").exit_code == 0
    page = render(metrics_in(tmp_path / "out"), load_card(models / "tiny-adult"))
    assert page == (tmp_path / "out" / "report.html").read_text()


def test_the_paper_s_verdict_decides_the_status_too(tmp_path: Path, models: Path, manifest: Path) -> None:
    done = run(models / "tiny-adult", manifest, tmp_path / "out", "--paper", "wcmc", "--require", "auc_lower>=0.01")
    assert done.exit_code == 1
    found = metrics_in(tmp_path / "out")
    assert found["bars"][0]["holds"] is True
    assert found["paper"]["verdict"] == "cannot be compared"
    assert "12 negative, 12 positive; the paper has 234 and 390" in " ".join(found["paper"]["obstacles"])
    assert "0.9851" in (tmp_path / "out" / "report.html").read_text()
    done = run(models / "tiny-adult", manifest, tmp_path / "other", "--paper", "chexpert")
    assert done.exit_code == 78 and "nih-consensus" in done.output


def test_the_service_starts_without_what_only_validation_needs() -> None:
    code = (
        "import sys, triage.listener.server, triage.scoring.worker, triage.spool.validation_partition, triage.cli;"
        "import triage.service.listen, triage.service.work, triage.service.sweep, triage.service.deliver;"
        "unwanted = {'scipy', 'sklearn', 'statsmodels', 'matplotlib', 'jinja2', 'torch'};"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_does_not_grow_with_the_cohort_and_a_broken_image_ends_nothing(tmp_path: Path) -> None:
    """Kept model inputs would be 150 MB more for the larger one; a broken image lies in the middle of both."""
    write_model(tmp_path, "large", size=384)
    few, many = (peak_of_validating(tmp_path, count) for count in (20, 270))
    assert many - few < 70e6, f"{few / 1e6:.0f} MB for 20 images, {many / 1e6:.0f} MB for 270"


def peak_of_validating(folder: Path, count: int) -> float:
    """Bytes that the command had at most, in a process of its own."""
    place = folder / str(count)
    place.mkdir()
    chests = [cv2.imencode(".png", (draw(n, rows=96, columns=96) / 16).astype(np.uint8))[1].tobytes() for n in (1, 2)]
    cohort = []
    for number in range(count):
        image = place / f"{number}.png"
        image.write_bytes(chests[number % 2] + str(number).encode())  # behind its end a picture may hold anything
        cohort.append(Row(image, number % 2, f"p{number}", view="PA", age=40.0))
    cohort[count // 2].image.write_bytes(chests[0][:500])
    write_manifest(place / "cohort.csv", cohort)
    command = [sys.executable, "-m", "triage.cli", "validate", "--model", str(folder / "large"), "--no-images"]
    command += ["--cohort", str(place / "cohort.csv"), "--out", str(place / "out"), "--rounds", "100"]
    limits = {"TRIAGE_WORKER_DECODE_PROCESSES": "1", "TRIAGE_WORKER_THREADS": "1"}
    process = subprocess.Popen(command, env={**os.environ, **limits}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    found = list(read_predictions(place / "out" / "predictions.csv"))
    assert len(found) == count
    assert [each.image for each in found if not each.assessed] == [f"{count // 2}.png"]
    assert found[count // 2].reasons == ("undecodable",)
    return usage.ru_maxrss * 1024.0
