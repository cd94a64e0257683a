"""Bare ONNX Runtime sessions for comparison: the session alone, on inputs in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from triage.model.card import WEIGHTS
from triage.model.onnx_runtime import onnxruntime
from triage.model.session import FloatArray

_IN_A_RUN = (1, 4, 16)


def one_thread_session(path: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX file on one thread, as a worker does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def cpu_seconds(action: Callable[[], object]) -> float:
    """Return the CPU time of ``action``."""
    started = time.process_time()
    action()
    return time.process_time() - started


def bare_loop(folder: Path, inputs: FloatArray) -> tuple[float, int]:
    """Return the seconds for all ``inputs`` (n, 1, size, size) on every core, and the fastest batch size."""
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
