"""Sessions: the same scores at any batch size, and on the provider that was asked for or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.model_folders import SIZE, write_model
from triage.errors import StartError
from triage.model.session import BATCH_SIZES, ProviderError, Session


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
        assert np.abs(scores.probability - probability[:count]).max() <= 1e-5
        assert np.allclose(scores.distance, distance[:count], rtol=1e-5)


def test_a_neighbour_changes_nothing(session: Session, images: np.ndarray) -> None:  # type: ignore[type-arg]
    wild = np.stack([images[0], np.full_like(images[0], 1e30), np.full_like(images[0], np.nan)])
    assert session.score(wild).probability[0] == pytest.approx(session.score(images[:1]).probability[0], abs=1e-5)


def test_only_the_fixed_sizes_are_run(tmp_path: Path, images: np.ndarray) -> None:  # type: ignore[type-arg]
    card = write_model(tmp_path, "tiny")
    session = Session(tmp_path / "tiny", card, threads=1)
    seen: list[int] = []

    class Watched:
        def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:  # type: ignore[type-arg]
            seen.append(len(inputs["image"]))
            return list(real.run(outputs, inputs))

    real, session._session = session._session, Watched()
    for count in (1, 2, 4, 5, 16, 17, 35):
        session.score(images[:count])
    assert seen == [1, 4, 4, 16, 16, 16, 1, 16, 16, 4]
    seen.clear()
    session.warm()
    assert tuple(seen) == BATCH_SIZES


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
