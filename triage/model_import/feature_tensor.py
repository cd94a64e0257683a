"""PURE: the tensor that a network's last linear layer reads: its features."""

from __future__ import annotations

from onnx import GraphProto, ModelProto, NodeProto


def last_linear_input(model: ModelProto) -> str:
    """Return the input of the last Gemm that an output depends on, or of a MatMul with weights; empty without one."""
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    weights |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    weights |= {
        node.output[0]
        for node in graph.node
        if node.op_type in ("DequantizeLinear", "Transpose", "Cast", "Identity") and node.input[0] in weights
    }
    needed = _needed(graph)
    for node in reversed(graph.node):
        if set(node.output) & needed and _is_linear(node, weights):
            return str(node.input[0])
    return ""


def _is_linear(node: NodeProto, weights: set[str]) -> bool:
    return node.op_type in ("Gemm", "MatMul") and node.input[1] in weights and node.input[0] not in weights


def _needed(graph: GraphProto) -> set[str]:
    """Return all tensors that an output depends on."""
    needed = {each.name for each in graph.output}
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
    return needed
