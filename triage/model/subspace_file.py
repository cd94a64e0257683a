"""The subspace of the training images in a file of a model folder whose graph is not there to measure distances."""

from __future__ import annotations

import zipfile
from dataclasses import asdict, fields
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triage.model.distribution import THUMBNAIL, Subspace, distances
from triage.model.folder_check import ModelRefusedError

SUBSPACE = "distance.npz"

_LARGEST_BYTES = 64 << 20


def write_subspace(path: Path, subspace: Subspace) -> None:
    """Write the file."""
    with path.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **{name: np.asarray(each) for name, each in asdict(subspace).items()}
        )


def read_subspace(path: Path, content: bytes) -> Subspace:
    """Return the subspace in the bytes of a file. Raises ModelRefusedError."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as members:
            if sum(each.file_size for each in members.infolist()) > _LARGEST_BYTES:
                raise ValueError(f"more than {_LARGEST_BYTES >> 20} MiB")
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            found = {each.name: np.asarray(arrays[each.name], dtype=np.float64) for each in fields(Subspace)}
        return _checked(found)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelRefusedError(f"{path} holds no subspace of training images: {error}") from error


def _checked(arrays: dict[str, npt.NDArray[np.float64]]) -> Subspace:
    points, components = THUMBNAIL**2, len(arrays["components"])
    shapes = {"mean": (points,), "components": (components, points), "variances": (components,)}
    for name, values in arrays.items():
        if values.shape != shapes.get(name, ()) or not np.isfinite(values).all():
            raise ValueError(f"{name} has the shape {list(values.shape)}, or numbers that are not finite")
    if min(*arrays["variances"], arrays["inside"], arrays["outside"], arrays["contrast_variance"]) <= 0:
        raise ValueError("variances and means of terms have to be above 0")
    scalars = {name: float(values) for name, values in arrays.items() if name not in shapes}
    return Subspace(arrays["mean"], arrays["components"], arrays["variances"], **scalars)


def input_distances(
    subspace: Subspace, inputs: npt.NDArray[np.float32], mean: float, deviation: float
) -> npt.NDArray[np.float32]:
    """Return the distance (n,) of model inputs (n, 1, s, s), as the released graph computes it.

    ``mean`` and ``deviation`` are those of the preprocessing, which made the inputs of levels from 0 to 1.
    """
    levels = inputs[:, 0].astype(np.float64) * deviation + mean
    return distances(subspace, levels * 255).astype(np.float32)
