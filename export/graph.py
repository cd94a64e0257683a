"""The network that ships: the members and their mirror images averaged, and the distance from the training images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.distribution import CONTRAST_SCALE, LEAST_CONTRAST, THUMBNAIL, Subspace
from triage.radiograph.preprocess import PreprocessSpec

OPSET = 18


class Shipped(nn.Module):
    """``image`` (n, 1, s, s) as ``preprocess`` makes it, to ``logit``, ``probability`` and ``distance``, each (n,).

    The logit is the mean over the members and over the image and its mirror image.
    """

    def __init__(self, members: Sequence[nn.Module], output: int, subspace: Subspace, spec: PreprocessSpec) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.output = output
        self.deviation, self.mean_level = spec.deviation, spec.mean
        self.step = spec.size // THUMBNAIL
        self.centre, self.components, self.variances = (
            nn.Parameter(torch.from_numpy(array.astype(np.float32)), requires_grad=False)
            for array in (subspace.mean, subspace.components, subspace.variances)
        )
        self.scales = (subspace.inside, subspace.outside, subspace.contrast_variance * CONTRAST_SCALE)
        self.contrast_mean = subspace.contrast_mean

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See the class."""
        both = (image, image.flip(3))
        logits = [member(view)[:, self.output] for member in self.members for view in both]
        logit = torch.stack(logits).mean(0)
        return logit, torch.sigmoid(logit), self._distance(image * self.deviation + self.mean_level)

    def _distance(self, levels: torch.Tensor) -> torch.Tensor:
        thumbnail = nn.functional.avg_pool2d(levels, self.step).flatten(1)
        centred = thumbnail - thumbnail.mean(1, keepdim=True)
        contrast = (centred * centred).mean(1, keepdim=True).sqrt().clamp(min=LEAST_CONTRAST)
        offset = centred / contrast - self.centre
        coordinates = offset @ self.components.T
        inside = (coordinates * coordinates / self.variances).sum(1)
        outside = (offset * offset).sum(1) - (coordinates * coordinates).sum(1)
        change = contrast.log()[:, 0] - self.contrast_mean
        terms = (inside, outside, change * change)
        return torch.stack([term / scale for term, scale in zip(terms, self.scales, strict=True)]).amax(0)


def write(module: Shipped, size: int, path: Path) -> None:
    """Write the graph as ONNX with a dynamic batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            module.eval(),
            (torch.zeros(2, 1, size, size),),
            str(path),
            input_names=["image"],
            output_names=["logit", "probability", "distance"],
            dynamic_axes={name: {0: "n"} for name in ("image", "logit", "probability", "distance")},
            opset_version=OPSET,
            dynamo=False,
        )
