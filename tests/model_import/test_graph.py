"""Graphs that are refused whatever is said of them, and contradictions between a graph and its description."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.foreign_models import SIZE, description, network, write
from triage.model.wrapping_foreign import OutputColumn
from triage.model_import.agreement import agreed_wrapping, check_rows, constant_mistakes, score_doubts
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


def without_output() -> onnx.ModelProto:
    model = network()
    del model.graph.output[:]
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
        (without_output, "it has no output"),
    ],
    ids=["external data", "custom", "endless", "long", "nested", "random", "dropout", "two inputs", "training", "none"],
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


def a_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("model.onnx", network().SerializeToString())
    return content.getvalue()


def test_what_is_no_file_or_too_large_for_one_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path, tmp_path / "pipe.onnx"):
        with pytest.raises(ImportRefusedError, match="is no file"):
            open_graph(path)
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(2**31 + 1)  # a hole, that takes no room
    with pytest.raises(ImportRefusedError, match="larger than one ONNX file can be"):
        open_graph(tmp_path / "large.onnx")
    (tmp_path / "nowhere.onnx").symlink_to(tmp_path / "gone.onnx")
    with pytest.raises(ImportRefusedError, match="cannot be read: No such file"):
        open_graph(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08" * 50, a_zip(), b"\x80\x02}q\x00.", b"\0" * 999])
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


def with_output(nodes: str, shape: tuple[int | str, ...] | None, *, type_: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A network whose scores go through ``nodes``, from ``flat`` to ``scores``, in ONNX's own notation."""
    model = network()
    model.graph.node[-1].output[0] = "flat"
    parsed = onnx.parser.parse_graph(f"g (float[n, 4] flat) => (float scores) {{ {nodes} }}")
    model.graph.node.extend(parsed.node)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("scores", type_, shape))
    return model


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ("scores = ReduceMax <keepdims = 0> (flat)", ()),
        ("scores = ReduceMax <keepdims = 0> (flat)", None),
        ("parts = Constant <value_ints = [-1, 2, 2]> () scores = Reshape(flat, parts)", ("n", 2, 2)),
        ("parts = Constant <value_ints = [-1, 2, 2]> () scores = Reshape(flat, parts)", None),
    ],
)
def test_an_output_of_other_ranks_has_no_scores_of_images(
    tmp_path: Path, nodes: str, shape: tuple[int | str, ...] | None
) -> None:
    found, mistakes = form(tmp_path, with_output(nodes, shape), description())
    assert found is None and any("has no scores of whole images" in each for each in mistakes), mistakes


@pytest.mark.parametrize("shape", [(4, 1), (3,), (1, 4, 2), (), (1, 2, 1, 3)])
def test_scores_of_another_shape_than_declared_are_refused(shape: tuple[int, ...]) -> None:
    column = OutputColumn("scores", 2, "logit")
    with pytest.raises(ImportRefusedError, match="a row for each image"):
        check_rows(column, np.zeros(shape, dtype=np.float32), 1)
    check_rows(column, np.zeros((1, 3, 1, 1), dtype=np.float32), 1)


@pytest.mark.parametrize("axes", [(-1, SIZE, SIZE, 3), (0, SIZE, SIZE, 3), ("n", -1, -1, 3), ("n", SIZE, SIZE, 0)])
def test_an_axis_without_a_size_needs_a_name(tmp_path: Path, axes: tuple[int | str, ...]) -> None:
    model = network()
    for axis, size in zip(model.graph.input[0].type.tensor_type.shape.dim, axes, strict=True):
        axis.Clear()
        if isinstance(size, int):
            axis.dim_value = size
        else:
            axis.dim_param = size
    with pytest.raises(ImportRefusedError, match=r"has an axis of (-1|0)"):
        opened(tmp_path, model)


def test_an_opset_that_is_not_known_yet_is_refused_with_the_last_that_is(tmp_path: Path) -> None:
    model = network()
    model.opset_import[0].version = 99
    with pytest.raises(ImportRefusedError, match=r"has opset 99, and [0-9]+ is the last that is known here"):
        opened(tmp_path, model)


def test_weights_among_the_inputs_are_no_second_input(tmp_path: Path) -> None:
    model = network()
    for weight in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims)))
    assert opened(tmp_path, model).input.name == "picture"


OWN = 'normalisation = "own"\nlevels = "full"\nrange = [{}, {}]'


@pytest.mark.parametrize(
    ("kind", "normalisation", "says"),
    [
        ("uint8", 'normalisation = "imagenet"', "hardly a grey would be left"),
        ("uint8", 'normalisation = "torchxrayvision"', "a byte holds 0 to 255"),
        ("uint8", OWN.format(0, 1), "hardly a grey would be left"),
        ("int32", 'normalisation = "cxr-triage"', "hardly a grey would be left"),
        ("int64", 'normalisation = "imagenet"', "hardly a grey would be left"),
        ("uint8", OWN.format(0, 255), ""),
        ("uint8", OWN.format(255, 0), ""),
        ("int32", 'normalisation = "torchxrayvision"', ""),
        ("float16", 'normalisation = "imagenet"', ""),
    ],
)
def test_a_grey_scale_that_whole_numbers_cannot_hold_is_refused(
    tmp_path: Path, kind: str, normalisation: str, says: str
) -> None:
    text = description().replace('normalisation = "imagenet"', normalisation)
    found, mistakes = form(tmp_path, network(kind=kind), text)
    assert (found is None) == bool(says)
    assert any(says in each for each in mistakes) == bool(says), mistakes


def test_two_findings_of_one_column_are_refused(tmp_path: Path) -> None:
    text = description().replace('index = 0\nkind = "softmax"\ninverted = true', 'index = 2\nkind = "logit"')
    _, (says,) = form(tmp_path, network(), text)
    assert "findings[2].index: is the column of finding 1 too" in says


def test_a_mistake_in_a_table_hides_no_contradiction_and_breaks_nothing(tmp_path: Path) -> None:
    text = description().replace('index = 2\nkind = "logit"', 'index = "2"').replace("[abnormal]", "[map]\n[abnormal]")
    _, mistakes = form(tmp_path, network(), text.replace("index = 0", "index = 9"))
    assert [each.partition(": ")[2].partition(": ")[0] for each in mistakes] == [
        "findings[1].index",
        "findings[2].index",
        "map.output",
    ]


def test_scores_that_are_the_same_for_all_images_are_refused() -> None:
    seen = np.array([[0.1, 0.5], [0.2, 0.5]])
    columns = [OutputColumn("scores", each, "probability") for each in (0, 1)]
    assert not list(constant_mistakes(seen))
    ((place, says),) = score_doubts(seen, columns)
    assert place == 1 and "was the same for every drawn image" in says
    (says,) = constant_mistakes(np.full((4, 2), 0.5))
    assert "does not see the image" in says


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
