"""The subspace of a model whose graph is elsewhere measures what the graph would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from triage.model.distribution import distances, fit
from triage.model.folder_check import ModelRefusedError
from triage.model.subspace_file import input_distances, read_subspace, write_subspace

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)
SUBSPACE = fit(IMAGES)


def test_a_model_input_is_as_far_away_as_its_image(tmp_path: Path) -> None:
    subspace, mean, deviation = SUBSPACE, 0.45, 0.2
    write_subspace(tmp_path / "d.npz", subspace)
    read = read_subspace(tmp_path / "d.npz", (tmp_path / "d.npz").read_bytes())
    strange = np.concatenate([IMAGES[:3], 255 - IMAGES[:1], np.zeros((1, 48, 48), np.uint8)])
    inputs = ((strange / 255 - mean) / deviation).astype(np.float32)[:, None]
    np.testing.assert_allclose(
        input_distances(read, inputs, mean, deviation), distances(subspace, strange), rtol=1e-4
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"mean": np.zeros(3)}, {"components": np.full((32, 1024), np.nan)}, {"inside": 0.0}, {"variances": None}],
)
def test_another_file_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    values = {**SUBSPACE.__dict__, **changes}
    np.savez(tmp_path / "d.npz", **{name: value for name, value in values.items() if value is not None})
    with pytest.raises(ModelRefusedError, match="holds no subspace"):
        read_subspace(tmp_path / "d.npz", (tmp_path / "d.npz").read_bytes())
