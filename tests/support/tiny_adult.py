"""The tests' small model for adults, loaded: a fixture for the modules that import it."""

from __future__ import annotations

import pytest

from tests.support.model_folders import write_model
from triage.model.session import ModelSession


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSession]:
    folder = tmp_path_factory.mktemp("models")
    card = write_model(folder, "tiny-adult", bias=-10)
    return {card.name: ModelSession(folder / card.name, card, threads=1)}
