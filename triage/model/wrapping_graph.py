"""Parts of a wrapped graph: nodes and networks appended, constants added, and the finished model checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, checker, compose, helper, numpy_helper, parser
from onnx.shape_inference import InferenceError

from triage.errors import TriageError
from triage.model.distribution import CONTRAST_SCALE, LEAST_CONTRAST, Subspace, averaging
from triage.radiograph.preprocess import PreprocessSpec

OPSET = 18
IR_VERSION = 8
"""The first with opset 18."""
LARGEST = 2**31 - 1
"""Bytes of one ONNX file. A larger model has its weights in further files, which no digest of a card covers."""

Constants = dict[str, npt.NDArray[np.generic]]


class NetworkError(TriageError, ValueError):
    """A network that cannot be wrapped; the message has the reason."""


def names(declared: Iterable[ValueInfoProto]) -> list[str]:
    """Return the names of inputs or outputs."""
    return [each.name for each in declared]


def append(graph: GraphProto, nodes: str) -> None:
    """Add nodes in ONNX's own notation."""
    extend(graph, parser.parse_graph(f"nodes () => () {{ {nodes} }}"))


def append_network(graph: GraphProto, network: GraphProto, prefix: str, image: str) -> None:
    """Add a network whose input is the tensor ``image``; all other names get the prefix."""
    weights = {weight.name for weight in network.initializer}
    (source,) = (name for name in names(network.input) if name not in weights)
    extend(graph, compose.add_prefix_graph(network, prefix, rename_inputs=False, name_map={source: image}))


def extend(graph: GraphProto, part: GraphProto) -> None:
    """Add the nodes and weights of ``part``. A node without a name is named after its first output.

    Variants choose nodes by name. Shapes of intermediate tensors are left out: with mirror images the n of a network is
    twice the n of the graph.
    """
    for node in part.node:
        node.name = node.name or node.output[0]
    graph.node.extend(part.node)
    graph.initializer.extend(part.initializer)
    graph.sparse_initializer.extend(part.sparse_initializer)


def used(constants: Mapping[str, npt.NDArray[np.generic]], graph: GraphProto) -> Iterator[TensorProto]:
    """Yield the constants that a node of the graph itself names, as weights."""
    named = {name for node in graph.node for name in node.input}
    for name, values in constants.items():
        if name in named:
            yield numpy_helper.from_array(values, name)


def floats(name: str, *shape: int | str) -> ValueInfoProto:
    """Return the declaration of a float32 input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def finished(graph: GraphProto, networks: Sequence[ModelProto]) -> ModelProto:
    """Return the checked model. Raises NetworkError if the networks' outputs do not have the stated shapes."""
    opsets = {each.domain: each for network in networks for each in network.opset_import}
    model = helper.make_model(
        graph,
        producer_name="cxr-triage",
        opset_imports=list(opsets.values()),
        ir_version=max(IR_VERSION, *(network.ir_version for network in networks)),
    )
    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, InferenceError) as error:
        raise NetworkError(f"the networks cannot be wrapped: {error}") from error
    return model


def thumbnail_constants(spec: PreprocessSpec, subspace: Subspace) -> Constants:
    """Return the constants of the terms of the distance that are of the image's thumbnail."""
    weights = averaging(spec.size)
    arrays = {
        "deviation": spec.deviation,
        "mean_level": spec.mean,
        "least_contrast": LEAST_CONTRAST,
        "contrast_mean": subspace.contrast_mean,
        "averaging": weights,
        "averaging_transposed": weights.T,
        "subspace_mean": subspace.mean,
        "components_transposed": subspace.components.T,
        "variances": subspace.variances,
    }
    return {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}


def thumbnail_scales(subspace: Subspace) -> list[float]:
    """Return what each of the three terms is divided by."""
    return [subspace.inside, subspace.outside, subspace.contrast_variance * CONTRAST_SCALE]
