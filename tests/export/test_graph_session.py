"""A graph that the export has written is loaded in a child first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.graph_session import session_of
from tests.support.model_folders import SIZE, write_model
from training.errors import TrainingError
from triage.model.card import WEIGHTS


def test_one_that_is_never_loaded_is_no_export_and_another_runs(tmp_path: Path) -> None:
    write_model(tmp_path, "endless", endless_load=True)
    with pytest.raises(TrainingError, match="cannot be loaded: did not load"):
        session_of(tmp_path / "endless" / WEIGHTS, seconds=2.0)
    write_model(tmp_path, "plain")
    session = session_of(tmp_path / "plain" / WEIGHTS)
    (probability,) = session.run(["probability"], {"image": np.zeros((1, 1, SIZE, SIZE), dtype=np.float32)})
    assert probability.shape == (1,)
