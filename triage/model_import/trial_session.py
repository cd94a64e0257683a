"""Sessions of graphs that are not known yet: each is loaded and run once in a child first, and each run has a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triage.model.onnx_runtime import onnxruntime
from triage.model.run_deadline import NotEndedError, RunDeadline, RunLimit
from triage.model.trial_load import LOAD_DEADLINE_S, NotLoadedError, try_to_load
from triage.model_import.errors import ImportRefusedError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TrialInput:
    """One input for a first run: its name, shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    def zeros(self) -> dict[str, Array]:
        """Return an input of zeros."""
        return {self.name: np.zeros(self.shape, dtype=self.dtype)}


class TrialSession:
    """A graph on ONNX Runtime, on the CPU."""

    def __init__(self, path: Path, first: TrialInput, outputs: Sequence[str], seconds: float = LOAD_DEADLINE_S) -> None:
        """Load the graph at ``path``. Raises ImportRefusedError if it does not load and run within ``seconds``."""
        self._path, self._outputs = path, list(outputs)
        try:
            try_to_load(path.name, partial(_load_and_run, path, first, self._outputs), seconds)
            self._session = _open(path)
        except NotLoadedError as error:
            raise ImportRefusedError([f"{path.name}: the graph {error.why}"]) from None
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            raise ImportRefusedError([f"{path.name} cannot be loaded: {first_line(error)}"]) from error
        self._deadline = RunDeadline(RunLimit(seconds))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name. Raises ImportRefusedError if the run fails or does not end."""
        try:
            with self._deadline.run() as options:
                found = self._session.run(self._outputs, dict(inputs), options)
        except NotEndedError as error:
            raise ImportRefusedError([f"{self._path.name}: a run {error}"]) from error
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            raise ImportRefusedError([f"{self._path.name} does not run: {first_line(error)}"]) from error
        return dict(zip(self._outputs, found, strict=True))


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, cut."""
    return str(error).strip().partition("\n")[0][:400]


def _load_and_run(path: Path, first: TrialInput, outputs: Sequence[str]) -> None:
    _open(path).run(list(outputs), first.zeros())


def _open(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
