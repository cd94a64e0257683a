"""The bare ONNX Runtime loop that others are held against: nothing but the session on inputs that lie in memory."""

from __future__ import annotations

import time
from pathlib import Path

from triage.model.card import WEIGHTS
from triage.model.onnx_runtime import onnxruntime
from triage.model.session import FloatArray

_IN_A_RUN = (1, 4, 16)


def bare_loop(folder: Path, inputs: FloatArray) -> tuple[float, int]:
    """Seconds for all ``inputs`` (n, 1, size, size) on every core, and of how many images in a run: the fastest."""
    session = onnxruntime.InferenceSession(str(folder / WEIGHTS), providers=["CPUExecutionProvider"])
    outputs = ["probability", "distance"]
    took = []
    for size in _IN_A_RUN:
        session.run(outputs, {"image": inputs[:size]})
        started = time.perf_counter()
        for start in range(0, len(inputs), size):
            session.run(outputs, {"image": inputs[start : start + size]})
        took.append((time.perf_counter() - started, size))
    return min(took)
