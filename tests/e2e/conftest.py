"""Services that tests share: starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_folders import write_model
from tests.support.real_radiographs import Sent, real_chests
from tests.support.whole_service import Service
from triage.model.card import CARD

RELEASED = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released models where the repository has them, else tiny ones for adults and small children."""
    if any(RELEASED.glob(f"*/{CARD}")):
        return RELEASED
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult")
    write_model(folder, "tiny-child", age_from=1, age_below=6, negative_is_normal=False)
    return folder


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Service]:
    """A service that nobody disturbs; tests find their own studies in it."""
    with Service(tmp_path_factory.mktemp("service"), models) as running:
        yield running


@pytest.fixture
def chests(triage_data: Path, tmp_path: Path) -> list[Sent]:
    """Real chest radiographs as DICOM files, in a folder of their own."""
    folder = tmp_path / "chests"
    folder.mkdir()
    found = real_chests(triage_data, folder)
    for path in set(folder.iterdir()) - {each.path for each in found}:
        path.unlink()  # what was wrapped, before it got UIDs of its own
    return found
