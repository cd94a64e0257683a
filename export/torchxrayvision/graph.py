"""A network of torchxrayvision's as ONNX: its logits, and what its ``op_norm`` makes of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from training.errors import TrainingError

LOGITS, NORMED = "logits", "op_norm"
OPSET = 18


class WithOpNorm(nn.Module):
    """``image`` (n, 1, s, s) to ``logits`` (n, k) and ``op_norm`` (n, k).

    ``op_norm`` is torchxrayvision's own rescaling: linear from 0 to 0.5 below the threshold and from 0.5 to 1 above, so
    that each threshold becomes 0.5. It is no probability. Outputs without a threshold are 0.5.
    """

    def __init__(self, network: nn.Module, thresholds: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        limits = torch.tensor(thresholds, dtype=torch.float32)
        self.register_buffer("known", ~torch.isnan(limits))
        self.register_buffer("limits", torch.nan_to_num(limits, nan=0.5))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both outputs; see the class."""
        logits = self.network(image)
        scores = torch.sigmoid(logits)
        limits, known = self.get_buffer("limits"), self.get_buffer("known")
        below = scores / (limits * 2)
        above = 1.0 - (1.0 - scores) / ((1.0 - limits) * 2)
        normed = torch.where(scores < limits, below, above)
        return logits, torch.where(known, normed, torch.full_like(normed, 0.5))


def write_graph(network: nn.Module, thresholds: Sequence[float], size: int, path: Path) -> None:
    """Write the network as ONNX with a dynamic batch. Raises TrainingError."""
    images = torch.zeros(2, 1, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        try:
            torch.onnx.export(
                WithOpNorm(network, thresholds).eval(),
                (images,),
                str(path),
                input_names=["image"],
                output_names=[LOGITS, NORMED],
                dynamic_axes={name: {0: "n"} for name in ("image", LOGITS, NORMED)},
                opset_version=OPSET,
                dynamo=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise TrainingError(f"this network cannot be written as ONNX: {str(error).splitlines()[0]}") from error
