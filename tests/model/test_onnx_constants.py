"""The distance of a released graph, read from its file, is the one that the graph computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.model_folders import write_model
from triage.model.card import WEIGHTS
from triage.model.distribution import fit
from triage.model.onnx_constants import subspace_in
from triage.model.onnx_file import NotOnnxError
from triage.model.session import ModelSession
from triage.model.subspace_file import input_distances
from triage.model.wrapping import Wrapping, wrap
from triage.radiograph.preprocess import PreprocessSpec

SIZE = 48
SPEC = PreprocessSpec(SIZE, "stretch", 1.0, 99.0, 0.45, 0.2)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE), dtype=np.uint8)


def network() -> onnx.ModelProto:
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["logit"], keepdims=0)]
    axes = [helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, SIZE, SIZE])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "network", [image], [logit], axes)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_the_distance_of_a_released_graph_is_found_in_its_file(tmp_path: Path) -> None:
    graph = wrap([network()], Wrapping(SPEC, SIZE, flips=False, subspace=fit(IMAGES)))
    content = graph.SerializeToString()
    found = subspace_in(content)
    assert found is not None
    card = write_model(tmp_path, "wrapped", size=SIZE)
    (tmp_path / "wrapped" / WEIGHTS).write_bytes(content)
    inputs = ((IMAGES[:6] / 255 - SPEC.mean) / SPEC.deviation).astype(np.float32)[:, None]
    told = ModelSession(tmp_path / "wrapped", card, threads=1).score(inputs).distance
    np.testing.assert_allclose(input_distances(found, inputs, SPEC.mean, SPEC.deviation), told, rtol=1e-3)


def test_another_graph_has_none(tmp_path: Path) -> None:
    write_model(tmp_path, "tiny")
    assert subspace_in((tmp_path / "tiny" / WEIGHTS).read_bytes()) is None


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_half_a_file_is_an_error_in_words(cut: int) -> None:
    content = wrap([network()], Wrapping(SPEC, SIZE, flips=False, subspace=fit(IMAGES))).SerializeToString()
    with pytest.raises(NotOnnxError):
        subspace_in(content[:-cut])
