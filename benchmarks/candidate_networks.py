"""Candidates for release: speed of their sessions, compared with the released adult model's, and of training.

One image at a time on one thread as a worker does, in turn in the same process; and steps of training in float32 and
bfloat16, with the depthwise gradients of PyTorch and with ours. CPU time counts, which other users of the machine
disturb less. Usage: candidate_networks.py [--help]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from bare_session import cpu_seconds, one_thread_session
from service import load, table
from torch import nn

from export.graph import Shipped, write
from training.config import load_config
from training.networks.build import build
from training.networks.depthwise import with_fast_depthwise
from triage.model.distribution import fit as fit_distribution
from triage.model.onnx_runtime import onnxruntime

RELEASED = Path(__file__).parents[1] / "models" / "rsna-adult" / "model.onnx"
CANDIDATES = (("lite0", 160), ("lite0", 224), ("lite0", 256), ("lite0", 320), ("lite1", 224), ("lite2", 224))
LEAST = 0.6
BATCH = 32


def candidate(name: str, size: int, folder: Path) -> tuple[onnxruntime.InferenceSession, float]:
    """Return the session of the graph as it would ship, without the mirror image, and its size in MB."""
    view = load_config("rsna-adult").changed({"input": {"size": size, "resize": size}}).input
    images = np.random.default_rng(0).integers(0, 255, (64, size, size), dtype=np.uint8)
    path = folder / f"{name}-{size}.onnx"
    write(Shipped([build(f"timm:tf_efficientnet_{name}", 2).eval()], [0], fit_distribution(images), view), path)
    return one_thread_session(path), path.stat().st_size / 1e6


def sessions(rounds: int, released: Path) -> list[tuple[str, ...]]:
    """Return the rows of the first table."""
    with tempfile.TemporaryDirectory() as folder:
        found = {f"{name} {size} px": candidate(name, size, Path(folder)) for name, size in CANDIDATES}
        found["released"] = (one_thread_session(released), released.stat().st_size / 1e6)
        taken: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds + 3):  # the first three warm up
            for name, (one, _) in found.items():
                shape = [1, *one.get_inputs()[0].shape[1:]]
                image = np.zeros(shape, np.float32) + np.random.default_rng(0).normal(size=shape).astype(np.float32)
                taken[name].append(cpu_seconds(lambda one=one, image=image: one.run(None, {"image": image})))  # type: ignore[misc]
    medians = {name: statistics.median(times[3:]) for name, times in taken.items()}
    return [
        (name, f"{found[name][1]:.1f}", f"{median * 1000:.1f}", f"{medians['released'] / median:.2f}")
        for name, median in medians.items()
    ]


def training(steps: int) -> list[tuple[str, ...]]:
    """Return the rows of the second table."""
    rows = []
    for precision in (None, torch.bfloat16):
        for fast in (False, True):
            network = build("timm:tf_efficientnet_lite0", 2).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
            rate = BATCH * steps / seconds_of_steps(with_fast_depthwise(network) if fast else network, precision, steps)
            rows.append(("bfloat16" if precision else "float32", "ours" if fast else "PyTorch's", f"{rate:.1f}"))
    return rows


def seconds_of_steps(network: nn.Module, precision: torch.dtype | None, steps: int) -> float:
    """Return the CPU time of forward, backward and optimizer step at 224 px, after one step to warm up."""
    images = torch.randn(BATCH, 1, 224, 224).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", precision, enabled=precision is not None):
            loss = network(images).float().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    return cpu_seconds(lambda: [step() for _ in range(steps)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--released", type=Path, default=RELEASED, help="The model.onnx that has the speed 1.")
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"one thread{load()}; at least {LEAST} of the released model's speed is wanted")
    print(
        table(
            ("network", "MB", "ms of CPU time", "speed, released = 1"), sessions(arguments.rounds, arguments.released)
        )
    )
    print(table(("precision", "depthwise gradients", "EfficientNet-Lite0, images/s"), training(arguments.steps)))


if __name__ == "__main__":
    main()
