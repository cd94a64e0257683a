"""Sessions: the same scores whatever comes with an image, and on the provider that was asked for or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.model_folders import SIZE, write_model
from tests.support.wait import wait_for
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.errors import StartError
from triage.model.card import WEIGHTS, ModelRefusedError
from triage.model.onnx_runtime import onnxruntime
from triage.model.run_deadline import NotEndedError, RunDeadline, RunLimit
from triage.model.session import ModelSession, ProviderError
from triage.radiograph.types import Attributes, View
from triage.scoring.assess import AssessmentPolicy, PreparedImage
from triage.scoring.conclude import conclude


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ModelSession:
    folder = tmp_path_factory.mktemp("models")
    card = write_model(folder, "tiny")
    return ModelSession(folder / "tiny", card, threads=1)


@pytest.fixture(scope="module")
def images() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    random = np.random.default_rng(3)
    means = np.linspace(-2, 2, 35, dtype=np.float32)[:, None, None, None]
    return (random.normal(0, 1, (35, 1, SIZE, SIZE)) + means).astype(np.float32)


def test_scores_are_the_same_at_any_batch_size(session: ModelSession, images: np.ndarray) -> None:  # type: ignore[type-arg]
    alone = [session.score(image[np.newaxis]) for image in images]
    probability = np.concatenate([scores.probability for scores in alone])
    distance = np.concatenate([scores.distance for scores in alone])
    assert np.allclose(probability[:, 0], 1 / (1 + np.exp(-images.mean(axis=(1, 2, 3), dtype=np.float64))), atol=1e-5)
    assert np.allclose(distance, (images.astype(np.float64) ** 2).mean(axis=(1, 2, 3)), rtol=1e-5)
    for count in range(1, len(images) + 1):
        scores = session.score(images[:count])
        assert (scores.probability.shape, scores.distance.shape) == ((count, 1), (count,))
        assert np.array_equal(scores.probability, probability[:count])
        assert np.array_equal(scores.distance, distance[:count])


def test_a_score_is_exactly_the_same_with_whatever_came_with_it(tmp_path: Path, images: np.ndarray) -> None:  # type: ignore[type-arg]
    """A product of a row and a matrix is added up in another order than one of two rows."""
    card = write_model(tmp_path, "tiny")
    (tmp_path / "tiny" / WEIGHTS).write_bytes(fully_connected(width=64).SerializeToString())
    session = ModelSession(tmp_path / "tiny", card, threads=2)  # two runs at once
    alone = np.concatenate([session.score(image[np.newaxis]).probability for image in images])
    assert len(np.unique(alone)) > 30
    for start, count in ((0, 35), (0, 16), (3, 4), (7, 17), (30, 5)):
        assert np.array_equal(session.score(images[start : start + count]).probability, alone[start : start + count])
    assert np.array_equal(session.score(images[::-1].copy()).probability, alone[::-1])


class WatchedRuns:
    """Stands for ONNX Runtime's session: each run waits until ``together`` runs are under way."""

    def __init__(self, real: object, together: int) -> None:
        self._real = real
        self._meeting = threading.Barrier(together)

    def run(self, *arguments: object) -> list[np.ndarray]:  # type: ignore[type-arg]
        self._meeting.wait(60)
        found: list[np.ndarray] = self._real.run(*arguments)  # type: ignore[attr-defined, type-arg]
        return found


@pytest.mark.parametrize(("threads", "together"), [(2, 2), (1, 1)])
def test_images_of_a_batch_run_two_at_a_time_where_there_are_threads(
    tmp_path: Path,
    images: np.ndarray,  # type: ignore[type-arg]
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    together: int,
) -> None:
    session = ModelSession(tmp_path / "tiny", write_model(tmp_path, "tiny"), threads=threads)
    expected = session.score(images[:4])
    monkeypatch.setattr(session, "_session", WatchedRuns(session._session, together))

    found = session.score(images[:4])

    assert np.array_equal(found.probability, expected.probability)
    assert np.array_equal(found.distance, expected.distance)


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


def test_a_neighbour_changes_nothing(session: ModelSession, images: np.ndarray) -> None:  # type: ignore[type-arg]
    wild = np.stack([images[0], np.full_like(images[0], 1e30), np.full_like(images[0], np.nan)])
    assert session.score(wild).probability[0] == session.score(images[:1]).probability[0]


def test_only_one_shape_is_run(tmp_path: Path, images: np.ndarray) -> None:  # type: ignore[type-arg]
    card = write_model(tmp_path, "tiny")
    session = ModelSession(tmp_path / "tiny", card, threads=1)
    seen: list[int] = []

    class Watched:
        def run(self, outputs: list[str], inputs: dict[str, np.ndarray], options: object) -> list[np.ndarray]:  # type: ignore[type-arg]
            seen.append(len(inputs["image"]))
            return list(real.run(outputs, inputs, options))

    real, session._session = session._session, Watched()
    for count in (1, 2, 17):
        session.score(images[:count])
    session.warm()
    assert seen == [1] * 21
    session._at_once = 16  # as with CUDA: padded
    seen.clear()
    assert session.score(images[:17]).probability.shape == (17, 1)
    assert seen == [16, 16]


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE), (1, 1, SIZE, SIZE + 1), (2, 3, SIZE, SIZE)])
def test_inputs_of_another_shape_are_refused(session: ModelSession, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"tiny takes .n, 1, {SIZE}, {SIZE}."):
        session.score(np.zeros(shape, dtype=np.float32))


def test_the_provider_is_the_one_that_was_asked_for(session: ModelSession) -> None:
    assert session.provider == "CPUExecutionProvider"


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime may find a GPU"
)
def test_cuda_that_is_not_there_is_no_cpu(tmp_path: Path) -> None:
    card = write_model(tmp_path, "tiny")
    with pytest.raises(
        ProviderError, match=r"worker\.provider is cuda, but tiny would run on CPU.*cxr-triage\[gpu"
    ) as raised:
        ModelSession(tmp_path / "tiny", card, provider="cuda", threads=1)
    assert isinstance(raised.value, StartError)


# Graphs that are not what a model is.


def with_graph(folder: Path, change: Callable[[onnx.ModelProto], None]) -> Callable[[], ModelSession]:
    """A model folder whose graph was changed; loads and warms it."""
    card = write_model(folder, "tiny")
    model = onnx.load(folder / "tiny" / WEIGHTS)
    change(model)
    (folder / "tiny" / WEIGHTS).write_bytes(model.SerializeToString())

    def start() -> ModelSession:
        session = ModelSession(folder / "tiny", card, threads=1)
        session.warm()
        return session

    return start


def renamed(old: str, new: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.output[:] = [new if name == old else name for name in node.output]
        for value in model.graph.output:
            value.name = new if value.name == old else value.name

    return change


def another_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, ["n"]))


def unknown_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("org.example", 1))
    model.graph.node.append(helper.make_node("Guess", ["image"], ["guess"], domain="org.example"))


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Guess", ["image"], ["guess"]))


def two_columns(model: onnx.ModelProto) -> None:
    """The probability with an axis more: (n, 1, 1, 1)."""
    for node in model.graph.node:
        if "mean" in node.output:
            node.attribute[0].i = 1
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def only_eight(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8


def too_small(model: onnx.ModelProto) -> None:
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = SIZE // 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed("probability", "score"), "has no output probability"),
        (renamed("distance", "far"), "has no output distance"),
        (another_input, "its inputs are"),
        (unknown_domain, "cannot be loaded"),
        (unknown_operator, "cannot be loaded"),
        (two_columns, r"output probability has the shape \[1, 1, 1, 1\] for 1 images"),
        (only_eight, "does not run"),
        (too_small, "does not run"),
    ],
)
def test_a_graph_that_is_no_model_is_refused_at_start(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], said: str
) -> None:
    start = with_graph(tmp_path, change)
    with pytest.raises(ModelRefusedError, match=said) as raised:
        start()
    assert "\n" not in str(raised.value)


def test_damaged_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    card = write_model(tmp_path, "tiny")
    weights = tmp_path / "tiny" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ModelRefusedError, match=r"model\.onnx cannot be loaded"):
        ModelSession(tmp_path / "tiny", card, threads=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, -0.1])
def test_a_probability_that_is_none_is_no_tag(tmp_path: Path, value: float) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(helper.make_tensor("odd", TensorProto.FLOAT, [1], [value]))
        for node in model.graph.node:
            if node.op_type == "Sigmoid":
                node.output[:] = ["plain"]
        model.graph.node.extend(
            [
                helper.make_node("Sub", ["plain", "plain"], ["nought"]),
                helper.make_node("Add", ["nought", "odd"], ["probability"]),
            ]
        )

    session = with_graph(tmp_path, change)()
    scores = session.score(np.zeros((1, 1, SIZE, SIZE), dtype=np.float32))
    known = PreparedImage(Attributes(age_years=50.0), View.PA)
    found = conclude(known, session.card, scores.probability[0], 0.0, AssessmentPolicy())
    assert (found.tag, found.probability, found.reasons) == (Tag.NOT_ASSESSED, None, (Reason.WORKER_FAILURE,))


def test_a_run_that_does_not_end_is_stopped_and_the_next_image_is_scored(tmp_path: Path) -> None:
    card = write_model(tmp_path, "tiny", endless_above=1.0)
    session = ModelSession(tmp_path / "tiny", card, threads=1, limit=RunLimit(0.5))
    session.warm()
    bright, dark = (np.full((1, 1, SIZE, SIZE), level, dtype=np.float32) for level in (2.0, 0.0))
    for _ in range(2):
        with pytest.raises(NotEndedError, match=r"did not end within 0\.5 s"):
            session.score(bright)
        assert session.score(dark).probability == pytest.approx(np.array([[0.5]]))


def test_a_model_that_never_ends_is_refused_at_the_start(tmp_path: Path) -> None:
    card = write_model(tmp_path, "tiny", endless_above=-1.0)
    with pytest.raises(ModelRefusedError, match="tiny did not end within"):
        ModelSession(tmp_path / "tiny", card, threads=1, limit=RunLimit(0.3)).warm()


def test_a_run_that_cannot_be_stopped_has_the_process_end() -> None:
    ended = threading.Event()
    stuck = RunDeadline(RunLimit(0.05, ended.set))
    with pytest.raises(NotEndedError), stuck.run():
        assert ended.wait(10)
        raise RuntimeError("what would have ended the run")


def test_an_error_of_a_run_is_that_error() -> None:
    with pytest.raises(RuntimeError, match="broken"), RunDeadline(RunLimit(60.0)).run():
        raise RuntimeError("broken")


def test_one_thread_watches_runs_that_follow_each_other() -> None:
    deadline = RunDeadline(RunLimit(60.0))
    for _ in range(5):
        with deadline.run():
            pass
    watching = [each for each in threading.enumerate() if each.name == "run deadline"]
    with deadline.run():
        assert [each for each in threading.enumerate() if each.name == "run deadline"] == watching


def test_a_run_with_a_shorter_limit_than_the_one_before_is_stopped_in_its_own_time() -> None:
    deadline = RunDeadline(RunLimit(60.0))
    with deadline.run():
        pass
    deadline._seconds = 0.05  # as after a run that was stopped
    with pytest.raises(NotEndedError), deadline.run() as options:
        wait_for(lambda: options.terminate, "the run to be stopped")
        raise RuntimeError("terminated, as ONNX Runtime says it")
