"""Data of a model that lie outside its ONNX file are found wherever the format can have them, and refused."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.support.model_folders import write_model
from triage.model.card import CARD, WEIGHTS, ModelRefusedError, load_card
from triage.model.onnx_file import NotOnnxError, has_external_data

MODELS = Path(__file__).parents[2] / "models"


def outside() -> onnx.TensorProto:
    """A tensor whose data lie in another file."""
    tensor = TensorProto(name="bias", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return tensor


def a_model() -> onnx.ModelProto:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    constant = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.ones(1, np.float32)))
    return helper.make_model(helper.make_graph([constant], "g", [], [value]))


def in_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(outside())


def in_constant(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].t.CopyFrom(outside())


def in_list_of_tensors(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.add(name="many").tensors.append(outside())


def in_branch(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.add(name="then_branch").g.initializer.append(outside())


def in_list_of_graphs(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.add(name="branches").graphs.add().initializer.append(outside())


def in_sparse_initializer(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(outside())


def in_sparse_indices(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.add(name="sparse").sparse_tensor.indices.CopyFrom(outside())


def in_sparse_list(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.add(name="sparse").sparse_tensors.add().values.CopyFrom(outside())


def in_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f").node.add().attribute.add(name="value").t.CopyFrom(outside())


def in_function_default(model: onnx.ModelProto) -> None:
    model.functions.add(name="f").attribute_proto.add(name="value").t.CopyFrom(outside())


def in_training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(outside())


PLACES = [each for name, each in sorted(globals().items()) if name.startswith("in_") and callable(each)]


@pytest.mark.parametrize("put", PLACES)
def test_external_data_are_found_wherever_they_are(put: object) -> None:
    model = a_model()
    assert not has_external_data(model.SerializeToString())
    put(model)  # type: ignore[operator]
    assert has_external_data(model.SerializeToString())


@pytest.mark.parametrize("field", ["data_location", "external_data"])
def test_either_mark_is_enough(field: str) -> None:
    model = a_model()
    model.graph.initializer.append(outside())
    model.graph.initializer[0].ClearField(field)
    assert has_external_data(model.SerializeToString())


def test_a_model_with_a_file_of_weights_beside_it_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "tiny")
    folder = tmp_path / "tiny"
    model = onnx.load(folder / WEIGHTS)
    for tensor in model.graph.initializer:  # as bytes, which alone are put outside
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    onnx.save_model(model, str(folder / WEIGHTS), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (folder / "weights.bin").exists()
    record = json.loads((folder / CARD).read_text())
    record["model_sha256"] = sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CARD).write_text(json.dumps(record))
    with pytest.raises(ModelRefusedError, match="weights in another file"):
        load_card(folder)


@pytest.mark.parametrize("name", sorted(path.name for path in MODELS.iterdir() if path.is_dir()))
def test_the_released_models_are_whole(name: str) -> None:
    assert not has_external_data((MODELS / name / WEIGHTS).read_bytes())


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"onnx", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"])
def test_what_is_no_onnx_file_is_named_so(content: bytes) -> None:
    with pytest.raises(NotOnnxError):
        has_external_data(content)


@given(cut=st.integers(min_value=1, max_value=10_000))
def test_a_file_that_is_cut_is_no_onnx_file_or_says_what_it_holds(cut: int) -> None:
    model = a_model()
    in_initializer(model)
    content = model.SerializeToString()
    with suppress(NotOnnxError):
        assert has_external_data(content[: len(content) - 1 - cut % (len(content) - 1)]) in (True, False)


@given(content=st.binary(max_size=300))
def test_any_bytes_have_an_answer_or_are_refused(content: bytes) -> None:
    with suppress(NotOnnxError):
        assert has_external_data(content) in (True, False)
