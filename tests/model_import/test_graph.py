"""Graphs that are refused whatever is said of them, and contradictions between a graph and its description."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.foreign_models import SIZE, description, network, write
from triage.model_import.agreement import agreed_wrapping
from triage.model_import.description_file import read_description
from triage.model_import.errors import ImportRefusedError
from triage.model_import.graph import ForeignGraph, open_graph
from triage.model_import.graph_form import Form, FormReader


def opened(folder: Path, model: onnx.ModelProto) -> ForeignGraph:
    return open_graph(write(folder, model, "")[0])


def with_loop(*, turns: int | None, inside: int = 1) -> onnx.ModelProto:
    """A network with a loop that adds nothing; without ``turns`` its number is computed. ``inside``: a loop in it."""
    model = network()
    body_nodes = [helper.make_node("Identity", ["again"], ["go_on"]), helper.make_node("Identity", ["value"], ["next"])]
    body = helper.make_graph(
        body_nodes,
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    if inside > 1:
        nested = onnx.GraphProto()
        nested.CopyFrom(body)
        nested.name = "nested"
        for node in nested.node:
            for place, name in enumerate(node.input):
                node.input[place] = f"{name}_2"
            for place, name in enumerate(node.output):
                node.output[place] = f"{name}_2"
        for declared in (*nested.input, *nested.output):
            declared.name += "_2"
        many = helper.make_node("Constant", [], ["many"], value_int=inside)
        body.node[1].input[0] = "nested_value"
        loop = helper.make_node("Loop", ["many", "", "value"], ["nested_value"], body=nested)
        body.node.insert(0, loop)
        body.node.insert(0, many)
    (linear,) = (node for node in model.graph.node if node.op_type == "Gemm")
    linear.input[0] = "looped"
    before = list(model.graph.node)
    del model.graph.node[:]
    if turns is None:
        before.insert(-1, helper.make_node("ReduceMax", ["features"], ["largest"], keepdims=0))
        before.insert(-1, helper.make_node("Cast", ["largest"], ["turns"], to=TensorProto.INT64))
    else:
        model.graph.initializer.append(helper.make_tensor("turns", TensorProto.INT64, [], [turns]))
    before.insert(-1, helper.make_node("Loop", ["turns", "", "features"], ["looped"], body=body))
    model.graph.node.extend(before)
    return model


def with_external_data() -> onnx.ModelProto:
    model = network()
    weight = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weight, "weights.bin")
    weight.data_location = TensorProto.EXTERNAL
    weight.ClearField("raw_data")
    return model


def with_training() -> onnx.ModelProto:
    model = network()
    model.training_info.add()
    return model


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (with_external_data, "weights in another file"),
        (lambda: network(before="a = org.example.Sharpen(picture)", domain=', "org.example" : 1'), "custom operators (Sharpen"),  # noqa: E501
        (lambda: with_loop(turns=None), "a loop whose end is not known"),
        (lambda: with_loop(turns=2**62), "a loop of 4611686018427387904 turns"),
        (lambda: with_loop(turns=200, inside=200), "a loop of 40000 turns"),
        (lambda: network(before="noise = RandomNormalLike(picture)"), "draws random numbers"),
        (
            lambda: network(before="on = Constant <value = bool {1}> () ratio = Constant <value = float {0.5}> () "
                                   "dropped = Dropout(planes, ratio, on)"),
            "Dropout is in training mode",
        ),
        (lambda: network(more=", float[n, 3] clinical"), "2 inputs (picture, float (n, 40, 40, 3); clinical, float (n, 3))"),  # noqa: E501
        (with_training, "for training"),
    ],
    ids=["external data", "custom", "endless", "long", "nested", "random", "dropout", "two inputs", "training"],
)  # fmt: skip
def test_a_graph_that_must_not_be_run_is_refused(
    tmp_path: Path, make: Callable[[], onnx.ModelProto], says: str
) -> None:
    with pytest.raises(ImportRefusedError) as refused:
        opened(tmp_path, make())
    assert says in str(refused.value)


def test_all_reasons_of_a_graph_are_told_at_once(tmp_path: Path) -> None:
    model = network(before="noise = RandomNormalLike(picture)", more=", float[n, 3] clinical")
    with pytest.raises(ImportRefusedError) as refused:
        opened(tmp_path, model)
    assert len(refused.value.mistakes) == 2


def test_a_short_loop_is_taken(tmp_path: Path) -> None:
    assert opened(tmp_path, with_loop(turns=20, inside=20)).input.name == "picture"


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08" * 50])
def test_bytes_that_are_no_graph_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "given.onnx"
    path.write_bytes(content)
    with pytest.raises(ImportRefusedError, match="no ONNX file"):
        open_graph(path)


def form(folder: Path, model: onnx.ModelProto, text: str) -> tuple[Form | None, list[str]]:
    graph, described = write(folder, model, text)
    read = read_description(described)
    reader = FormReader(read, open_graph(graph))
    found = reader.form()
    return found, read.places.readable([*read.mistakes, *reader.mistakes], graph)


@pytest.mark.parametrize(
    ("model", "change", "says"),
    [
        ({}, ('layout = "NHWC"', 'layout = "NCHW"'), "input.layout: with NCHW the graph's input, picture, float (n, 40, 40, 3), has 40"),  # noqa: E501
        ({}, ('layout = "NHWC"', 'layout = "NHW"'), "NHW has no axis for channels"),
        ({"channels": 1}, ("", ""), "input.channels: with NHWC the graph's input"),
        ({}, ('fit = "stretch"', 'fit = "stretch"\nsize = 224'), "input.size: the graph takes 40 x 40 pixels"),
        ({}, ('fit = "stretch"', 'fit = "stretch"\nname = "image"'), "input.name: the graph's input is called picture"),
        ({}, ("index = 2", "index = 4"), "findings[1].index: the graph's output scores, float (n, 4) has columns 0 to 3"),  # noqa: E501
        ({}, ("index = 2", 'output = "logits"'), "findings[1].output: the graph has no output logits"),
        ({}, ("[abnormal]", '[distance]\nfeatures = "nowhere"\n[abnormal]'), "distance.features: the graph has no tensor nowhere"),  # noqa: E501
        ({}, ("[abnormal]", '[distance]\nfeatures = "weights"\n[abnormal]'), "distance.features"),
        ({}, ("[abnormal]", '[map]\noutput = "scores"\n[abnormal]'), "map.output"),
        ({}, ("threshold = 0.5", "threshold = 0.5\nmap = 1"), "findings[1].map: there is no [map] output"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_description_that_contradicts_its_graph(
    tmp_path: Path, model: dict[str, int], change: tuple[str, str], says: str
) -> None:
    found, mistakes = form(tmp_path, network(**model), description().replace(*change, 1))
    assert found is None
    assert any(says in each for each in mistakes), mistakes


def test_mistakes_of_the_file_and_contradictions_are_told_together(tmp_path: Path) -> None:
    text = (
        description().replace('fit = "stretch"', 'fit = "squeeze"\nsize = 99').replace("index = 2", "index = 7\nx = 1")
    )
    _, mistakes = form(tmp_path, network(), text)
    assert [each.partition(": ")[2].partition(": ")[0] for each in mistakes] == [
        "input.fit",
        "input.size",
        "findings[1].index",
        "findings[1].x",
    ]


def test_an_open_size_must_be_said(tmp_path: Path) -> None:
    model = network()
    for axis in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        axis.dim_param = "side"
    _, (says,) = form(tmp_path, model, description())
    assert "input.size: is missing" in says
    found, _ = form(tmp_path, model, description().replace("channels = 3", f"channels = 3\nsize = {SIZE}"))
    assert found is not None and found.wrapping.spec.size == SIZE


def test_the_features_are_the_input_of_the_last_linear_layer(tmp_path: Path) -> None:
    found, _ = form(tmp_path, network(), description())
    assert found is not None and found.wrapping.features is not None
    assert found.wrapping.features.name == "features" and found.chosen_features
    named = description().replace("[abnormal]", '[distance]\nfeatures = "active"\n[abnormal]')
    found, _ = form(tmp_path, network(), named)
    assert found is not None and found.wrapping.features is not None
    assert (found.wrapping.features.name, found.wrapping.features.rank) == ("active", 4) and not found.chosen_features


def images(count: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(1).random((count, 1, SIZE, SIZE), dtype=np.float32)


@pytest.mark.parametrize(("batch", "opset"), [("1", 18), ("1", 11)])
def test_a_graph_of_one_image_or_of_an_old_opset_gives_the_same_scores(tmp_path: Path, batch: str, opset: int) -> None:
    found, mistakes = form(tmp_path, network(batch=batch, opset=opset), description())
    assert found is not None, mistakes
    (tmp_path / "work").mkdir()
    graph = open_graph(tmp_path / "given.onnx")
    wrapping, scores = agreed_wrapping(graph, found.wrapping, images(), tmp_path / "work")
    plain, _ = form(tmp_path, network(), description())
    assert plain is not None and wrapping.batch == "n"
    assert bool(graph.notes) == (opset == 11)
    _, expected = agreed_wrapping(open_graph(tmp_path / "given.onnx"), plain.wrapping, images(), tmp_path / "work")
    assert scores == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("before", "says"),
    [("together = ReduceMean <keepdims = 1> (planes) edges2 = Sub(planes, together)", "depends on the images")],
)
def test_a_graph_whose_images_depend_on_each_other_is_refused(tmp_path: Path, before: str, says: str) -> None:
    model = network(before=before)
    (convolution,) = (node for node in model.graph.node if node.op_type == "Conv")
    convolution.input[0] = "edges2"
    found, _ = form(tmp_path, model, description())
    assert found is not None
    (tmp_path / "work").mkdir()
    with pytest.raises(ImportRefusedError, match=says):
        agreed_wrapping(open_graph(tmp_path / "given.onnx"), found.wrapping, images(), tmp_path / "work")
