"""The shipped model in PyTorch, as the reference for the written graph, and its writing as ONNX."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from export.fixed_padding import with_fixed_padding
from training.config import InputConfig
from training.errors import TrainingError
from training.networks.network import Network
from training.runs.predict import centre
from triage.model.card import WEIGHTS
from triage.model.distribution import CONTRAST_SCALE, LEAST_CONTRAST, Subspace, averaging
from triage.model.wrapping import OPSET, Curve, NetworkError, Wrapping, wrap


class Shipped(nn.Module):
    """The shipped model: ``image`` (n, 1, s, s) as ``preprocess`` makes it, to the outputs in ``names``.

    ``logit``, ``probability`` and ``distance`` are (n,). The logit is the mean over the members and, where the run
    scores so, over the image and its mirror image. ``cam`` (n, h, w), where every member has one, is their mean class
    activation map: its mean plus ``bias`` is the logit. ``calibrated_probability`` (n,) is there where calibrated. With
    k > 1 ``outputs`` of the members all but the distance have an axis more, (n, k) and (n, k, h, w).

    This module itself is not exported: ``triage.model.wrapping`` builds the graph from the same parts, and the parity
    gate compares both.
    """

    def __init__(
        self,
        members: Sequence[Network],
        outputs: Sequence[int],
        subspace: Subspace,
        view: InputConfig,
        curves: Sequence[Curve] = (),
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.networks = list(members)
        self.outputs, self.view, self.curves, self.subspace = tuple(outputs), view, tuple(curves), subspace
        spec = view.spec()
        self.deviation, self.mean_level = spec.deviation, spec.mean
        self.has_map = has_map(members, view)
        self.averaging, self.centre, self.components, self.variances = (
            nn.Parameter(torch.from_numpy(array.astype(np.float32)), requires_grad=False)
            for array in (averaging(spec.size), subspace.mean, subspace.components, subspace.variances)
        )
        self.scales = (subspace.inside, subspace.outside, subspace.contrast_variance * CONTRAST_SCALE)
        self.contrast_mean = subspace.contrast_mean

    @property
    def names(self) -> list[str]:
        """Names of the outputs, in their order."""
        optional = (("cam", self.has_map), ("calibrated_probability", bool(self.curves)))
        return ["logit", "probability", "distance", *(name for name, there in optional if there)]

    @property
    def bias(self) -> npt.NDArray[np.floating]:
        """Difference of the logits (k,) and the means of ``cam``."""
        return np.asarray(np.mean([[network.bias(each) for each in self.outputs] for network in self.networks], axis=0))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs; see the class."""
        logit, maps = self._scores(centre(image, self.view.size))
        outputs = [logit, torch.sigmoid(logit), self._distance(image * self.deviation + self.mean_level)]
        if self.has_map:
            outputs.append(maps)
        if self.curves:
            slopes, intercepts = ([getattr(each, name) for each in self.curves] for name in ("slope", "intercept"))
            outputs.append(torch.sigmoid(logit * torch.tensor(slopes) + torch.tensor(intercepts)))
        return tuple(outputs)

    def _scores(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean logit (n,) or (n, k) and map (n, h, w) or (n, k, h, w); the mirror image is in the same batch."""
        shown = torch.cat([image, image.flip(3)]) if self.view.flips else image
        logits, maps = [], []
        for network in self.networks:
            if self.has_map:
                logit, found = with_maps(network, shown, self.outputs)
                maps.append(self._unmirrored(found))
            else:
                logit = chosen(network(shown), self.outputs)
            logits.append(logit.reshape(1 + self.view.flips, -1, *logit.shape[1:]).mean(0))
        logit = torch.stack(logits).mean(0)
        return logit, torch.stack(maps).mean(0) if maps else logit

    def _unmirrored(self, maps: torch.Tensor) -> torch.Tensor:
        if not self.view.flips:
            return maps
        plain, mirrored = maps.reshape(2, -1, *maps.shape[1:])
        mean: torch.Tensor = (plain + mirrored.flip(-1)) / 2
        return mean

    def _distance(self, levels: torch.Tensor) -> torch.Tensor:
        thumbnail = torch.matmul(torch.matmul(self.averaging, levels[:, 0]), self.averaging.T).flatten(1)
        centred = thumbnail - thumbnail.mean(1, keepdim=True)
        contrast = (centred * centred).mean(1, keepdim=True).sqrt().clamp(min=LEAST_CONTRAST)
        offset = centred / contrast - self.centre
        coordinates = offset @ self.components.T
        inside = (coordinates * coordinates / self.variances).sum(1)
        outside = (offset * offset).sum(1) - (coordinates * coordinates).sum(1)
        change = contrast.log()[:, 0] - self.contrast_mean
        terms = (inside, outside, change * change)
        return torch.stack([term / scale for term, scale in zip(terms, self.scales, strict=True)]).amax(0)


def chosen(logits: torch.Tensor, outputs: Sequence[int]) -> torch.Tensor:
    """Return the columns ``outputs`` of (n, outputs): (n,) of one, (n, k) of several."""
    return logits[:, outputs[0]] if len(outputs) == 1 else logits[:, list(outputs)]


def with_maps(network: Network, images: torch.Tensor, outputs: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and class activation maps of ``outputs``: (n,) and (n, h, w) of one, (n, k) and (n, k, h, w)."""
    if len(outputs) == 1:
        return network.with_map(images, outputs[0])
    return network.with_several_maps(images, list(outputs))


def has_map(members: Sequence[Network], view: InputConfig) -> bool:
    """Return True if there is a class activation map of the whole image: linear heads on means, and no crop."""
    return all(member.pooled for member in members) and view.evaluation == "whole"


def about_map(members: Sequence[Network], view: InputConfig) -> str:
    """Return the card's text on the activation map."""
    if has_map(members, view):
        return (
            "output cam: class activation map of the whole image, mean over members and mirror images; "
            "its mean plus the head's bias is the logit (Zhou et al. 2016)"
        )
    if not all(member.pooled for member in members):
        return "none: the head is not a linear layer on pooled features"
    return "none: the network sees the image's centre only"


def write(shipped: Shipped, path: Path) -> None:
    """Write the graph as ONNX with a dynamic batch. Raises TrainingError for a network that ONNX cannot represent."""
    view = shipped.view
    wrapping = Wrapping(view.spec(), view.size, view.flips, shipped.subspace, shipped.curves)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        networks = [_as_onnx(_Bare(network, shipped), Path(folder) / WEIGHTS) for network in shipped.networks]
    try:
        onnx.save_model(wrap(networks, wrapping), path)
    except NetworkError as error:
        raise TrainingError(str(error)) from error


class _Bare(nn.Module):
    """One member alone: ``image`` (n, 1, size, size) to ``logit`` and, where the map ships, ``cam``."""

    def __init__(self, network: Network, shipped: Shipped) -> None:
        super().__init__()
        self.network, self.outputs, self.size = network, shipped.outputs, shipped.view.size
        self.names = ["logit", "cam"] if shipped.has_map else ["logit"]

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs; see the class."""
        if "cam" in self.names:
            return with_maps(self.network, image, self.outputs)
        return (chosen(self.network(image), self.outputs),)


def _as_onnx(bare: _Bare, path: Path) -> onnx.ModelProto:
    """Return the network as ONNX, by way of a file at ``path``. Raises TrainingError."""
    images = torch.zeros(2, 1, bare.size, bare.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        try:
            torch.onnx.export(
                with_fixed_padding(bare.eval(), images),
                (images,),
                str(path),
                input_names=["image"],
                output_names=bare.names,
                dynamic_axes={name: {0: "n"} for name in ("image", *bare.names)},
                opset_version=OPSET,
                dynamo=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            detail = str(error).strip().splitlines()[0]
            raise TrainingError(f"this network cannot be written as ONNX at {bare.size} px: {detail}") from error
    return onnx.load(path)
