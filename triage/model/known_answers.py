"""Known answers: images and the probabilities that a model has to give for them, in a file of its folder.

They stand for the digest of weights that lie elsewhere: the protocol tells none (docs/adr/0061).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triage.model.folder_check import ModelRefusedError

FloatArray = npt.NDArray[np.float32]

KNOWN_ANSWERS = "known_answers.npz"
TOLERANCE = 1e-5
"""Largest difference of a probability from the known one: rounding of other kernels, and no other model."""

_FEWEST, _MOST = 2, 32
_LEAST_SPREAD = 0.01
_LARGEST_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class KnownAnswers:
    """Model inputs float32 (n, 1, size, size), and their probabilities float32 (n, columns)."""

    images: FloatArray
    probability: FloatArray

    @property
    def columns(self) -> int:
        """Columns of the output."""
        return int(self.probability.shape[1])

    def difference(self, first: int, found: FloatArray) -> float:
        """Return the largest difference of ``found`` (m, columns) from the answers from the ``first`` on, cyclic."""
        numbers = np.arange(first, first + len(found)) % len(self.images)
        return float(np.abs(found.astype(np.float64) - self.probability[numbers]).max(initial=0.0))


def write_known_answers(path: Path, answers: KnownAnswers) -> None:
    """Write the file; its SHA-256 is the card's ``model_sha256``."""
    with path.open("wb") as file:
        np.savez_compressed(file, image=answers.images, probability=answers.probability)


def read_known_answers(path: Path, content: bytes, size: int, columns: Sequence[int]) -> KnownAnswers:
    """Return the known answers in the bytes of a file.

    Args:
        path: Of the file, for messages.
        content: Its bytes.
        size: Rows and columns of a model input.
        columns: Columns of the output that findings use.

    Raises:
        ModelRefusedError: The file is not valid, or would not notice another model.
    """
    try:
        answers = _arrays(content)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelRefusedError(
            f"{path} has no known answers (arrays image and probability, as numpy.savez writes them): {error}"
        ) from error
    if why := _fault(answers, size, columns):
        raise ModelRefusedError(f"{path}: {why}")
    return answers


def _arrays(content: bytes) -> KnownAnswers:
    with zipfile.ZipFile(BytesIO(content)) as members:
        if sum(each.file_size for each in members.infolist()) > _LARGEST_BYTES:
            raise ValueError(f"more than {_LARGEST_BYTES >> 20} MiB")
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        images, probability = (np.asarray(arrays[name], dtype=np.float32) for name in ("image", "probability"))
    return KnownAnswers(images, probability.reshape(len(probability), -1))


def _fault(answers: KnownAnswers, size: int, columns: Sequence[int]) -> str:
    """Return why the answers cannot be used, or an empty text."""
    images, probability = answers.images, answers.probability
    if images.ndim != 4 or images.shape[1:] != (1, size, size):
        return f"its images have the shape {list(images.shape)}, not (n, 1, {size}, {size})"
    if not _FEWEST <= len(images) <= _MOST or len(probability) != len(images):
        return f"it has {len(images)} images and {len(probability)} answers; {_FEWEST} to {_MOST} of both are needed"
    if not (np.isfinite(images).all() and ((probability >= 0) & (probability <= 1)).all()):
        return "its images have to be finite, and its answers from 0 to 1"
    for column in columns:
        if column >= answers.columns:
            return f"a finding of the card is column {column}, and the answers have {answers.columns}"
        if np.ptp(probability[:, column]) < _LEAST_SPREAD:
            return (
                f"its answers in column {column} differ by less than {_LEAST_SPREAD:g}, so that a model that always "
                "says the same would pass: add images with other answers"
            )
    return ""
