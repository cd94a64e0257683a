"""One picture in all encodings, through the whole service: one result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.dicom_senders import PROPOSE, dcmsend, storescu
from tests.support.encodings import Encoding, encode, encodings
from tests.support.real_radiographs import Sent, adults
from tests.support.whole_service import Service
from triage.dicom.requestor import RemoteAE
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.sender.send import send

LOSSLESS_BOUND = 1e-5
"""MONOCHROME1 and MONOCHROME2 round differently in the last bit of a grey value."""

LOSSY_BOUND = 0.1
"""Of the probability, which is near 0.5: JPEG at quality 95, JPEG 2000 at 10:1, JPEG-LS within 2 grey values (which
moves it by 0.09)."""


@pytest.fixture
def picture(triage_data: Path) -> np.ndarray[Any, Any]:
    """A real chest of 8 bits."""
    found = cv2.imread(str(adults(triage_data, 1)[0]["path"]), cv2.IMREAD_GRAYSCALE)
    assert found is not None
    return found


@pytest.mark.parametrize("bits", [8, 12])
def test_one_picture_in_every_encoding_is_one_result(
    service: Service, picture: np.ndarray[Any, Any], tmp_path: Path, bits: int
) -> None:
    pixels = picture if bits == 8 else picture.astype(np.uint16) << 4
    sent = {each: encode(pixels, bits, each, tmp_path) for each in encodings(bits)}
    entries = _delivered(service, sent)
    (reference,) = (entries[each] for each in sent if each == next(iter(sent)))
    assert reference["probability"] is not None

    for encoding, entry in entries.items():
        bound = LOSSY_BOUND if encoding.lossy else LOSSLESS_BOUND
        assert entry["probability"] == pytest.approx(reference["probability"], abs=bound), encoding
        if not encoding.lossy:
            assert (entry["tag"], entry["reasons"]) == (reference["tag"], reference["reasons"])
    for inverted in (False, True):
        exact = {e["probability"] for encoding, e in entries.items() if _exact(encoding, inverted)}
        assert len(exact) == 1, "lossless syntaxes of one picture give the same bits"
    # Each arrived in the syntax that it was written in: nobody decompressed it on the way.
    arrived = {encoding.syntax for encoding in entries}
    assert arrived <= set(TRANSFER_SYNTAXES)
    for encoding, each in sent.items():
        (file,) = service.spool.study_folder(each.study).glob("*.dcm")
        assert encoding.syntax.encode() in file.read_bytes()[:1000]


def _exact(encoding: Encoding, inverted: bool) -> bool:
    return encoding.inverted is inverted and not encoding.lossy


def _delivered(service: Service, sent: dict[Encoding, Sent]) -> dict[Encoding, dict[str, Any]]:
    """Each by storescu with the option that proposes its syntax, what it cannot propose by `triage send`'s way."""
    for encoding, each in sent.items():
        if encoding.syntax in PROPOSE:
            said = storescu(service.dicom_port, PROPOSE[encoding.syntax], each.path)
            assert "Received Store Response (Success)" in said, said
        else:
            (outcome,) = send([each.path], RemoteAE("127.0.0.1", service.dicom_port, "CXR_TRIAGE", "E2E"))
            assert not outcome.error
    entries = service.tagged(*(each.study for each in sent.values()))
    return {encoding: entries[each.study] for encoding, each in sent.items()}


def test_every_option_of_storescu_is_taken(service: Service, picture: np.ndarray[Any, Any], tmp_path: Path) -> None:
    # What storescu cannot convert to the syntax it proposed, it sends uncompressed: every option has to work.
    options = ["", "-x=", *PROPOSE.values(), "-R", "+C"]
    plain = next(encodings(8))
    sent = [encode(picture, 8, plain, _folder(tmp_path, number)) for number, _ in enumerate(options)]
    for option, each in zip(options, sent, strict=True):
        said = storescu(service.dicom_port, *filter(None, [option]), each.path)
        assert "Received Store Response (Success)" in said, (option, said)
    said = dcmsend(service.dicom_port, encode(picture, 8, plain, _folder(tmp_path, -1)).path)
    assert "Received C-STORE Response (Success)" in said
    entries = service.tagged(*(each.study for each in sent))
    assert len({entry["probability"] for entry in entries.values()}) == 1


def test_what_we_cannot_decode_is_not_negotiated(
    service: Service, picture: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    before = set(service.worklist())
    sent = encode(picture, 8, next(encodings(8)), tmp_path)
    for option in ("-xm", "-xh", "-xn", "-xl", "-x2", "-x3", "-xo", "-x4", "-x5"):  # video
        said = storescu(service.dicom_port, option, sent.path)
        assert "No Acceptable Presentation Contexts" in said, (option, said)
    assert set(service.worklist()) == before


def _folder(parent: Path, number: int) -> Path:
    folder = parent / str(number)
    folder.mkdir()
    return folder
