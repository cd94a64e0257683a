"""The cards of the installed models, for figures in pages. Their weights are not opened."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from triage.errors import cause
from triage.model.card import CARD, ModelCard, ModelRefusedError
from triage.model.card_versions import LaterCardError, as_of_now

logger = logging.getLogger(__name__)


@dataclass
class InstalledCards:
    """Cards by the digest of their weights. ``folder`` returns the folder of the models, or raises ModelRefusedError.

    They are read again when a digest is asked for that none of them has: a model was replaced.
    """

    folder: Callable[[], Path]
    _cards: dict[str, ModelCard] = field(default_factory=dict)

    def of_digest(self, model_digest: str | None) -> ModelCard | None:
        """Return the card of the weights with this SHA-256; None if no installed model has it."""
        if model_digest and model_digest not in self._cards:
            self._cards = {card.model_sha256: card for card in self._read()}
        return self._cards.get(model_digest or "")

    def _read(self) -> list[ModelCard]:
        try:
            paths = sorted(self.folder().glob(f"*/{CARD}"))
        except (ModelRefusedError, OSError) as error:
            logger.warning("paging: no model's card can be read, pages say no predictive value: %s", cause(error))
            return []
        return [card for path in paths if (card := _card(path)) is not None]


def _card(path: Path) -> ModelCard | None:
    try:
        return ModelCard.model_validate(as_of_now(json.loads(path.read_bytes())))
    except (OSError, ValueError, TypeError, AttributeError, ValidationError, LaterCardError) as error:
        logger.warning("paging: the card of %s cannot be read: %s", path.parent.name, cause(error))
        return None
