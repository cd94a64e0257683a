"""A model that a plug-in loads: images one at a time, in bounded time, with scores of the shape that the card names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from triage.model.backend import PluginBackend
from triage.model.card import ModelCard, ModelRefusedError
from triage.model.run_deadline import NotEndedError, RunLimit
from triage.model.session import ModelScores
from triage.model.trial_load import NotLoadedError, try_to_load
from triage.plugins.bounded_call import BoundedCalls
from triage.plugins.errors import PluginFaultError, PluginNotEndedError
from triage.plugins.installed import InstalledPlugin
from triage.plugins.load import LoadedPlugin, load_plugin

FloatArray = npt.NDArray[np.float32]
PROVIDER = "plugin"
"""The execution provider of a model that a plug-in loads, as metrics name it."""


class PluginModel(Protocol):
    """The object that a model loader returns."""

    def score(self, batch: FloatArray) -> ModelScores:
        """Score inputs of shape (n, 1, size, size), preprocessed as the card says; n is 1. Write nothing into them."""


ModelLoader = Callable[[Path, ModelCard], PluginModel]
"""The object of an entry point in ``cxr_triage.model_loaders``: called with the weights, whose digest was checked."""


class PluginSession:
    """One model of a plug-in. Thread-safe."""

    provider = PROVIDER
    keeps_maps = False

    def __init__(self, card: ModelCard, model: PluginModel, calls: BoundedCalls) -> None:
        """Take a model that ``open_plugin_model`` loaded; ``calls`` bounds the time of its runs."""
        self.card = card
        self._model, self._calls = model, calls

    def score(self, batch: FloatArray) -> ModelScores:
        """Score inputs of shape (n, 1, size, size), n at least 1. The scores of an input do not depend on the others.

        Raises:
            NotEndedError: A run did not end in time, or an earlier one still has not.
            PluginFaultError: Scores of another shape than the card names.
        """
        size = self.card.preprocessing.size
        if batch.ndim != 4 or batch.shape[1:] != (1, size, size):
            raise ValueError(f"{self.card.name} takes (n, 1, {size}, {size}), not {batch.shape}")
        try:
            found = [self._calls.run(partial(self._score_one, each)) for each in batch[:, np.newaxis]]
        except PluginNotEndedError as error:
            raise NotEndedError(str(error)) from error
        return ModelScores(
            np.concatenate([each.probability for each in found]), np.concatenate([each.distance for each in found])
        )

    def warm(self) -> None:
        """Run once. Raises NotLoadedError if that does not end in time, and ModelRefusedError for any other failure."""
        size = self.card.preprocessing.size
        try:
            self.score(np.zeros((1, 1, size, size), dtype=np.float32))
        except NotEndedError as error:
            raise NotLoadedError(self.card.name, str(error)) from error
        except Exception as error:  # the edge: foreign code
            raise _refused(self.card, "does not run", error) from error

    def _score_one(self, image: FloatArray) -> ModelScores:
        given = image.copy()
        given.flags.writeable = False
        found = self._model.score(given)
        if not isinstance(found, ModelScores):
            raise PluginFaultError(f"{self.card.name}: its loader returns {type(found).__name__}, no ModelScores")
        probability = np.asarray(found.probability, dtype=np.float32)
        if probability.ndim != 2 or len(probability) != 1 or probability.shape[1] < self.card.columns:
            raise PluginFaultError(
                f"{self.card.name}: its probabilities have the shape {list(probability.shape)} for one image, not "
                f"[1, {self.card.columns}]"
            )
        return ModelScores(probability, self._distance(found))

    def _distance(self, found: ModelScores) -> FloatArray:
        """Return the distance; infinite for a model without one, whatever the plug-in says."""
        if self.card.distribution is None:
            return np.full(1, np.inf, dtype=np.float32)
        distance = np.asarray(found.distance, dtype=np.float32)
        if distance.shape != (1,):
            raise PluginFaultError(
                f"{self.card.name}: its distances have the shape {list(distance.shape)} for one image, not [1]"
            )
        return distance


def open_plugin_model(
    folder: Path, card: ModelCard, loader: LoadedPlugin | None, load_timeout_s: float, limit: RunLimit | None = None
) -> PluginSession:
    """Load the model in ``folder`` in a child first, then here, and run it once.

    Args:
        folder: The model folder.
        card: Its card.
        loader: The loader that the card names; None: the settings do not enable it.
        load_timeout_s: Seconds for loading and the first run.
        limit: Time limit of a run.

    Raises:
        NotLoadedError: Loading or the first run does not end, or ends its process.
        ModelRefusedError: Any other failure.
    """
    backend = card.backend
    assert isinstance(backend, PluginBackend)
    if loader is None:
        raise ModelRefusedError(
            f"{card.name} is loaded by the plug-in {backend.loader}, which the settings do not enable: put it into "
            "plugins.enabled as DIST==VERSION:NAME, or leave the model out of models.names"
        )
    try_to_load(card.name, partial(_load_in_child, folder, card, loader.plugin), seconds=load_timeout_s)
    return _opened(folder, card, loader, load_timeout_s, limit or RunLimit())


def _load_in_child(folder: Path, card: ModelCard, plugin: InstalledPlugin) -> None:
    _opened(folder, card, load_plugin(plugin), 1e6, RunLimit(1e6))  # the parent ends this process


def _opened(
    folder: Path, card: ModelCard, loader: LoadedPlugin, load_timeout_s: float, limit: RunLimit
) -> PluginSession:
    assert isinstance(card.backend, PluginBackend)
    what = f"the plug-in {loader.key}"
    weights = folder / card.backend.weights
    try:
        model = BoundedCalls(what, load_timeout_s).run(lambda: loader.target(weights, card))
    except PluginNotEndedError as error:
        raise NotLoadedError(card.name, f"is not loaded: {error}") from error
    except Exception as error:  # the edge: foreign code
        raise _refused(card, f"is not loaded by {what}", error) from error
    if not callable(getattr(model, "score", None)):
        raise ModelRefusedError(f"{card.name}: {what} returns {type(model).__name__}, which has no method score")
    session = PluginSession(card, model, BoundedCalls(what, limit.seconds, limit.on_stuck))
    session.warm()
    return session


def _refused(card: ModelCard, what: str, error: Exception) -> ModelRefusedError:
    return ModelRefusedError(f"{card.name} {what}: {type(error).__name__}: {error}")
