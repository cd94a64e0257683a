"""The whole service with too few file descriptors or too little memory: it says what is wrong, and loses nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.support.dicom_peer import DX, RawPeer, a_data_set, encoded, store
from tests.support.model_folders import write_model
from tests.support.wait import wait_for
from tests.support.whole_service import Service

ACCEPT = 0x02
SMALL, LARGE = 500, 8000


def a_chest(side: int) -> Dataset:
    pixels = np.random.default_rng(side).integers(0, 4095, (side, side), dtype=np.uint16)
    return a_data_set(
        Rows=side,
        Columns=side,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
        PresentationIntentType="FOR PRESENTATION",
        ImageType=["ORIGINAL", "PRIMARY"],
        ViewPosition="PA",
        BodyPartExamined="CHEST",
        PatientAge="050Y",
        PixelData=pixels.tobytes(),
    )


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "tiny-adult")
    return tmp_path / "models"


def stored_while_held(service: Service, associations: int) -> list[str]:
    """Hold associations, as many as are given, and store over the last of them; the studies that were acknowledged."""
    acknowledged = []
    with ExitStack() as stack:
        held = []
        for _ in range(associations):
            peer = stack.enter_context(RawPeer(service.dicom_port))
            if peer.associate()[0] != ACCEPT:
                break
            held.append(peer)
        for peer in held[-3:]:
            sent = a_chest(SMALL)
            peer.send_store(DX, str(sent.SOPInstanceUID), encoded(sent))
            if peer.status() == 0x0000:
                acknowledged.append(str(sent.StudyInstanceUID))
    return acknowledged


@pytest.mark.parametrize(("limit", "too_few"), [(64, True), (1024, False)])
def test_few_descriptors(tmp_path: Path, models: Path, limit: int, too_few: bool) -> None:
    with Service(tmp_path / "service", models, limits=f"ulimit -n {limit}") as service:
        acknowledged = stored_while_held(service, 60)
        assert acknowledged
        assert service.tagged(*acknowledged).keys() == set(acknowledged)
        after = a_chest(SMALL)
        assert store(service.dicom_port, after) == [0x0000]
        service.tagged(str(after.StudyInstanceUID))
    assert ("raise the limit (ulimit -n" in service.log()) == too_few
    assert "Traceback" not in service.log()


def test_little_memory(tmp_path: Path, models: Path) -> None:
    """An address space in which an image of 64 megapixels has no room."""
    with Service(tmp_path / "service", models, limits="ulimit -v 1000000", worker_tries=1) as service:
        small, large, again = a_chest(SMALL), a_chest(LARGE), a_chest(SMALL + 1)
        assert store(service.dicom_port, small, large, again) == [0x0000] * 3
        studies = [str(each.StudyInstanceUID) for each in (small, large, again)]
        wait_for(lambda: set(studies) <= service.worklist().keys(), "all that was acknowledged to be listed", 120.0)
        (image,) = service.images(studies[1])
        assert image["tag"] == "NOT_ASSESSED"
        assert image["reasons"] == ["worker_failure"]
        assert "more memory" in image["detail"]
        assert "more memory" in service.run("dead-letters").stdout
        for study in (studies[0], studies[2]):
            assert service.images(study)[0]["probability"] is not None
