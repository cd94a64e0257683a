"""Devices of a training: the CPU, one GPU, or several GPUs with one process each, started by torchrun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from torch import distributed

from training.errors import TrainingError

GIB = 1 << 30


@dataclass(frozen=True)
class Process:
    """One process among ``world``; that of ``rank`` 0 writes the files."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def writes(self) -> bool:
        """True in the process that writes the files."""
        return self.rank == 0

    def mean(self, here: torch.Tensor) -> torch.Tensor:
        """Return the mean of a tensor over all processes."""
        if self.world == 1:
            return here
        total = here.clone()
        distributed.all_reduce(total)
        return total / self.world

    def wait(self) -> None:
        """Wait until every process has come to this line."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def process(wanted: str = "auto") -> Iterator[Process]:
    """Yield this process on the device ``wanted`` (``auto``, ``cpu``, ``cuda``), under torchrun on its own GPU.

    Convolutions are set to be deterministic. Raises TrainingError where CUDA is wanted and there is no GPU.
    """
    cuda = torch.cuda.is_available()
    if wanted == "cuda" and not cuda:
        raise TrainingError("--device cuda: this torch sees no GPU")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    kind = "cuda" if cuda and wanted != "cpu" else "cpu"
    if not distributed.is_torchelastic_launched():
        yield Process(torch.device(kind))
        return
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        device = torch.device(kind, distributed.get_node_local_rank()) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            torch.cuda.set_device(device)
        yield Process(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def check_precision(precision: str, process: Process) -> None:
    """Raise TrainingError for fp16 on a CPU, where it is no faster and loses small gradients."""
    if precision == "fp16" and process.device.type != "cuda":
        raise TrainingError("runtime.precision fp16 needs a GPU: say bf16 or fp32")


def check_memory(network: torch.nn.Module, size: int, resize: int, batch_size: int, process: Process) -> None:
    """Raise TrainingError if a step would not fit into memory, by the activations of one image."""
    needed = _step_bytes(network, size, resize, -(-batch_size // process.world))
    free = (
        torch.cuda.mem_get_info(process.device)[0]
        if process.device.type == "cuda"
        else psutil.virtual_memory().available
    )
    if needed > free:
        raise TrainingError(
            f"a step of {batch_size} images at {size} px needs about {needed / GIB:.1f} GiB of memory, "
            f"{free / GIB:.1f} are free: lower schedule.batch_size or input.size"
        )


def _step_bytes(network: torch.nn.Module, size: int, resize: int, images: int) -> int:
    """Return the bytes of a step: activations of the backward pass; weights, gradient, two moments and average."""
    outputs: list[int] = []

    def count(module: torch.nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            outputs.append(output.numel())

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 1, size, size, device=next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
    weights = sum(parameter.numel() for parameter in network.parameters())
    return 4 * (5 * weights + images * (sum(outputs) + 8 * resize * resize))
