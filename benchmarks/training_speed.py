"""Training throughput beside a bare PyTorch loop, and how long export takes. Usage: training_speed.py [--help]

The bare loop does forward, backward and optimizer step on one batch that is in memory already; ours reads cached bytes,
varies them, averages weights and writes checkpoints besides. Both run in turns in the same process. (Not called
training.py: that would hide the package of this name.)
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from service import load, table
from torch import nn

from export.graph import Shipped, write
from export.parity import check_parity
from training.architectures import build
from training.config import Config, load_config
from training.devices import Process
from training.distribution import fit as fit_distribution
from training.losses import batch_loss
from training.state import make_optimizer
from training.trainer import Task, fit, losses

RATIO_BAR = 0.9
EXPORT_BAR_S = 120.0
PARITY_IMAGES = 200


def bare(network: nn.Module, config: Config, steps: int, device: torch.device) -> float:
    """Images per second of the plainest loop."""
    batch, size = config.schedule.batch_size, config.input.size
    images = torch.rand(batch, 1, size, size).to(device).contiguous(memory_format=torch.channels_last)
    targets, weights = torch.ones(batch, 1, device=device), torch.ones(batch, 1, device=device)
    optimizer = make_optimizer(network, config.optimizer)
    network.train()
    started = time.perf_counter()
    for _ in range(steps):
        loss = batch_loss(network(images), targets, weights, losses(config))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
    return steps * batch / (time.perf_counter() - started)


def ours(network: nn.Module, config: Config, steps: int, folder: Path, device: torch.device) -> float:
    """Images per second of one epoch of the trainer, with its checkpoint."""
    count, resize = steps * config.schedule.batch_size, config.input.resize
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, resize, resize))
    images[:] = np.random.default_rng(0).integers(0, 255, images.shape, dtype=np.uint8)
    targets = np.ones((count, 1), np.float32)
    task = Task(images, np.arange(count), targets, targets)
    started = time.perf_counter()
    fit(network, task, config, folder, Process(device))
    return count / (time.perf_counter() - started)


def throughput(name: str, arguments: argparse.Namespace, device: torch.device) -> tuple[str, str, str, str]:
    """One line of the table."""
    config = load_config(name).changed(
        {
            "model.architecture": arguments.architecture,
            "model.weights": "scratch",
            "input": {"size": arguments.size, "resize": arguments.size + arguments.size // 8},
            "schedule": {"epochs": 1, "batch_size": arguments.batch},
        }
    )
    plain, trained = [], []
    for _ in range(arguments.rounds + 1):
        networks = [build(arguments.architecture, 1).to(device) for _ in range(2)]
        networks = [network.to(memory_format=torch.channels_last) for network in networks]
        plain.append(bare(networks[0], config, arguments.steps, device))
        with tempfile.TemporaryDirectory() as folder:
            trained.append(ours(networks[1], config, arguments.steps, Path(folder), device))
    ratio = statistics.median(one / other for one, other in zip(trained[1:], plain[1:], strict=True))  # first: warm-up
    return name, f"{statistics.median(plain[1:]):.1f}", f"{statistics.median(trained[1:]):.1f}", f"{ratio:.2f}"


def export_seconds(size: int) -> float:
    """Writing the graph of a ResNet-18 and the parity gate on 200 images."""
    view = load_config("modern").changed({"input": {"size": size, "resize": size}}).input
    images = np.random.default_rng(0).integers(0, 255, (PARITY_IMAGES, size, size), dtype=np.uint8)
    shipped = Shipped([build("resnet18", 1).eval()], 0, fit_distribution(images), view)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write(shipped, Path(folder) / "model.onnx")
        check_parity(shipped, Path(folder) / "model.onnx", images, [0.5])
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="resnet18-w32")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-export", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = [throughput(name, arguments, device) for name in ("paper-stated", "modern")]
    rows.append(("the bar", "", "", f"{RATIO_BAR}"))
    print(
        f"{arguments.architecture} at {arguments.size} px on {device.type}, {torch.get_num_threads()} threads{load()}"
    )
    print(table(("configuration", "bare images/s", "trainer images/s", "ratio"), rows))
    if not arguments.no_export:
        print(f"export and parity of ResNet-18 at 224 px: {export_seconds(224):.0f} s (the bar: {EXPORT_BAR_S:.0f} s)")


if __name__ == "__main__":
    main()
