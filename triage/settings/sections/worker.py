"""Settings of the processes that score."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from triage.setting_types import Port, Section


class WorkerSettings(Section):
    """Processes that score, their decoders and their limits."""

    processes: int = Field(1, ge=1, le=64, description="Worker processes of triage up and triage work.")
    decode_processes: int = Field(
        0,
        ge=0,
        description="Child processes that decode, per worker; 0 is one per core. There are always two: large images "
        "leave one to the others.",
    )
    batch_size: int = Field(16, ge=1, le=256, description="Objects that are taken from the queue at once at most.")
    threads: int = Field(0, ge=0, description="Threads of ONNX Runtime in one worker; 0 is one per core.")
    provider: Literal["cpu", "cuda"] = Field(
        "cpu", description="Where ONNX Runtime computes; cuda fails at start if CUDA is not the first provider."
    )
    decode_timeout_s: float = Field(
        60.0, gt=0, description="Seconds until the decoding of one object counts as failed."
    )
    score_timeout_s: float = Field(
        60.0,
        gt=0,
        description="Seconds until a model's run is stopped, and the object given up: a graph may never end. The "
        "first run at a worker's start is bounded by it, too.",
    )
    load_timeout_s: float = Field(
        120.0,
        gt=0,
        description="Seconds until the loading of a model is stopped: optimising a graph may never end. The worker "
        "goes on without it, and its images are NOT_ASSESSED.",
    )
    decode_memory_bytes: int = Field(
        0,
        ge=0,
        description="Memory that all images being decoded in one worker may need together, by their size; 0 is half of "
        "the machine's, or of the container's limit.",
    )
    tries: int = Field(3, ge=1, le=20, description="Attempts at one object until it becomes a dead letter.")
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(
        9130, description="HTTP port of the first worker; each further one takes the next. 0: any."
    )
