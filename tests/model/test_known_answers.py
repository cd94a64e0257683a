"""The file of known answers: what is written is read, and what would not notice another model is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.inference_server import known
from triage.model import known_answers
from triage.model.folder_check import ModelRefusedError
from triage.model.known_answers import KnownAnswers, read_known_answers, write_known_answers

SIZE = 8


def read(path: Path, columns: tuple[int, ...] = (0,)) -> KnownAnswers:
    return read_known_answers(path, path.read_bytes(), SIZE, columns)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    answers = known(SIZE)
    write_known_answers(tmp_path / "k.npz", answers)
    found = read(tmp_path / "k.npz")
    np.testing.assert_array_equal(found.images, answers.images)
    np.testing.assert_array_equal(found.probability, answers.probability)


def test_a_difference_is_the_largest_one_wherever_it_is() -> None:
    answers = known(SIZE, count=3)
    found = answers.probability[[1, 2, 0, 1]].copy()
    assert answers.difference(1, found) == 0
    found[3, 0] += 0.25
    assert answers.difference(1, found) == pytest.approx(0.25)


GREY, SAID = known(SIZE).images, known(SIZE).probability


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"image": GREY}, "no known answers"),
        ({"image": GREY[:, 0], "probability": SAID}, "its images have the shape"),
        ({"image": GREY[:, :, :4], "probability": SAID}, "its images have the shape"),
        ({"image": GREY[:1], "probability": SAID[:1]}, "1 images and 1 answers; 2 to 32"),
        ({"image": GREY, "probability": SAID[:2]}, "3 images and 2 answers"),
        ({"image": GREY[[0] * 33], "probability": SAID[[0] * 33]}, "33 images"),
        ({"image": GREY * np.nan, "probability": SAID}, "have to be finite"),
        ({"image": GREY, "probability": SAID + 1}, "from 0 to 1"),
        ({"image": GREY, "probability": SAID * 0 + 0.5}, "a model that always says the same would pass"),
        ({"image": np.array([{}, {}], dtype=object), "probability": SAID}, "no known answers"),
    ],
)
def test_a_file_that_proves_nothing_is_refused(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "k.npz", **arrays)
    with pytest.raises(ModelRefusedError, match=said):
        read(tmp_path / "k.npz")


def test_the_columns_of_the_findings_have_to_be_known_and_no_others(tmp_path: Path) -> None:
    silent = np.full_like(SAID, 0.5)
    write_known_answers(tmp_path / "k.npz", KnownAnswers(GREY, np.hstack([silent, SAID])))
    assert read(tmp_path / "k.npz", (1,)).columns == 2
    with pytest.raises(ModelRefusedError, match="column 0 differ by less than"):
        read(tmp_path / "k.npz", (0, 1))
    with pytest.raises(ModelRefusedError, match="is column 2, and the answers have 2"):
        read(tmp_path / "k.npz", (2,))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 1000, b"\x93NUMPY"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k.npz").write_bytes(content)
    with pytest.raises(ModelRefusedError, match="no known answers"):
        read(tmp_path / "k.npz")


def test_a_file_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_answers, "_LARGEST_BYTES", 4 << 20)
    with (
        zipfile.ZipFile(tmp_path / "k.npz", "w", zipfile.ZIP_DEFLATED) as members,
        members.open("image.npy", "w") as to,
    ):
        for _ in range(5):
            to.write(bytes(1 << 20))
    with pytest.raises(ModelRefusedError, match="more than 4 MiB"):
        read(tmp_path / "k.npz")
