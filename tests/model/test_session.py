"""Sessions: the same scores whatever comes with an image, and on the provider that was asked for or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.support.model_folders import SIZE, write_model
from triage.errors import StartError
from triage.model.card import WEIGHTS
from triage.model.session import ProviderError, Session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("models")
    card = write_model(folder, "tiny")
    return Session(folder / "tiny", card, threads=1)


@pytest.fixture(scope="module")
def images() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    random = np.random.default_rng(3)
    means = np.linspace(-2, 2, 35, dtype=np.float32)[:, None, None, None]
    return (random.normal(0, 1, (35, 1, SIZE, SIZE)) + means).astype(np.float32)


def test_scores_are_the_same_at_any_batch_size(session: Session, images: np.ndarray) -> None:  # type: ignore[type-arg]
    alone = [session.score(image[np.newaxis]) for image in images]
    probability = np.concatenate([scores.probability for scores in alone])
    distance = np.concatenate([scores.distance for scores in alone])
    assert np.allclose(probability, 1 / (1 + np.exp(-images.mean(axis=(1, 2, 3), dtype=np.float64))), atol=1e-5)
    assert np.allclose(distance, (images.astype(np.float64) ** 2).mean(axis=(1, 2, 3)), rtol=1e-5)
    for count in range(1, len(images) + 1):
        scores = session.score(images[:count])
        assert scores.probability.shape == scores.distance.shape == (count,)
        assert np.array_equal(scores.probability, probability[:count])
        assert np.array_equal(scores.distance, distance[:count])


def test_a_score_is_exactly_the_same_with_whatever_came_with_it(tmp_path: Path, images: np.ndarray) -> None:  # type: ignore[type-arg]
    """A product of a row and a matrix is added up in another order than one of two rows."""
    card = write_model(tmp_path, "tiny")
    (tmp_path / "tiny" / WEIGHTS).write_bytes(fully_connected(width=64).SerializeToString())
    session = Session(tmp_path / "tiny", card, threads=2)
    alone = np.concatenate([session.score(image[np.newaxis]).probability for image in images])
    assert len(set(alone.tolist())) > 30
    for start, count in ((0, 35), (0, 16), (3, 4), (7, 17), (30, 5)):
        assert np.array_equal(session.score(images[start : start + count]).probability, alone[start : start + count])
    assert np.array_equal(session.score(images[::-1].copy()).probability, alone[::-1])


def fully_connected(width: int) -> onnx.ModelProto:
    """Image, one layer of ``width`` units, their mean as the logit; the distance is the mean square.

    Its weights are no constants to ONNX Runtime, which would pack them once and treat any number of rows alike.
    """
    random = np.random.default_rng(5)
    weights = random.normal(0, 1 / SIZE, (SIZE * SIZE, width)).astype(np.float32)
    constants = [
        helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel()),
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
        helper.make_tensor("nought", TensorProto.FLOAT, [1], [0.0]),
    ]
    nodes = [
        helper.make_node("Flatten", ["image"], ["row"]),
        helper.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        helper.make_node("Mul", ["brightest", "nought"], ["nothing"]),
        helper.make_node("Add", ["weights", "nothing"], ["unknown weights"]),
        helper.make_node("MatMul", ["row", "unknown weights"], ["hidden"]),
        helper.make_node("ReduceMean", ["hidden", "axes"], ["logit"], keepdims=0),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
        helper.make_node("Mul", ["row", "row"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["distance"], keepdims=0),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIZE, SIZE])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("probability", "distance")]
    graph = helper.make_graph(nodes, "wide", [image], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_a_neighbour_changes_nothing(session: Session, images: np.ndarray) -> None:  # type: ignore[type-arg]
    wild = np.stack([images[0], np.full_like(images[0], 1e30), np.full_like(images[0], np.nan)])
    assert session.score(wild).probability[0] == session.score(images[:1]).probability[0]


def test_only_one_shape_is_run(tmp_path: Path, images: np.ndarray) -> None:  # type: ignore[type-arg]
    card = write_model(tmp_path, "tiny")
    session = Session(tmp_path / "tiny", card, threads=1)
    seen: list[int] = []

    class Watched:
        def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:  # type: ignore[type-arg]
            seen.append(len(inputs["image"]))
            return list(real.run(outputs, inputs))

    real, session._session = session._session, Watched()
    for count in (1, 2, 17):
        session.score(images[:count])
    session.warm()
    assert seen == [1] * 21
    session._at_once = 16  # as with CUDA: padded
    seen.clear()
    assert session.score(images[:17]).probability.shape == (17,)
    assert seen == [16, 16]


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE), (1, 1, SIZE, SIZE + 1), (2, 3, SIZE, SIZE)])
def test_inputs_of_another_shape_are_refused(session: Session, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"tiny takes .n, 1, {SIZE}, {SIZE}."):
        session.score(np.zeros(shape, dtype=np.float32))


def test_the_provider_is_the_one_that_was_asked_for(session: Session) -> None:
    assert session.provider == "CPUExecutionProvider"


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime may find a GPU"
)
def test_cuda_that_is_not_there_is_no_cpu(tmp_path: Path) -> None:
    card = write_model(tmp_path, "tiny")
    with pytest.raises(
        ProviderError, match=r"worker\.provider is cuda, but tiny would run on CPU.*cxr-triage\[gpu"
    ) as raised:
        Session(tmp_path / "tiny", card, provider="cuda", threads=1)
    assert isinstance(raised.value, StartError)
