"""The released graph, built around bare networks: averaging, probability, calibration and distance, without torch.

A bare network is an ONNX model: an image in, its logit out and, if it has one, its class activation map. The modules
``wrapping*.py`` alone need ``onnx`` (extras ``train`` and ``import``); no process of the service loads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from triage.model.distribution import Subspace
from triage.model.wrapping_graph import (
    LARGEST,
    OPSET,
    Constants,
    NetworkError,
    append,
    append_network,
    finished,
    floats,
    names,
    thumbnail_constants,
    thumbnail_scales,
    used,
)
from triage.model.wrapping_nodes import CALIBRATED, CROPPED, DISTANCE, MIRRORED, PROBABILITY, UNMIRRORED
from triage.radiograph.preprocess import PreprocessSpec

__all__ = ["OPSET", "Curve", "NetworkError", "Wrapping", "wrap"]


@dataclass(frozen=True)
class Curve:
    """Calibration: the logistic function of ``slope`` times logit plus ``intercept``."""

    slope: float
    intercept: float


@dataclass(frozen=True, eq=False)
class Wrapping:
    """Parts of the graph around the networks.

    ``spec``: the preprocessing of the service. The input of the networks is the middle ``size`` pixels; with ``flips``
    the mirror image too, and the mean of both is the result. ``subspace``: that of the training images. ``curves``: the
    calibration of each output, or none at all.
    """

    spec: PreprocessSpec
    size: int
    flips: bool
    subspace: Subspace
    curves: tuple[Curve, ...] = ()

    def __post_init__(self) -> None:
        if self.size > self.spec.size:
            raise ValueError(f"networks cannot see {self.size} pixels of {self.spec.size}")

    @property
    def cropped(self) -> bool:
        """True if the networks see a part of the image only."""
        return self.size != self.spec.size


def wrap(networks: Sequence[ModelProto], wrapping: Wrapping) -> ModelProto:
    """Return the released graph, of opset 18: its input is ``image`` (n, 1, s, s) float32, as ``preprocess`` makes it.

    Each network has one input (n, 1, size, size) and the outputs ``logit`` (n,) and, if it has one, ``cam``
    (n, h, w), all float32; with k outputs of a network (n, k) and (n, k, h, w), and all released outputs but
    ``distance`` likewise. The released outputs, in their order: ``logit`` (n,), the mean over networks and mirror
    images; ``probability`` (n,), its logistic function; ``distance`` (n,), as ``distribution.distances`` gives it;
    ``cam`` (n, h, w), the mean map, if every network has one and sees the whole image; ``calibrated_probability`` (n,),
    if there is a curve. Raises NetworkError for networks of another form, and for more weights than one file holds.
    """
    for number, network in enumerate(networks):
        _check(network, wrapping.size, f"network {number}")
    _check_together(networks)
    mapped = not wrapping.cropped and all("cam" in names(network.graph.output) for network in networks)
    graph = GraphProto(name="cxr-triage")
    whole = "middle" if wrapping.cropped else "image"
    append(graph, CROPPED if wrapping.cropped else "")
    append(graph, MIRRORED.format(image=whole) if wrapping.flips else "")
    for number, network in enumerate(networks):
        append_network(graph, network.graph, f"network{number}_", "seen" if wrapping.flips else whole)
    for output in ("logit", "cam") if mapped else ("logit",):
        append(graph, _mean(output, len(networks), flips=wrapping.flips))
    append(graph, PROBABILITY + DISTANCE + (CALIBRATED if wrapping.curves else ""))
    graph.initializer.extend(used(_constants(wrapping, len(networks)), graph))
    graph.input.append(floats("image", "n", 1, wrapping.spec.size, wrapping.spec.size))
    graph.output.extend(_outputs(_columns(networks), mapped=mapped, calibrated=bool(wrapping.curves)))
    return finished(graph, networks)


def _check(network: ModelProto, size: int, name: str) -> None:
    """Raise NetworkError for a network that ``wrap`` does not accept."""
    opset = next((each.version for each in network.opset_import if each.domain in ("", "ai.onnx")), None)
    if opset != OPSET:
        raise NetworkError(f"{name} is of opset {opset}, not {OPSET}: onnx.version_converter can convert it")
    if network.functions:
        raise NetworkError(f"{name} has functions of its own: onnx.inliner.inline_local_functions resolves them")
    weights = {weight.name for weight in network.graph.initializer}
    inputs = [each for each in network.graph.input if each.name not in weights]
    if len(inputs) != 1 or not _takes_images(inputs[0], size):
        raise NetworkError(f"{name} must have one input, float32 of shape (n, 1, {size}, {size}) for any n")
    outputs = names(network.graph.output)
    if sorted(outputs) not in (["logit"], ["cam", "logit"]):
        raise NetworkError(f"{name} must have the outputs logit and, if it has a map, cam, not {', '.join(outputs)}")


def _check_together(networks: Sequence[ModelProto]) -> None:
    if not networks:
        raise NetworkError("there is no network to wrap")
    size = sum(weight.ByteSize() for network in networks for weight in network.graph.initializer)
    if size > LARGEST:
        raise NetworkError(f"the networks have {size / 2**30:.1f} GiB of weights, and one file holds 2: ship fewer")
    opsets = {(each.domain, each.version) for network in networks for each in network.opset_import}
    if len({domain for domain, _ in opsets}) < len(opsets):
        raise NetworkError("the networks use different versions of the same set of operators")


def _takes_images(declared: ValueInfoProto, size: int) -> bool:
    tensor = declared.type.tensor_type
    sides = [dimension.dim_value for dimension in tensor.shape.dim]  # 0: any
    fits = len(sides) == 4 and all(side in (0, own) for side, own in zip(sides, (0, 1, size, size), strict=True))
    return tensor.elem_type == TensorProto.FLOAT and fits


def _mean(output: str, networks: int, *, flips: bool) -> str:
    """Return the nodes of the mean of one output over networks and mirror images."""
    source = f"network0_{output}"
    nodes = ""
    if networks > 1:
        parts = ", ".join(f"network{number}_{output}" for number in range(networks))
        source = f"mean_{output}"
        nodes = f"sum_{output} = Sum({parts}) {source} = Div(sum_{output}, networks)"
    last = UNMIRRORED[output] if flips else "{target} = Identity({source})"
    return nodes + last.format(source=source, target=output)


def _constants(wrapping: Wrapping, networks: int) -> Constants:
    """Return all constants that the added nodes may name."""
    return {
        **_positions(wrapping),
        **_numbers(wrapping, networks),
        **thumbnail_constants(wrapping.spec, wrapping.subspace),
    }


def _positions(wrapping: Wrapping) -> Constants:
    start = (wrapping.spec.size - wrapping.size) // 2
    positions = {
        "crop_start": [start, start],
        "crop_end": [start + wrapping.size, start + wrapping.size],
        "rows_and_columns": [2, 3],
        "columns": [3],
        "map_columns": [-1],
        "last": [-1],
        "before_first": [np.iinfo(np.int64).min],
        "backwards": [-1],
        "axis_1": [1],
    }
    return {name: np.array(position, dtype=np.int64) for name, position in positions.items()}


def _numbers(wrapping: Wrapping, networks: int) -> Constants:
    slopes, intercepts = [each.slope for each in wrapping.curves], [each.intercept for each in wrapping.curves]
    numbers = {
        "networks": networks,
        "two": 2,
        "slope": slopes[0] if len(slopes) == 1 else slopes,
        "intercept": intercepts[0] if len(intercepts) == 1 else intercepts,
        "term_scales": thumbnail_scales(wrapping.subspace),
    }
    return {name: np.array(number, dtype=np.float32) for name, number in numbers.items()}


def _columns(networks: Sequence[ModelProto]) -> tuple[int, ...]:
    """Return the shape of the logits of one image: () for one output, (k,) for k."""
    logit = next(each for each in networks[0].graph.output if each.name == "logit")
    return tuple(side.dim_value for side in logit.type.tensor_type.shape.dim[1:])


def _outputs(columns: tuple[int, ...], *, mapped: bool, calibrated: bool) -> Iterator[ValueInfoProto]:
    yield from (floats(name, "n", *columns) for name in ("logit", "probability"))
    yield floats("distance", "n")
    if mapped:
        yield floats("cam", "n", *columns, "h", "w")
    if calibrated:
        yield floats("calibrated_probability", "n", *columns)
