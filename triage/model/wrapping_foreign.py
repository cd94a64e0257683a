"""The graph around a network of any origin: its input made of ``image``, its outputs collected, and the distance.

What is around the networks that export writes (wrapping.py) is built of the same parts. The network itself stays as it
is, node by node; only the names of its tensors get a prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from triage.model.feature_distribution import FittedDistance
from triage.model.wrapping_graph import (
    Constants,
    append,
    append_network,
    finished,
    floats,
    thumbnail_constants,
    thumbnail_scales,
    used,
)
from triage.model.wrapping_nodes import DISTANCE, DISTANCE_WITH_FEATURES, POOLED
from triage.radiograph.preprocess import PreprocessSpec

Layout = Literal["NCHW", "NHWC", "NHW"]
OutputKind = Literal["logit", "probability", "softmax", "score"]

PREFIX = "network_"
IMAGE = "prepared_image"
FEATURES = "features"
MAP = "cam"

_TO_LAYOUT = {
    "NCHW": "Identity({source})",
    "NHWC": "Transpose <perm = [0, 2, 3, 1]> ({source})",
    "NHW": "Squeeze({source}, axis_1)",
}
_TO_SCORES = {
    "logit": "Sigmoid({source})",
    "probability": "Identity({source})",
    "score": "Identity({source})",
    "softmax": "Softmax <axis = 1> ({source})",
}


@dataclass(frozen=True)
class NetworkInput:
    """Form of the network's input, made of ``image``.

    ``mean`` and ``deviation``: one for each channel, applied in the graph; empty where the service's preprocessing has
    them already. ``element_type``: of onnx.TensorProto; integers are rounded.
    """

    layout: Layout
    channels: int
    element_type: int
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


@dataclass(frozen=True)
class OutputColumn:
    """One score: column ``index`` of the network's output ``output``, (n,), (n, k) or (n, k, 1, 1).

    ``inverted``: a high value means that the finding is absent.
    """

    output: str
    index: int
    kind: OutputKind
    inverted: bool = False


@dataclass(frozen=True)
class FeatureTensor:
    """A tensor inside the network: (n, p), (n, tokens, p) or (n, p, rows, columns), by its ``rank``."""

    name: str
    rank: int


@dataclass(frozen=True, eq=False)
class ForeignWrapping:
    """Parts of the graph around a foreign network. ``map_output``: its activation maps, (n, h, w) or (n, m, h, w).

    ``batch``: the images of one run, where the network takes no other number.
    """

    spec: PreprocessSpec
    input: NetworkInput
    columns: Sequence[OutputColumn]
    features: FeatureTensor | None = None
    map_output: str = ""
    batch: int | Literal["n"] = "n"


def wrap_foreign(network: ModelProto, wrapping: ForeignWrapping, fitted: FittedDistance | None) -> ModelProto:
    """Return the graph that a model folder ships: ``image`` (n, 1, s, s) float32, as ``preprocess`` makes it.

    Outputs: ``probability`` (n, k), a column for each of ``wrapping.columns``; ``distance`` (n,), if ``fitted``;
    ``cam``, if the network has maps. Raises NetworkError.
    """
    graph = _scores(network, wrapping)
    if fitted is not None:
        if fitted.features is not None:
            _append_features(graph, wrapping)
        append(graph, DISTANCE_WITH_FEATURES if fitted.features is not None else DISTANCE)
        graph.output.append(floats("distance", wrapping.batch))
    if wrapping.map_output:
        _tap(graph, wrapping.map_output, MAP)
        graph.output.append(_map_declared(network, wrapping))
    return _finished(graph, network, wrapping, fitted)


def with_features(network: ModelProto, wrapping: ForeignWrapping) -> ModelProto:
    """Return a graph with ``probability`` and ``features`` (n, p) alone, to fit a distance with."""
    graph = _scores(network, wrapping)
    _append_features(graph, wrapping)
    graph.output.append(floats(FEATURES, wrapping.batch, "p"))
    return _finished(graph, network, wrapping, None)


def _scores(network: ModelProto, wrapping: ForeignWrapping) -> GraphProto:
    graph = GraphProto(name="cxr-triage")
    append(graph, "\n".join(_input_nodes(wrapping.input)))
    append_network(graph, network.graph, PREFIX, IMAGE)
    for number, (output, _) in enumerate(_tensors(wrapping.columns)):
        _tap(graph, output, f"output{number}")
    append(graph, "\n".join(_score_nodes(wrapping.columns)))
    graph.input.append(floats("image", wrapping.batch, 1, wrapping.spec.size, wrapping.spec.size))
    graph.output.append(floats("probability", wrapping.batch, len(wrapping.columns)))
    return graph


def _input_nodes(form: NetworkInput) -> Iterator[str]:
    """Yield the nodes from ``image`` to the network's input."""
    source = "image"
    if form.channels > 1:
        yield f"coloured = Concat <axis = 1> ({', '.join(['image'] * form.channels)})"
        source = "coloured"
    if form.mean:
        yield f"less_mean = Sub({source}, channel_means)"
        yield "in_channel_deviations = Div(less_mean, channel_deviations)"
        source = "in_channel_deviations"
    if form.element_type != TensorProto.FLOAT:
        if form.element_type in (TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64):
            yield f"rounded = Round({source})"
            source = "rounded"
        if form.element_type == TensorProto.UINT8:
            yield "in_a_byte = Clip(rounded, zero, most_of_a_byte)"
            source = "in_a_byte"
        yield f"converted = Cast <to = {form.element_type}> ({source})"
        source = "converted"
    yield f"{IMAGE} = " + _TO_LAYOUT[form.layout].format(source=source)


def _score_nodes(columns: Sequence[OutputColumn]) -> Iterator[str]:
    """Yield the nodes from the network's outputs to ``probability``, its columns in the order given."""
    tensors = _tensors(columns)
    for number, (_, kind) in enumerate(tensors):
        yield f"flat{number} = Flatten <axis = 1> (output{number})"
        yield f"scores{number} = " + _TO_SCORES[kind].format(source=f"flat{number}")
    for place, column in enumerate(columns):
        source = f"scores{tensors.index((column.output, column.kind))}"
        if column.inverted:
            yield f"taken{place} = Gather <axis = 1> ({source}, index{place})"
            yield f"column{place} = Sub(one, taken{place})"
        else:
            yield f"column{place} = Gather <axis = 1> ({source}, index{place})"
    yield f"probability = Concat <axis = 1> ({', '.join(f'column{place}' for place in range(len(columns)))})"


def _tensors(columns: Sequence[OutputColumn]) -> list[tuple[str, OutputKind]]:
    return list(dict.fromkeys((column.output, column.kind) for column in columns))


def _append_features(graph: GraphProto, wrapping: ForeignWrapping) -> None:
    """Add the nodes from the feature tensor to ``features`` (n, p)."""
    assert wrapping.features is not None
    _tap(graph, wrapping.features.name, "feature_tensor")
    append(graph, POOLED[wrapping.features.rank].format(source="feature_tensor"))


def _tap(graph: GraphProto, tensor: str, target: str) -> None:
    """Give a tensor of the network a name of ours, as float32: ONNX's own notation has no names with slashes."""
    graph.node.append(helper.make_node("Cast", [f"{PREFIX}{tensor}"], [target], name=target, to=TensorProto.FLOAT))


def _finished(
    graph: GraphProto, network: ModelProto, wrapping: ForeignWrapping, fitted: FittedDistance | None
) -> ModelProto:
    constants = {**_constants(wrapping), **(_of_distance(wrapping.spec, fitted) if fitted else {})}
    graph.initializer.extend(used(constants, graph))
    return finished(graph, [network])


def _constants(wrapping: ForeignWrapping) -> Constants:
    form = wrapping.input
    positions = {"axis_1": [1], "rows_and_columns": [2, 3]}
    positions |= {f"index{place}": [column.index] for place, column in enumerate(wrapping.columns)}
    numbers = {"zero": np.float32(0), "one": np.float32(1), "most_of_a_byte": np.float32(255)}
    channels = {"channel_means": form.mean, "channel_deviations": form.deviation}
    return {
        **{name: np.array(position, dtype=np.int64) for name, position in positions.items()},
        **{name: np.asarray(number) for name, number in numbers.items()},
        **{name: np.array(each, dtype=np.float32).reshape(1, -1, 1, 1) for name, each in channels.items()},
    }


def _of_distance(spec: PreprocessSpec, fitted: FittedDistance) -> Constants:
    scales = thumbnail_scales(fitted.thumbnails)
    own: Constants = {}
    if fitted.features is not None:
        scales = [*scales, fitted.features.inside, fitted.features.outside]
        own = {
            "feature_mean": fitted.features.mean.astype(np.float32),
            "feature_components": fitted.features.components.astype(np.float32),
            "feature_components_transposed": fitted.features.components.T.astype(np.float32),
            "feature_variances": fitted.features.variances.astype(np.float32),
        }
    return {**thumbnail_constants(spec, fitted.thumbnails), **own, "term_scales": np.array(scales, dtype=np.float32)}


def _map_declared(network: ModelProto, wrapping: ForeignWrapping) -> ValueInfoProto:
    (declared,) = (each for each in network.graph.output if each.name == wrapping.map_output)
    maps = ("m",) if len(declared.type.tensor_type.shape.dim) == 4 else ()
    return floats(MAP, wrapping.batch, *maps, "h", "w")
