"""The shipped graph compared with torch.onnx's of the same model: bytes, time to load, time for an image.

Both are run in turn in the same process, one image at a time on one thread as a worker does; CPU time counts, which
other users of the machine disturb less. Usage: wrapped_graph.py [--help]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bare_session import cpu_seconds, one_thread_session
from service import table

from export.graph import Shipped, write
from training.config import InputConfig
from training.networks.build import build
from triage.model.distribution import fit
from triage.model.wrapping import OPSET, Curve


def by_torch(shipped: Shipped, path: Path) -> None:
    """Write the whole model with torch.onnx."""
    size = shipped.view.spec().size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            shipped.eval(),
            (torch.zeros(2, 1, size, size),),
            str(path),
            input_names=["image"],
            output_names=shipped.names,
            dynamic_axes={name: {0: "n"} for name in ("image", *shipped.names)},
            opset_version=OPSET,
            dynamo=False,
        )


def shipped_of(members: int, arguments: argparse.Namespace) -> Shipped:
    """Return untrained networks with all outputs."""
    size = arguments.size
    chests = np.random.default_rng(0).integers(0, 256, (64, size, size), dtype=np.uint8)
    networks = [build(arguments.architecture, 1).eval() for _ in range(members)]
    return Shipped(networks, [0], fit(chests), InputConfig(resize=size, size=size, flips=True), [Curve(1.3, -0.2)])


def written(shipped: Shipped, folder: Path) -> tuple[Path, Path]:
    """Write both files, and return their paths: torch.onnx's and ours."""
    by_torch(shipped, folder / "torch.onnx")
    write(shipped, folder / "wrapped.onnx")
    return folder / "torch.onnx", folder / "wrapped.onnx"


def in_turn(first: Callable[[], object], second: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Return the CPU seconds of both, round by round, after a round to warm up."""
    return [(cpu_seconds(first), cpu_seconds(second)) for _ in range(rounds + 1)][1:]


def compared(members: int, arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """Return a row for each writer of the graph of ``members`` networks, and one with their ratio."""
    inputs = np.random.default_rng(1).normal(0, 1, (1, 1, arguments.size, arguments.size)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        paths = written(shipped_of(members, arguments), Path(folder))
        sizes = [path.stat().st_size for path in paths]
        loads = in_turn(lambda: one_thread_session(paths[0]), lambda: one_thread_session(paths[1]), arguments.rounds)
        plain, wrapped = (one_thread_session(path) for path in paths)
    runs = in_turn(
        lambda: [plain.run(None, {"image": inputs}) for _ in range(arguments.images)],
        lambda: [wrapped.run(None, {"image": inputs}) for _ in range(arguments.images)],
        arguments.rounds,
    )
    outputs = zip(plain.run(None, {"image": inputs}), wrapped.run(None, {"image": inputs}), strict=True)
    farthest = max(float(np.abs(one - other).max()) for one, other in outputs)
    load, run = ([1000 * statistics.median(took[at] for took in pairs) for at in (0, 1)] for pairs in (loads, runs))
    ratio_of_load, ratio_of_run = (
        statistics.median(ours / theirs for theirs, ours in pairs) for pairs in (loads, runs)
    )
    return [
        *(
            (f"{members} by {writer}", f"{sizes[at]}", f"{load[at]:.1f}", f"{run[at] / arguments.images:.2f}", "")
            for at, writer in enumerate(("torch.onnx", "wrapping"))
        ),
        (
            f"{members}, ratio",
            f"{sizes[1] / sizes[0]:.4f}",
            f"{ratio_of_load:.3f}",
            f"{ratio_of_run:.3f}",
            f"{farthest:.1e}",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="resnet18-w32")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = [row for members in arguments.members for row in compared(members, arguments)]
    print(table(("networks", "bytes", "load, CPU ms", "image, CPU ms", "farthest output"), rows))


if __name__ == "__main__":
    main()
