"""Model folders for tests: a graph of a few nodes and a card that holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support.inference_server import known
from triage.model.card import CARD, WEIGHTS, ModelCard, load_card
from triage.model.distribution import Subspace
from triage.model.known_answers import KNOWN_ANSWERS, write_known_answers
from triage.model.subspace_file import SUBSPACE, write_subspace

SIZE = 64
FARTHEST = 3.0
"""The cards' distance limit: an image without contrast lies at 4, a chest at about 1."""


def write_model(
    models: Path,
    name: str = "tiny-adult",
    *,
    age_from: float = 18.0,
    age_below: float | None = None,
    bias: float = 0.0,
    negative_is_normal: bool = True,
    size: int = SIZE,
    cam: bool = False,
    endless_above: float | None = None,
    endless_load: bool = False,
    endless_node: bool = False,
    findings: Sequence[dict[str, Any]] = (),
    **changes: Any,
) -> ModelCard:
    """Write the model folder ``models/name``; its card. ``changes`` replace top-level values of the card.

    The logit is the mean of the model input plus ``bias``: 10 makes everything positive, -10 negative. The distance is
    the input's mean square. ``cam`` adds an activation map: the input averaged over 8 x 8 cells. For an input whose
    mean is above ``endless_above`` the graph never ends. ``endless_load``: its constants take hours to be folded;
    ``endless_node``: one node of each run takes hours, and no flag is looked at meanwhile.

    ``findings``: a card of version 2 with a column for each, whose logit is that of the first plus the entry ``bias``;
    the rest of an entry replaces keys of the card's finding.
    """
    folder = models / name
    folder.mkdir(parents=True)
    biases = [bias + each.get("bias", 0.0) for each in findings] or [bias]
    graph = _graph(size, biases, cam, endless_above)
    if endless_load:
        _add_endless_constants(graph)
    if endless_node:
        _add_endless_node(graph)
    onnx.save_model(graph, str(folder / WEIGHTS))
    record = _card(name, size, age_from, age_below, negative_is_normal)
    if findings:
        record = _with_findings(record, findings)
    record["model_sha256"] = sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CARD).write_text(json.dumps({**record, **changes}))
    return load_card(folder)


def _add_endless_constants(model: onnx.ModelProto) -> None:
    """A chain of products of large matrices that depend on no input: ONNX Runtime computes them when it loads."""
    nodes, side = model.graph.node, 2000
    model.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [2], [side, side]))
    value = helper.make_tensor("tiny", TensorProto.FLOAT, [1], [1 / side])
    nodes.append(helper.make_node("ConstantOfShape", ["shape"], ["m0"], value=value))
    for number in range(20_000):
        nodes.append(helper.make_node("MatMul", [f"m{number}", "m0"], [f"m{number + 1}"]))
    nodes.append(helper.make_node("ReduceMean", ["m20000"], ["waited_for"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("waited_for", TensorProto.FLOAT, []))


def _add_endless_node(model: onnx.ModelProto) -> None:
    """A maximum over half of a large image, for each place in it; 0 times that goes into the logit."""
    graph = model.graph
    graph.initializer.append(helper.make_tensor("wide", TensorProto.INT64, [4], [1, 1, 6000, 6000]))
    graph.initializer.append(helper.make_tensor("nothing", TensorProto.FLOAT, [1], [0.0]))
    add = next(node for node in graph.node if node.output[0] == "logit")
    add.input[0] = "slow_mean"
    at = list(graph.node).index(add)
    slow = [
        helper.make_node("ReduceMean", ["image"], ["grey"], keepdims=1),
        helper.make_node("Expand", ["grey", "wide"], ["large"]),
        helper.make_node("MaxPool", ["large"], ["slow"], kernel_shape=[3000, 3000]),
        helper.make_node("ReduceMean", ["slow"], ["slow_value"], keepdims=0),
        helper.make_node("Mul", ["slow_value", "nothing"], ["no_value"]),
        helper.make_node("Add", ["mean", "no_value"], ["slow_mean"]),
    ]
    for number, node in enumerate(slow):
        graph.node.insert(at + number, node)


def _with_findings(record: dict[str, Any], findings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    target = record.pop("target")
    made = [
        {
            "title": str(each["name"]),
            "column": column,
            "positive_class": "bright",
            "negative_class": "dark",
            "operating_points": [{"name": "default", "threshold": 0.5, "chosen": "for tests"}],
            **{key: value for key, value in each.items() if key != "bias"},
        }
        for column, each in enumerate(findings)
    ]
    for each in made:
        if each.get("rule"):
            each["column"] = None
    abnormal = {"negative_is_normal": target["negative_is_normal"]}
    kept = {
        key: value for key, value in record.items() if key not in ("operating_points", "calibration", "performance")
    }
    return {**kept, "card_schema": 2, "findings": made, "abnormal": abnormal}


def _graph(size: int, biases: list[float], cam: bool, endless_above: float | None = None) -> onnx.ModelProto:
    columns = len(biases)
    nodes = [
        *_mean(endless_above),
        *([helper.make_node("Unsqueeze", ["mean", "last"], ["means"])] if columns > 1 else []),
        helper.make_node("Add", ["means" if columns > 1 else "mean", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
        helper.make_node("Mul", ["image", "image"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["distance"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("bias", TensorProto.FLOAT, [columns], biases),
        *([helper.make_tensor("last", TensorProto.INT64, [1], [1])] if columns > 1 else []),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, size, size])]
    outputs = [
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT, ["n"] if columns == 1 or name == "distance" else ["n", columns]
        )
        for name in ("logit", "probability", "distance")
    ]
    if cam:
        cell = [size // 8, size // 8]
        nodes.append(helper.make_node("AveragePool", ["image"], ["cam"], kernel_shape=cell, strides=cell))
        outputs.append(helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["n", 1, 8, 8]))
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _mean(limit: float | None) -> list[onnx.NodeProto]:
    """The mean of each image; if one of them is above ``limit``, by way of a loop whose condition stays true."""
    if limit is None:
        return [helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0)]
    passes = [helper.make_node("Identity", [name], [f"{name}_next"]) for name in ("again", "value")]
    body = helper.make_graph(
        passes,
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [None]),
        ],
        [
            helper.make_tensor_value_info("again_next", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_next", TensorProto.FLOAT, [None]),
        ],
    )
    most = helper.make_tensor("most", TensorProto.INT64, [], [2**62])
    bound = helper.make_tensor("bound", TensorProto.FLOAT, [], [limit])
    return [
        helper.make_node("ReduceMean", ["image", "axes"], ["measured"], keepdims=0),
        helper.make_node("Constant", [], ["most"], value=most),
        helper.make_node("Constant", [], ["bound"], value=bound),
        helper.make_node("ReduceMax", ["measured"], ["highest"], keepdims=0),
        helper.make_node("Greater", ["highest", "bound"], ["above"]),
        helper.make_node("Loop", ["most", "above", "measured"], ["mean"], body=body),
    ]


def _card(name: str, size: int, age_from: float, age_below: float | None, negative_is_normal: bool) -> dict[str, Any]:
    return {
        "card_schema": 1,
        "name": name,
        "version": "1",
        "demo": False,
        "architecture": "mean of the image",
        "preprocessing": {
            "size": size,
            "fit": "stretch",
            "low_percentile": 1.0,
            "high_percentile": 99.0,
            "mean": 0.5,
            "deviation": 0.25,
        },
        "target": {
            "finding": "brightness",
            "positive_class": "bright",
            "negative_class": "dark",
            "negative_is_normal": negative_is_normal,
        },
        "intended_use": {
            "modalities": ["CR", "DX"],
            "views": ["PA", "AP"],
            "age_from": age_from,
            "age_below": age_below,
            "orientation": "any",  # test pictures are no chests
        },
        "operating_points": [],
        "calibration": "none",
        "distribution": {"measure": "mean square", "limit": FARTHEST, "chosen": "for tests", "refusals": {}},
        "training": {"data": [], "images": 0, "recipe": "none"},
        "performance": [],
        "limits": ["for tests"],
    }


def of_leading(card: ModelCard, **changes: Any) -> ModelCard:
    """Return a card of one finding with changes of that finding, unchecked."""
    (finding,) = card.findings
    return card.model_copy(update={"findings": (finding.model_copy(update=changes),)})


def write_remote_model(
    models: Path, name: str = "far", *, bias: float = 0.0, batch: int = 2, **changes: Any
) -> ModelCard:
    """Write the folder of a model that lives at a server: ``brightness`` of inference_server.py with ``bias``.

    No image is far from its training images. ``changes`` are those of ``write_model``.
    """
    card = write_model(models, name, bias=bias, **changes)
    folder = models / name
    (folder / WEIGHTS).unlink()
    answers = known(card.preprocessing.size, bias=bias, around=-bias)
    write_known_answers(folder / KNOWN_ANSWERS, answers)
    write_subspace(folder / SUBSPACE, _ANYWHERE)
    record = json.loads((folder / CARD).read_text())
    record["model_sha256"] = _digest(folder / KNOWN_ANSWERS)
    record["backend"] = {"kind": "open_inference", "batch": batch, "distance_sha256": _digest(folder / SUBSPACE)}
    (folder / CARD).write_text(json.dumps(record))
    return load_card(folder)


_ANYWHERE = Subspace(np.zeros(1024), np.eye(1, 1024), np.ones(1), 1e9, 1e9, 0.0, 1e9)


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
