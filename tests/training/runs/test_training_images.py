"""The list of images that a network learnt from."""

from __future__ import annotations

import csv
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.cohort_images import TINY, write_cohort
from training.config import Config
from training.data.cases import read_cases
from training.errors import TrainingError
from training.runs.run import RunCases, RunSources, RunSpec, describe
from training.runs.training_images import IMAGES, read_images, write_images


def with_pictures(manifest: Path, *names: str) -> None:
    """Give the first rows a free column ``picture``."""
    with manifest.open() as file:
        rows = list(csv.DictReader(file))
    for row, name in zip(rows, names, strict=False):
        row["picture"] = name
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], *({"picture"} - set(rows[0]))], restval="")
        writer.writeheader()
        writer.writerows(rows)


def test_files_are_listed_by_their_bytes_and_public_pictures_by_name(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 4)
    with_pictures(manifest, "nih:00000001_000", "our-hospital:7")
    cases = read_cases([manifest])
    write_images(tmp_path, cases, ["rsna:earlier"])
    digests = {sha256(case.image.read_bytes()).hexdigest() for case in cases}
    assert set(read_images(tmp_path)) == digests | {"nih:00000001_000", "rsna:earlier"}


def test_a_run_lists_the_images_of_the_run_that_it_starts_from(tmp_path: Path) -> None:
    first, second = write_cohort(tmp_path, 8, name="first"), write_cohort(tmp_path, 4, name="second")
    for name, manifest, weights in (("a", first, "scratch"), ("b", second, f"run:{tmp_path / 'a' / 'fold0'}")):
        (tmp_path / name).mkdir()
        config = Config.model_validate(TINY).changed({"model.weights": weights})
        cases = read_cases([manifest])
        describe(RunSpec(config, RunSources((manifest,)), tmp_path / name, tmp_path), "train", RunCases(cases))
    assert len(set(read_images(tmp_path / "a"))) == 8
    assert set(read_images(tmp_path / "a")) < set(read_images(tmp_path / "b"))


def test_a_run_of_a_release_that_kept_no_list_has_to_be_run_again(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"{IMAGES} cannot be read.*run the training again"):
        read_images(tmp_path)
