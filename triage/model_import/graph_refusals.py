"""Graphs that are refused, whatever is said of them: they run code, may never end, or do not repeat themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
MOST_TURNS = 10_000
"""Turns of a loop, those of loops inside it multiplied. A chest radiograph needs none: the graph has its size."""

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_LAYERS = 16
"""Graphs inside graphs; ONNX Runtime resolves them by recursion."""

_Constants = Mapping[str, TensorProto]


def refusals(model: ModelProto) -> Iterator[str]:
    """Yield the reasons why a model is refused. Its functions must be resolved (onnx.inliner)."""
    if len(model.training_info):
        yield "it is for training (it has training_info): export it for inference"
    foreign = sorted({node.domain for node in _nodes(model.graph)} - STANDARD_DOMAINS)
    for domain in foreign:
        kinds = sorted({node.op_type for node in _nodes(model.graph) if node.domain == domain})
        yield (
            f"it has custom operators ({', '.join(kinds[:5])} of the domain {domain}), which would run code that no "
            "card describes: export it with the operators of ONNX alone"
        )
    random = sorted({node.op_type for node in _nodes(model.graph) if node.op_type in _RANDOM})
    if random:
        yield f"it draws random numbers ({', '.join(random)}): one image would get another score each time"
    if any(_drops(node) for node in _nodes(model.graph)):
        yield "its Dropout is in training mode: export it for inference (model.eval() in PyTorch)"
    yield from sorted(set(_loops(model.graph, {}, 1, 0)))


def _nodes(graph: GraphProto, layer: int = 0) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of all graphs inside it."""
    for node in graph.node:
        yield node
        for inner in _graphs(node) if layer < _LAYERS else ():
            yield from _nodes(inner, layer + 1)


def _graphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _drops(node: NodeProto) -> bool:
    """Return True for a Dropout that drops. Its third input may say so (opset 12); whatever is there is not trusted."""
    return node.op_type == "Dropout" and len(node.input) > 2 and bool(node.input[2])


def _loops(graph: GraphProto, outer: _Constants, turns: int, layer: int) -> Iterator[str]:
    """Yield a refusal for each loop of a graph, which runs ``turns`` times, that may not end or takes too long."""
    if layer > _LAYERS:
        yield f"it has graphs inside graphs, more than {_LAYERS} deep"
        return
    known = {**outer, **_constants(graph)}
    for node in graph.node:
        inner_turns = turns
        if node.op_type == "Loop":
            most = _most_turns(node, known)
            if most is None:
                yield (
                    "it has a loop whose end is not known before it runs (Loop without a constant number of turns): "
                    "export it with fixed shapes, or without control flow"
                )
            elif most * turns > MOST_TURNS:
                yield f"it has a loop of {most * turns} turns, and {MOST_TURNS} are allowed"
            inner_turns = turns * max(most or 1, 1)
        for inner in _graphs(node):
            yield from _loops(inner, known, inner_turns, layer + 1)


def _constants(graph: GraphProto) -> dict[str, TensorProto]:
    found = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        for each in node.attribute if node.op_type == "Constant" and node.output else ():
            if each.name == "value":
                found[node.output[0]] = each.t
            elif each.name == "value_int":
                found[node.output[0]] = numpy_helper.from_array(np.array(each.i))
    return found


def _most_turns(loop: NodeProto, known: _Constants) -> int | None:
    """Return the constant number of turns of a loop; None if there is none."""
    if not loop.input or loop.input[0] not in known:
        return None
    value = numpy_helper.to_array(known[loop.input[0]]).reshape(-1)
    return int(value[0]) if value.size == 1 else None
