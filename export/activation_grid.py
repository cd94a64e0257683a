"""Places of the cells of an activation map in the model input, from the strides and paddings of the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from export.graph_session import session_of
from training.errors import TrainingError
from triage.model.card_finding import ActivationGrid
from triage.model.session import MAP

_WINDOWS = ("Conv", "MaxPool", "AveragePool")


@dataclass(frozen=True)
class _Axis:
    """Receptive field along one axis: centre of the first cell in pixels from the middle of pixel 0, and the step."""

    first: float = 0.0
    step: float = 1.0

    def after(self, kernel: int, stride: int, padding: float) -> _Axis:
        """Return the axis behind a sliding window (Araujo et al. 2019, Computing Receptive Fields of CNNs)."""
        return _Axis(self.first + ((kernel - 1) / 2 - padding) * self.step, self.step * stride)


_Axes = tuple[_Axis, _Axis]


def activation_grid(weights: Path, size: int, *, flips: bool) -> ActivationGrid | None:
    """Return the grid of the graph's output ``cam`` for inputs of ``size`` px; None for a graph without.

    With ``flips`` the map is the mean with that of the mirror image, mirrored back: the centres of its columns are the
    mean of both. Raises TrainingError for a network whose branches come together at different strides, and for one
    that pads apart from its windows.
    """
    down, across = _axes_by_tensor(onnx.load(str(weights), load_external_data=False).graph).get(MAP, (None, None))
    if down is None or across is None:
        return None
    if down.step != across.step:
        raise TrainingError("the activation map has other strides down than across")
    first_column = across.first
    if flips:
        columns = _columns(weights, size)
        last_mirrored = size - 1 - (across.first + (columns - 1) * across.step)
        first_column = (across.first + last_mirrored) / 2
    return ActivationGrid(first_row=down.first + 0.5, first_column=first_column + 0.5, step=down.step)


def _axes_by_tensor(graph: onnx.GraphProto) -> dict[str, _Axes]:
    """Return the axes of each tensor, by its name; nodes without windows have the axes of their inputs."""
    found: dict[str, _Axes] = {"image": (_Axis(), _Axis())}
    for node in graph.node:
        inputs = [found[name] for name in node.input if name in found]
        if not inputs:
            continue
        if node.op_type == "Pad":
            raise TrainingError("the network pads apart from its convolutions: the places of its map cannot be derived")
        axes = (_joined([down for down, _ in inputs]), _joined([across for _, across in inputs]))
        if node.op_type in _WINDOWS:
            axes = _behind(node, axes)
        found.update(dict.fromkeys(node.output, axes))
    return found


def _joined(axes: list[_Axis]) -> _Axis:
    """Return the axis of joined branches: centres of pooled and convolved ones may differ by half a pixel; the mean."""
    if len({axis.step for axis in axes}) > 1:
        raise TrainingError("branches of the network come together at different strides")
    return _Axis(float(np.mean([axis.first for axis in axes])), axes[0].step)


def _behind(node: onnx.NodeProto, axes: _Axes) -> _Axes:
    attributes = {each.name: list(each.ints) for each in node.attribute}
    kernel = attributes.get("kernel_shape") or [1, 1]
    strides, pads = attributes.get("strides") or [1, 1], attributes.get("pads") or [0, 0, 0, 0]
    dilations = attributes.get("dilations") or [1, 1]
    # Networks that pad one more behind than before (TensorFlow's) have learnt kernels that make up for it: tests with
    # bright spots place their cells by the mean of both paddings, half a cell before the place by the first one.
    down, across = (
        axis.after((kernel[at] - 1) * dilations[at] + 1, strides[at], (pads[at] + pads[at + 2]) / 2)
        for at, axis in enumerate(axes)
    )
    return down, across


def _columns(weights: Path, size: int) -> int:
    session = session_of(weights)
    (cells,) = session.run([MAP], {"image": np.zeros((1, 1, size, size), dtype=np.float32)})
    return int(np.asarray(cells).shape[-1])
