"""A model at a server counts only while the server gives the known answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.inference_server import InferenceServer, brightness, images_of, inference_server, known
from tests.support.model_folders import SIZE, write_model
from tests.support.wait import wait_for
from triage.model import remote_session
from triage.model.card import ModelCard
from triage.model.open_inference import InferenceError, OpenInferenceClient, TensorContract
from triage.model.remote_session import CheckOutcome, CheckTimes, ModelOutError, RemoteSession

IMAGES = np.random.default_rng(0).normal(size=(5, 1, SIZE, SIZE)).astype(np.float32)
NO_PATIENCE = CheckTimes(interval_s=300.0, patience_s=0.0)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return write_model(tmp_path_factory.mktemp("models"), "far")


@pytest.fixture
def server() -> Iterator[InferenceServer]:
    with inference_server() as running:
        yield running


def at(
    card: ModelCard,
    address: str,
    times: CheckTimes = NO_PATIENCE,
    batch: int = 4,
    observe: Callable[[CheckOutcome], object] = lambda outcome: None,
) -> RemoteSession:
    client = OpenInferenceClient(address, TensorContract("image", "probability", batch, 1), 5.0)
    return RemoteSession(card, client, known(SIZE), lambda inputs: (inputs**2).mean((1, 2, 3)), times, observe)


def now_due(session: RemoteSession) -> None:
    """As if the interval had passed."""
    object.__setattr__(session._state, "at", float("-inf"))


def test_scores_are_those_of_the_server_and_distances_our_own(card: ModelCard, server: InferenceServer) -> None:
    found = at(card, server.address).score(IMAGES)
    np.testing.assert_allclose(found.probability.ravel(), brightness(IMAGES), rtol=1e-6)
    np.testing.assert_allclose(found.distance, (IMAGES**2).mean((1, 2, 3)), rtol=1e-6)
    assert {images_of(request).shape for request in server.asked} == {(4, 1, SIZE, SIZE)}


def test_a_score_does_not_depend_on_its_neighbours(card: ModelCard, server: InferenceServer) -> None:
    session = at(card, server.address)
    alone = np.concatenate([session.score(IMAGES[number : number + 1]).probability for number in range(5)])
    np.testing.assert_array_equal(alone, session.score(IMAGES).probability)


def test_nothing_is_scored_before_the_known_answers_hold(card: ModelCard, server: InferenceServer) -> None:
    server.model = lambda images: brightness(images, bias=0.001)
    seen: list[CheckOutcome] = []
    session = at(card, server.address, observe=seen.append)
    with pytest.raises(ModelOutError, match=r"is out of service: its server gives answers that are off by 0\.00025"):
        session.score(IMAGES)
    assert len(server.asked) == 1 and seen == [CheckOutcome.DIFFERED] and session.why_out


def test_rounding_is_no_difference(card: ModelCard, server: InferenceServer) -> None:
    server.model = lambda images: np.round(brightness(images), 5)
    assert at(card, server.address).check()


def test_a_model_that_was_exchanged_is_noticed_when_the_check_is_due(
    card: ModelCard, server: InferenceServer, caplog: pytest.LogCaptureFixture
) -> None:
    session = at(card, server.address, batch=1)
    session.score(IMAGES)
    server.model = lambda images: 1 - brightness(images)
    now_due(session)
    with caplog.at_level(logging.INFO), pytest.raises(ModelOutError):
        session.score(IMAGES)
    assert "UTC is in doubt" in caplog.text and card.model_id in caplog.text


@pytest.mark.parametrize(("batch", "count"), [(2, 1), (4, 3), (4, 4), (4, 5)])
def test_a_model_that_was_exchanged_scores_nothing_where_a_request_has_two_images(
    card: ModelCard, server: InferenceServer, batch: int, count: int
) -> None:
    session = at(card, server.address, batch=batch)
    session.score(IMAGES[:count])
    server.model = lambda images: brightness(images, bias=0.1)  # under the same version, and no check is due
    with pytest.raises(ModelOutError):
        session.score(IMAGES[:count])


def test_it_comes_back_when_the_known_answers_hold_again_and_not_before(
    card: ModelCard, server: InferenceServer
) -> None:
    session = at(card, server.address)
    server.fault = lambda request: (503, {}, b"")
    assert not session.check()
    server.fault, server.model = None, lambda images: 1 - brightness(images)
    assert not session.check()
    with pytest.raises(ModelOutError):
        session.score(IMAGES)
    server.model = brightness
    assert session.check() and not session.why_out
    assert session.score(IMAGES).probability.shape == (5, 1)


def test_another_version_is_asked_for_the_known_answers_before_its_scores_count(
    card: ModelCard, server: InferenceServer
) -> None:
    session = at(card, server.address, batch=1)
    session.score(IMAGES[:1])
    server.version, before = "2", len(server.asked)
    np.testing.assert_allclose(session.score(IMAGES[:1]).probability, brightness(IMAGES[:1])[:, None], rtol=1e-6)
    assert len(server.asked) - before == 1 + 3 + 1  # thrown away, the known ones, asked again
    server.version, server.model = "3", lambda images: 1 - brightness(images)
    with pytest.raises(ModelOutError, match="off by"):
        session.score(IMAGES[:1])


def test_two_versions_behind_one_address_score_nothing(card: ModelCard, server: InferenceServer) -> None:
    count = iter(range(1000))
    server.fault = lambda request: {**server.scored(request), "model_version": str(next(count) % 2)}
    with pytest.raises(ModelOutError, match="changes its version from one answer to the next"):
        at(card, server.address, batch=1).score(IMAGES[:1])


def test_a_server_without_versions_is_served(card: ModelCard, server: InferenceServer) -> None:
    server.version = None
    assert at(card, server.address).score(IMAGES).probability.shape == (5, 1)


def test_images_that_it_has_no_answer_for_fail_alone_and_name_the_model(
    card: ModelCard, server: InferenceServer
) -> None:
    session = at(card, server.address, batch=1)
    bright = IMAGES[:1] + 8
    wrong = {"data": [float("nan")]}
    server.fault = lambda request: server.scored(request, **wrong) if images_of(request).mean() > 4 else None
    with pytest.raises(InferenceError, match=rf"^the model {card.model_id}: its server answers with numbers that"):
        session.score(bright)
    assert session.score(IMAGES[:1]).probability.shape == (1, 1)


def test_a_restart_is_waited_for_and_nothing_is_lost(
    card: ModelCard, server: InferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_session, "_RETRY_S", 0.05)
    monkeypatch.setattr(remote_session, "_POLL_S", 0.05)
    session = at(card, server.address, CheckTimes(300.0, 60.0))
    session.score(IMAGES)
    failing = iter([True] * 5)
    server.fault = lambda request: b"" if next(failing, False) else None  # dies in the midst, and starts again
    np.testing.assert_allclose(session.score(IMAGES).probability.ravel(), brightness(IMAGES), rtol=1e-6)


def test_patience_is_spent_once(card: ModelCard, server: InferenceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_session, "_POLL_S", 0.05)
    session = at(card, server.address, CheckTimes(300.0, 0.4))
    session.score(IMAGES)
    server.fault = lambda request: b""
    began = time.monotonic()
    with pytest.raises(ModelOutError, match="its server did not answer"):
        session.score(IMAGES)
    first, began = time.monotonic() - began, time.monotonic()
    with pytest.raises(ModelOutError):
        session.score(IMAGES)
    assert first >= 0.4 > time.monotonic() - began


def test_the_watch_notices_without_any_image_and_brings_it_back(
    card: ModelCard, server: InferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_session, "_RETRY_S", 0.05)
    session, stop = at(card, server.address, CheckTimes(0.05, 0.0)), threading.Event()
    watching = threading.Thread(target=session.watch, args=(stop,))
    watching.start()
    try:
        wait_for(lambda: not session.why_out, "the first check")
        server.model = lambda images: 1 - brightness(images)
        wait_for(lambda: "off by" in session.why_out, "the difference to be seen")
        server.model = brightness
        wait_for(lambda: not session.why_out, "the model to be back")
    finally:
        stop.set()
        watching.join()


def test_an_answer_that_came_while_a_check_failed_does_not_count(card: ModelCard, server: InferenceServer) -> None:
    """The other thread's check finds another model after the request went out and before its answer is there."""
    session = at(card, server.address, batch=1)
    session.check()

    def exchanged(request: dict[str, Any]) -> Any:
        server.fault = None
        session_thread = threading.Thread(target=session.check)
        server.model = lambda images: 1 - brightness(images)
        session_thread.start()
        session_thread.join()
        return None

    server.fault = exchanged
    with pytest.raises(ModelOutError):
        session.score(IMAGES[:1])


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE), (1, 3, SIZE, SIZE), (1, 1, SIZE, SIZE - 1)])
def test_inputs_of_another_shape_are_refused(
    card: ModelCard, server: InferenceServer, shape: tuple[int, ...], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="takes"):
        at(card, server.address).score(np.zeros(shape, dtype=np.float32))
