"""Sessions of graphs that the export has just written; a graph whose loading does not end is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from triage.model.onnx_runtime import onnxruntime
from triage.model.trial_load import LOAD_DEADLINE_S, NotLoadedError, try_to_load


def session_of(weights: Path, seconds: float = LOAD_DEADLINE_S) -> Any:
    """Open an ONNX file on the CPU, after a trial in a child process (docs/adr/0045).

    Raises TrainingError if the trial does not end in ``seconds``. Runs of the session have no limit, as the export is
    attended.
    """
    try:
        try_to_load(weights.name, partial(_open, weights), seconds=seconds)
    except NotLoadedError as error:
        raise TrainingError(f"the graph of this network cannot be loaded: {error.why}") from None
    return _open(weights)


def _open(weights: Path) -> Any:
    return onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
