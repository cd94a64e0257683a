"""A split by the appearance of the images: the rows of either side, and the command, on a cohort with a shortcut."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.cohort_images import SIZE, write_cohort
from training.cli import main
from training.errors import TrainingError
from training.studies.shortcut_split import split_by_appearance
from triage.validation.cohort.manifest import Row, read_manifest, write_manifest


def rows(labels: list[int], persons: list[str] | None = None) -> list[Row]:
    named = persons or [f"p{number}" for number in range(len(labels))]
    return [
        Row(Path(f"{number}.png"), label, f"own:{person}", fold=3, columns={"person": person})
        for number, (label, person) in enumerate(zip(labels, named, strict=True))
    ]


def test_validation_holds_those_who_appear_like_the_other_class():
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    appearance = np.array([0.1, 0.9, 0.2, 0.3, 0.8, 0.7, 0.05, 0.9])

    found = split_by_appearance(rows(labels), appearance, 0.25)

    assert [place for place, row in enumerate(found) if row.split == "val"] == [1, 6]
    assert {row.split for row in found} == {"train", "val"}
    assert all(row.fold is None for row in found)  # folds of a draw would mix the two parts again


def test_a_person_is_on_one_side_with_all_images():
    labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    persons = ["a", "a", "b", "c", "d", "e", "f", "g", "h", "h"]
    appearance = np.array([0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.9, 0.9, 0.1, 0.2])

    found = split_by_appearance(rows(labels, persons), appearance, 0.4)

    assert [row.columns["person"] for row in found if row.split == "val"] == ["a", "a", "h", "h"]


def test_a_share_that_empties_a_class_is_an_error():
    with pytest.raises(TrainingError, match="without label 1"):
        split_by_appearance(rows([0] * 20 + [1]), np.full(21, 0.5), 0.2)


def test_the_command_splits_a_cohort_whose_sharpness_goes_with_the_label(tmp_path: Path):
    manifest = write_cohort(tmp_path, 120)
    drawn = read_manifest(manifest)
    rng = np.random.default_rng(0)
    misleading = set()
    for number, row in enumerate(drawn):
        turned = number // 4 % 10 == 0  # whole patients, of either label
        misleading |= {row.image.resolve()} if turned else set()
        soft = bool(row.label) != turned
        noise = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)), (0, 0), 2.0 if soft else 0.8)
        cv2.imwrite(str(row.image), np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8))
    write_cohort(tmp_path, 4, name="test", split="test")
    write_manifest(manifest, [*drawn, *read_manifest(tmp_path / "test.csv")])
    out = tmp_path / "appearance" / "split.csv"

    ran = CliRunner().invoke(
        main,
        [
            "split-by-appearance",
            "--manifest",
            str(manifest),
            "-o",
            str(out),
            "--size",
            "48",
            "--cache",
            str(tmp_path / "c"),
        ],
    )

    assert ran.exit_code == 0, ran.output
    found = read_manifest(out)  # which checks that no patient is on both sides
    validation = {row.image.resolve() for row in found if row.split == "val"}
    assert len(validation) == 12
    assert len(validation & misleading) >= 10
    assert len(found) == 120  # no row of the test
    assert "train: 54 of label 0, 54 of label 1; AUC of appearance" in ran.output
    assert "val: 6 of label 0, 6 of label 1; AUC of appearance 0." in ran.output


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (("split-by-look", "--help"), "split-by-look is called split-by-appearance now"),
        (("compare-curves", "one=two", "--look", __file__), "--look is called --appearance now"),
    ],
)
def test_former_names_are_understood_and_said_to_be_old(words: tuple[str, ...], warning: str) -> None:
    ran = CliRunner().invoke(main, words)
    assert warning in ran.output and "No such" not in ran.output
    assert "--look " not in CliRunner().invoke(main, ["compare-curves", "--help"]).output
