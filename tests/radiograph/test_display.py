"""A page shows the image that the service scores, with all stored values."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from triage.decision.reasons import Reason
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.radiograph.decode import decode_picture, decode_pixels, open_dicom
from triage.radiograph.display import DisplayImage, linear_ends, view
from triage.radiograph.types import Radiograph, Rejected

PIXELS = draw(1, rows=64, columns=48)


def changed(**attributes: object) -> bytes:
    dataset = dcmread(BytesIO(as_dicom(PIXELS, PhantomSubject())))
    for name, value in attributes.items():
        setattr(dataset, name, value)
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def shown(viewed: DisplayImage) -> np.ndarray:
    """The greys of a page that opens ``viewed``, 0..1."""
    return np.clip((viewed.values - viewed.black) / (viewed.white - viewed.black), 0, 1)


def seen(data: bytes) -> Radiograph:
    opened = open_dicom(data)
    assert not isinstance(opened, Rejected)
    radiograph = decode_pixels(*opened)
    assert isinstance(radiograph, Radiograph)
    return radiograph


def a_lut() -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.LUTData = (np.sqrt(np.arange(4096) / 4095) * 65535).astype("<u2").tobytes()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    item.add_new("LUTData", "OW", item.LUTData)
    return Sequence([item])


CASES = {
    "as drawn": {},
    "a narrow window": {"WindowCenter": 1500, "WindowWidth": 300},
    "a window wider than the values": {"WindowCenter": 2048, "WindowWidth": 9000},
    "exact": {"WindowCenter": 1500, "WindowWidth": 300, "VOILUTFunction": "LINEAR_EXACT"},
    "no window": {"WindowCenter": None, "WindowWidth": None},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "rescaled": {"RescaleSlope": -2, "RescaleIntercept": 5000, "WindowCenter": 1000, "WindowWidth": 2000},
    "sigmoid": {"WindowCenter": 1500, "WindowWidth": 300, "VOILUTFunction": "SIGMOID"},
    "a VOI LUT": {"VOILUTSequence": a_lut(), "WindowCenter": None, "WindowWidth": None},
    "a threshold": {"WindowCenter": 1500, "WindowWidth": 1},
}


@pytest.mark.parametrize("name", CASES)
def test_it_opens_as_the_service_sees_it(name: str):
    data = changed(**CASES[name])
    viewed = view(data)
    assert isinstance(viewed, DisplayImage)
    assert np.abs(shown(viewed) - seen(data).pixels).max() < 2e-4


def test_behind_a_linear_window_is_all_that_was_stored():
    viewed = view(changed(WindowCenter=1500, WindowWidth=300))
    assert isinstance(viewed, DisplayImage)
    assert (viewed.values == PIXELS).all()
    assert (round(viewed.black, 1), round(viewed.white, 1)) == (1350.0, 1649.0)  # PS3.3 C.11.2.1.2


def test_an_inverse_image_has_its_white_at_the_low_end():
    viewed = view(changed(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    assert isinstance(viewed, DisplayImage)
    assert viewed.white < viewed.black


def test_what_is_outside_the_shutter_is_said():
    viewed = view(
        changed(
            ShutterShape="RECTANGULAR",
            ShutterLeftVerticalEdge=5,
            ShutterRightVerticalEdge=40,
            ShutterUpperHorizontalEdge=1,
            ShutterLowerHorizontalEdge=64,
        )
    )
    assert isinstance(viewed, DisplayImage)
    assert viewed.valid[:, 4:40].all()
    assert not viewed.valid[:, :4].any()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_pictures_keep_their_depth(depth: type):
    image = (PIXELS.astype(np.float64) / 4095 * np.iinfo(depth).max).astype(depth)
    encoded = cv2.imencode(".png", image)[1].tobytes()
    viewed = view(encoded)
    assert isinstance(viewed, DisplayImage)
    assert len(np.unique(viewed.values)) == len(np.unique(image))
    picture = decode_picture(encoded)
    assert isinstance(picture, Radiograph)
    assert np.abs(shown(viewed) - picture.pixels).max() < 1e-5


def test_what_cannot_be_decoded_is_a_reason():
    for data in (b"", b"\x89PNG\r\n\x1a\n", as_dicom(PIXELS, PhantomSubject())[:2000]):
        found = view(data)
        assert isinstance(found, Rejected)
        assert found.reason is Reason.UNDECODABLE


def test_a_scale_of_one_grey_has_no_ends():
    assert linear_ends(np.full(100, 0.5, dtype=np.float32)) is None


def test_real_files_open_as_the_service_sees_them(triage_data: Path):
    compared = 0
    for path in sorted((triage_data / "dicom").glob("cr-dx-*/*.dcm")):
        data = path.read_bytes()
        opened = open_dicom(data)
        expected = opened if isinstance(opened, Rejected) else decode_pixels(*opened)
        found = view(data)
        assert type(found) is (DisplayImage if isinstance(expected, Radiograph) else Rejected), path.name
        if isinstance(found, DisplayImage) and isinstance(expected, Radiograph):
            assert np.abs(shown(found) - expected.pixels)[expected.valid].max(initial=0) < 2e-4, path.name
            compared += 1
    assert compared > 10
