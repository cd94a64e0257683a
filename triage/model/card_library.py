"""Cards of the installed models by the digest of their weights, for what was scored by any of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from triage.errors import cause
from triage.model.card import CARD, ModelCard, read_card
from triage.model.folder_check import ModelRefusedError

logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 30.0


class CardLibrary:
    """The cards in a folder of model folders; ``folder`` returns it, and raises ModelRefusedError if there is none.

    Cards alone are read, and no weights. A digest that is not known has the folder read again, once in half a minute:
    a model may be installed while this process runs. Thread-safe.
    """

    def __init__(self, folder: Callable[[], Path] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._cards: dict[str, ModelCard] = {}
        self._read_at = float("-inf")

    def of(self, model_digest: str | None) -> ModelCard | None:
        """Return the card of the model with these weights (SHA-256); None if it is not installed here."""
        with self._lock:
            if model_digest not in self._cards and self._clock() - self._read_at >= _LOOK_AGAIN_S:
                self._read_at = self._clock()
                self._cards = self._read()
            return self._cards.get(model_digest or "")

    def _read(self) -> dict[str, ModelCard]:
        try:
            folders = sorted(path.parent for path in self._folder().glob(f"*/{CARD}")) if self._folder else []
        except ModelRefusedError as error:
            logger.warning("the page has no figures of models: %s", error)
            return {}
        except OSError as error:
            logger.warning("the page has no figures of models: %s", cause(error))
            return {}
        found = {}
        for folder in folders:
            try:
                card = read_card(folder)
            except ModelRefusedError as error:
                logger.warning("the page has no figures of a model: %s", error)
                continue
            found[card.model_sha256] = card
        return found
