"""The folder in which the examples of the documentation are run: images, and the released models."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from triage.phantom.chest import PhantomSubject, as_dicom, draw

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "models").symlink_to(ROOT / "models")
    (folder / "chest.dcm").write_bytes(as_dicom(draw(1), PhantomSubject()))
    (folder / "child.dcm").write_bytes(as_dicom(draw(4, child=True), PhantomSubject("AP", "003Y")))
    assert cv2.imwrite(str(folder / "chest.png"), draw(1) << 4)
    return folder


@pytest.fixture
def workspace(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, as the working directory."""
    monkeypatch.chdir(filled)
    return filled
