"""The model folders that the settings name, as every process takes them: read, checked, and demonstrations left out."""

from __future__ import annotations

import logging
from pathlib import Path

from triage.model.card import ModelCard, load_cards
from triage.model.registry import RegistryPolicy, to_be_loaded

logger = logging.getLogger(__name__)


def installed(models: Path, names: tuple[str, ...], policy: RegistryPolicy) -> dict[str, ModelCard]:
    """The cards of the models to load, by name; whatever is left out is logged. Raises ModelRefusedError."""
    found = load_cards(models, names)
    loaded = to_be_loaded(found, policy, names)
    for name in sorted(found.keys() - loaded.keys()):
        logger.warning(
            "%s is marked as a demonstration and scores nothing without models.allow_demo: %s", name, found[name].covers
        )
    return loaded
