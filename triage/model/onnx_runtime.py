"""ONNX Runtime with its telemetry switched off before it is loaded. Import it from here alone (`.importlinter`).

Wheels from 1.29 on query DNS for a host of Microsoft's and write a device id and a database of events below the home
folder, unless this variable is set when the library is loaded. Its ``disable_telemetry_events()`` comes too late for
that. Child processes inherit the variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # not before the line above

_CPU = onnxruntime.OrtMemoryInfo(
    "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
)
# For all models: they run one after the other, and each of its own would keep what its largest run needed.
onnxruntime.create_and_register_allocator(_CPU, None)

__all__ = ["InferenceSession", "RunOptions", "onnxruntime"]


class RunOptions(Protocol):
    """``onnxruntime.RunOptions``, which has no types of its own. ``terminate`` may be set from any thread."""

    terminate: bool
    log_severity_level: int


class TensorDescription(Protocol):
    """``onnxruntime.NodeArg``: an input or output of a graph."""

    name: str
    type: str


class InferenceSession(Protocol):
    """``onnxruntime.InferenceSession``, as far as it is used here; it has no types of its own."""

    def run(
        self, output_names: Sequence[str], inputs: Mapping[str, npt.NDArray[np.float32]], options: RunOptions
    ) -> list[npt.NDArray[np.float32]]:
        """Run the graph."""

    def get_inputs(self) -> list[TensorDescription]:
        """Return the inputs of the graph."""

    def get_outputs(self) -> list[TensorDescription]:
        """Return the outputs of the graph."""

    def get_providers(self) -> list[str]:
        """Return the execution providers in use, the first one first."""

    def disable_fallback(self) -> None:
        """Raise errors of a provider instead of running on another."""
