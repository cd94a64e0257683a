"""Training throughput compared with a bare PyTorch loop, and the time of an export. Usage: training_speed.py [--help]

The bare loop does forward, backward and optimizer step on one batch that is in memory already; ours reads cached bytes,
varies them, averages weights and writes checkpoints besides. Both run in turns in the same process. (Not called
training.py: that would hide the package of this name.)
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from service import load, table
from torch import nn

from export.graph import Shipped, write
from export.parity import check_parity
from training.config import Config, load_config
from training.networks.build import build
from training.networks.losses import batch_loss
from training.runs.checkpoint import make_optimizer
from training.runs.devices import Process
from training.runs.loop import Task, fit, losses
from triage.model.distribution import fit as fit_distribution

RATIO_BAR = 0.9
EXPORT_BAR_S = 120.0
PARITY_IMAGES = 200


@dataclass(frozen=True)
class Speed:
    """Images per second, and per second of CPU time, which other users of the machine disturb less."""

    wall: float
    cpu: float


class Stopwatch:
    """Wall and CPU time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def speed(self, images: int) -> Speed:
        """Return the speed of ``images`` images until now."""
        return Speed(images / (time.perf_counter() - self._wall), images / (time.process_time() - self._cpu))


def bare(network: nn.Module, config: Config, steps: int, device: torch.device) -> Speed:
    """Return the speed of the bare loop."""
    batch, size = config.schedule.batch_size, config.input.size
    images = torch.rand(batch, 1, size, size).to(device).contiguous(memory_format=torch.channels_last)
    targets, weights = torch.ones(batch, 1, device=device), torch.ones(batch, 1, device=device)
    optimizer = make_optimizer(network, config.optimizer)
    network.train()
    watch = Stopwatch()
    for _ in range(steps):
        loss = batch_loss(network(images), targets, weights, losses(config))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
    return watch.speed(steps * batch)


def ours(network: nn.Module, config: Config, steps: int, folder: Path, device: torch.device) -> Speed:
    """Return the speed of one epoch of our loop, with its checkpoint."""
    count, resize = steps * config.schedule.batch_size, config.input.resize
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, resize, resize))
    images[:] = np.random.default_rng(0).integers(0, 255, images.shape, dtype=np.uint8)
    targets = np.ones((count, 1), np.float32)
    task = Task(images, np.arange(count), targets, targets)
    watch = Stopwatch()
    fit(network, task, config, folder, Process(device))
    return watch.speed(count)


def throughput(name: str, arguments: argparse.Namespace, device: torch.device) -> tuple[str, ...]:
    """Return one row of the table."""
    config = load_config(name).changed(
        {
            "model.architecture": arguments.architecture,
            "model.weights": "scratch",
            "input": {"size": arguments.size, "resize": arguments.size + arguments.size // 8},
            "schedule": {"epochs": 1, "batch_size": arguments.batch, "least_steps": 0},
        }
    )
    plain, trained = [], []
    for _ in range(arguments.rounds + 1):
        networks = [build(arguments.architecture, 1).to(device) for _ in range(2)]
        networks = [network.to(memory_format=torch.channels_last) for network in networks]
        plain.append(bare(networks[0], config, arguments.steps, device))
        with tempfile.TemporaryDirectory() as folder:
            trained.append(ours(networks[1], config, arguments.steps, Path(folder), device))
    plain, trained = plain[1:], trained[1:]  # the first round warms up
    pairs = list(zip(trained, plain, strict=True))
    rates = [statistics.median(speed.wall for speed in speeds) for speeds in (plain, trained)]
    ratios = [
        statistics.median(getattr(one, of) / getattr(other, of) for one, other in pairs) for of in ("wall", "cpu")
    ]
    return (name, *(f"{rate:.1f}" for rate in rates), *(f"{ratio:.2f}" for ratio in ratios))


def export_seconds(size: int) -> float:
    """Return the seconds to write the graph of a ResNet-18 and to pass the parity gate on 200 images."""
    view = load_config("modern").changed({"input": {"size": size, "resize": size}}).input
    images = np.random.default_rng(0).integers(0, 255, (PARITY_IMAGES, size, size), dtype=np.uint8)
    shipped = Shipped([build("resnet18", 1).eval()], [0], fit_distribution(images), view)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write(shipped, Path(folder) / "model.onnx")
        check_parity(shipped, Path(folder) / "model.onnx", images, [0.5])
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-export", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = [throughput(name, arguments, device) for name in ("paper-stated", "modern")]
    rows.append(("the bar", "", "", f"{RATIO_BAR}", ""))
    print(
        f"{arguments.architecture} at {arguments.size} px on {device.type}, {torch.get_num_threads()} threads{load()}"
    )
    print(table(("configuration", "bare images/s", "trainer images/s", "ratio", "ratio of CPU time"), rows))
    if not arguments.no_export:
        print(f"export and parity of ResNet-18 at 224 px: {export_seconds(224):.0f} s (the bar: {EXPORT_BAR_S:.0f} s)")


if __name__ == "__main__":
    main()
