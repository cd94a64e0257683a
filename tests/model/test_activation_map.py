"""The activation map that is kept is that of the score, and lies over the original image where it belongs."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from tests.support.builders import a_map, an_assessment
from tests.support.model_folders import write_model
from triage.channels.secondary_capture.image import BAND, drawn, left_of
from triage.decision.records import assessment_from, to_record
from triage.decision.types import ActivationMap
from triage.model.activation_map import (
    FLOOR,
    MOST_CELLS,
    MOST_COLOURED,
    as_png,
    cells_of,
    coloured,
    encode_map,
    excess,
    mixed,
    placed,
    strength,
    why_none,
)
from triage.model.card_finding import ActivationGrid
from triage.model.session import ModelSession
from triage.phantom.chest import PhantomSubject, as_dicom
from triage.radiograph.crop import WHOLE
from triage.radiograph.display import greys
from triage.radiograph.preprocess import PreprocessSpec
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.service.models import load_sessions
from triage.settings.schema import Settings

SPEC = PreprocessSpec(64)
PACS = {"name": "pacs", "host": "127.0.0.1", "port": 104, "called_ae_title": "PACS"}
CELLS = 8  # of the tiny model's map, each way


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ModelSession:
    """A model whose map is its input, averaged over 8 x 8 cells."""
    models = tmp_path_factory.mktemp("models")
    card = write_model(models, "tiny", cam=True, bias=1.0)
    return ModelSession(models / "tiny", card, threads=1, maps=True)


def spotted(rows: int, columns: int, cell: tuple[int, int]) -> np.ndarray:
    """A dark image with one bright cell, 12 bits."""
    pixels = np.full((rows, columns), 200, dtype=np.uint16)
    top, bottom = rows * cell[0] // CELLS, rows * (cell[0] + 1) // CELLS
    left, right = columns * cell[1] // CELLS, columns * (cell[1] + 1) // CELLS
    pixels[top:bottom, left:right] = 3800
    return pixels


def stored(pixels: np.ndarray, **attributes: Any) -> bytes:
    dataset = dcmread(BytesIO(as_dicom(pixels, PhantomSubject())))
    for name, value in attributes.items():
        setattr(dataset, name, value)
    if "PixelPaddingValue" in dataset:
        dataset["PixelPaddingValue"].VR = "US"
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def scored(session: ModelSession, content: bytes) -> tuple[ActivationMap, float]:
    """Map and probability of an image, by the service's own way."""
    prepared = prepare(content, {"tiny": session.card}, AssessmentPolicy())
    assert prepared.model_input is not None, prepared.rejected
    scores = session.score(prepared.model_input[np.newaxis])
    assert scores.maps is not None
    found = encode_map(scores.maps[0][0], session.card.preprocessing.spec(), None, prepared.content)
    assert found is not None
    return found, float(scores.probability[0][0])


INVERSE = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
SHUTTER = {
    "ShutterShape": "RECTANGULAR",
    "ShutterLeftVerticalEdge": 40,
    "ShutterRightVerticalEdge": 10_000,
    "ShutterUpperHorizontalEdge": 1,
    "ShutterLowerHorizontalEdge": 10_000,
}


@pytest.mark.parametrize("cell", [(0, 0), (0, 7), (7, 0), (7, 7), (2, 5)])
@pytest.mark.parametrize("shape", [(160, 160), (400, 120), (90, 333)])
def test_a_bright_spot_is_found_where_it_is(session: ModelSession, shape: tuple[int, int], cell: tuple[int, int]):
    expect_at(session, stored(spotted(*shape, cell)), shape, cell)


@pytest.mark.parametrize("cell", [(0, 7), (7, 7), (4, 6)])
def test_also_in_an_inverse_a_padded_and_a_shuttered_image(session: ModelSession, cell: tuple[int, int]):
    shape = (400, 240)
    pixels = spotted(*shape, cell)
    expect_at(session, stored(4095 - pixels, **INVERSE), shape, cell)
    padded = pixels.copy()
    padded[:, :60] = 0  # a quarter of the image is no image
    padded[:30] = np.where(padded[:30] == 200, 0, padded[:30])
    expect_at(session, stored(padded, PixelPaddingValue=0), shape, cell)
    expect_at(session, stored(pixels, **SHUTTER), shape, cell)


def expect_at(session: ModelSession, content: bytes, shape: tuple[int, int], cell: tuple[int, int]) -> None:
    """The colour is strongest in the middle of the bright cell: at the image's size, in the PNG, in the capture."""
    found, probability = scored(session, content)
    strengths = strength(found, probability, 0.5, *shape)
    assert strengths.max() > 0.9
    expect_strongest(strengths, cell)

    png = cv2.imdecode(np.frombuffer(as_png(found, probability, 0.5), np.uint8), cv2.IMREAD_UNCHANGED)
    expect_strongest(png[..., 1].astype(float), cell)  # green grows from pink to yellow

    grey = greys(content, 512)
    assert isinstance(grey, np.ndarray)
    assert grey.shape[0] * shape[1] == pytest.approx(grey.shape[1] * shape[0], rel=0.01)
    assessment = an_assessment(activation_map=found, probability=probability, operating_point=0.5)
    canvas = drawn(grey, assessment)
    rows, columns = grey.shape
    picture = canvas[:-BAND, left_of(columns) : left_of(columns) + columns].astype(float)
    assert picture.shape[:2] == (rows, columns)
    expect_strongest(2 * picture[..., 1] - picture[..., 2] - grey, cell, share=0.97)  # what is left is the colour's


def expect_strongest(values: np.ndarray, cell: tuple[int, int], share: float = 0.99) -> None:
    """The colours near the highest value lie around the middle of the cell, or between it and the image's edge."""
    places = np.nonzero(values >= values.max() * share)
    for at, place, pixels in zip(cell, places, values.shape, strict=True):
        middle = (at + 0.5) / CELLS
        nearest = (0.0 if at == 0 else middle, 1.0 if at == CELLS - 1 else middle)
        ends = (place.min() / pixels, (place.max() + 1) / pixels)
        assert ends == pytest.approx(nearest, abs=max(2 / pixels, 0.02))


def strongest(values: np.ndarray) -> tuple[float, float]:
    """The middle of what is near the highest value, as fractions of rows and columns."""
    rows, columns = np.nonzero(values >= values.max() * 0.99)
    return (rows.mean() + 0.5) / values.shape[0], (columns.mean() + 0.5) / values.shape[1]


def test_a_map_is_that_of_the_very_score(session: ModelSession):
    found, probability = scored(session, stored(spotted(100, 140, (3, 3))))
    logit = float(cells_of(found).mean()) + 1.0  # the tiny model's bias

    assert 1 / (1 + np.exp(-logit)) == pytest.approx(probability, abs=1e-6)
    assert excess(found, probability, 0.5).mean() == pytest.approx(logit, abs=1e-5)


def test_cells_that_are_no_equal_tiles_lie_where_the_card_says():
    grid = ActivationGrid(first_row=0.5, first_column=16, step=32)
    found = encode_map(np.zeros((5, 5), np.float32), PreprocessSpec(160), grid, WHOLE)

    assert found is not None
    assert (found.left, found.right) == (0.0, 1.0)
    assert (found.top, found.bottom) == (-15.5 / 160, 144.5 / 160)
    hot = a_map(hot=(1, 1), top=found.top, bottom=found.bottom)
    assert strongest(strength(hot, 0.9, 0.5, 320, 320)) == pytest.approx((32.5 / 160, 48 / 160), abs=1 / 160)


def test_a_map_of_a_cropped_image_lies_on_what_was_left_and_nowhere_else():
    content = (0.25, 0.125, 0.75, 0.875)
    inner, corner = (np.full((4, 4), -2, np.float32) for _ in range(2))
    inner[1, 1] = corner[0, 0] = 12

    within, outermost = (
        encode_map(cells, PreprocessSpec(64, crop="border"), None, content) for cells in (inner, corner)
    )

    assert within is not None
    assert (within.top, within.left, within.bottom, within.right) == within.seen == content
    expected = (0.25 + 1.5 / 4 * 0.5, 0.125 + 1.5 / 4 * 0.75)
    assert strongest(strength(within, 0.9, 0.5, 160, 160)) == pytest.approx(expected, abs=1 / 160)
    assert outermost is not None
    shown = strength(outermost, 0.9, 0.5, 160, 160)
    assert shown[40, 20] > 0.9
    assert shown[:40].max() == shown[:, :20].max() == 0  # the border
    assert strength(replace(outermost, seen=WHOLE), 0.9, 0.5, 160, 160)[30, 10] > 0.9
    uncropped = encode_map(inner, PreprocessSpec(64), None, content)
    assert uncropped is not None
    assert (uncropped.top, uncropped.left, uncropped.bottom, uncropped.right) == uncropped.seen == WHOLE


@pytest.mark.parametrize(
    ("fit", "edges", "seen"),
    [
        ("letterbox", (0.0, -0.5, 1.0, 1.5), WHOLE),
        ("centre_crop", (0.25, 0.0, 0.75, 1.0), (0.25, 0.0, 0.75, 1.0)),
    ],
)
def test_a_map_of_an_input_that_is_not_the_stretched_image_lies_where_the_model_saw_it(fit, edges, seen):
    tall = PreprocessSpec(64, fit=fit)
    found = encode_map(np.zeros((4, 4), np.float32), tall, None, WHOLE, aspect=2.0)

    assert found is not None
    assert (found.top, found.left, found.bottom, found.right) == edges
    assert found.seen == seen


def a_spot(height: float) -> ActivationMap:
    """A map whose middle lies ``height`` logits above the rest."""
    cells = np.zeros((5, 5), dtype="<f4")
    cells[2, 2] = height
    return ActivationMap(5, 5, b64encode(cells.tobytes()).decode())


def test_an_image_in_which_nothing_speaks_for_a_finding_does_not_glow():
    spot = a_spot(0.5)

    assert strength(spot, 0.1, 0.5, 80, 80).max() == 0
    assert 0.1 < strength(spot, 0.5, 0.5, 80, 80).max() < 0.3  # a little above the point: a little colour
    assert strength(a_spot(9.0), 0.99, 0.5, 80, 80).max() == pytest.approx(1, abs=0.05)
    assert strength(a_spot(9.0), 1.0, 0.5, 80, 80).max() == pytest.approx(1, abs=0.05)  # a logit without end
    assert strength(spot, 0.0, 0.5, 80, 80).max() == 0


@pytest.mark.parametrize("probability", [0.5, 0.6, 0.99, 1.0])
def test_a_map_that_speaks_for_the_whole_chest_has_no_colour(probability: float):
    assert strength(ActivationMap(1, 1, a_map(1, 1).values), probability, 0.5, 8, 8).max() == 0
    almost = a_spot(0.05)
    assert strength(almost, 1.0, 0.5, 80, 80).max() == 0


@pytest.mark.parametrize("seed", range(5))
def test_at_most_a_quarter_of_the_image_is_coloured_and_nothing_has_an_edge(seed: int):
    cells = (4 + np.random.default_rng(seed).normal(size=(7, 7))).astype("<f4")
    found = ActivationMap(7, 7, b64encode(cells.tobytes()).decode())
    drawn = strength(found, 0.99, 0.5, 140, 140)
    above = np.clip(placed(found, excess(found, 0.99, 0.5), 140, 140), 0, None)
    assert 0 < (drawn > 0).mean() <= MOST_COLOURED
    assert (drawn[above < FLOOR * above.max()] == 0).all()
    assert np.abs(np.diff(drawn, axis=0)).max() < 0.2  # a contour would be a step
    assert drawn.max() == pytest.approx(min(above.max() / 2, 1), abs=0.05)


def test_what_is_no_number_is_not_kept_and_what_is_fine_is_averaged():
    broken = np.zeros((5, 5), np.float32)
    broken[2, 2] = np.nan
    assert encode_map(broken, SPEC, None, WHOLE) is None

    fine = np.random.default_rng(0).normal(size=(200, 150)).astype(np.float32)
    found = encode_map(fine, SPEC, None, WHOLE)
    assert found is not None
    assert (found.rows, found.columns) == (MOST_CELLS, MOST_CELLS)
    assert cells_of(found).mean() == pytest.approx(fine.mean(), abs=1e-4)


@pytest.mark.parametrize("grey", [0, 60, 128, 255])
@pytest.mark.parametrize("level", [0.25, 1.0])
def test_colours_are_told_from_every_grey(grey: int, level: float):
    (pixel,) = mixed(np.full((1, 1), grey, np.uint8), coloured(np.full((1, 1), level, np.float32)))[0].astype(int)

    assert pixel.max() - pixel.min() >= 30  # a grey has 0


def test_without_a_map_it_is_said_why():
    assert why_none(an_assessment(activation_map=a_map())) == ""
    assert "switched off" in why_none(an_assessment())
    assert why_none(an_assessment(no_map="tiny 1 has no activation map")) == "tiny 1 has no activation map"
    assert "not scored" in why_none(an_assessment(probability=None))


def test_it_is_written_beside_the_score_and_read_again():
    assessment = an_assessment(activation_map=a_map(3, 4, (1, 2), top=-0.1))

    assert assessment_from(to_record(assessment)) == assessment
    older = to_record(an_assessment())
    del older["activation_map"], older["no_map"]
    assert assessment_from(older) == an_assessment()


def test_a_session_gives_maps_only_where_asked_and_the_graph_has_them(tmp_path: Path):
    image = np.random.default_rng(1).normal(size=(3, 1, 64, 64)).astype(np.float32)
    for name, cam in (("with", True), ("without", False)):
        card = write_model(tmp_path, name, cam=cam)
        asked = ModelSession(tmp_path / name, card, threads=1, maps=True).score(image)
        unasked = ModelSession(tmp_path / name, card, threads=1).score(image)
        assert unasked.maps is None
        assert (asked.maps is None) is not cam
        assert (asked.probability == unasked.probability).all()  # maps do not change the scores
        if asked.maps is not None:
            assert asked.maps == pytest.approx(image.reshape(3, 1, 8, 8, 8, 8).mean((3, 5)), abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "kept_"),
    [
        ({}, False),
        ({"web": {"activation_map": True}}, True),
        ({"channels": {"secondary_capture": [PACS]}}, True),
        ({"channels": {"secondary_capture": [{**PACS, "enabled": False}]}}, False),
    ],
)
def test_workers_keep_maps_where_something_shows_them(tmp_path: Path, changes: dict[str, Any], kept_: bool):
    write_model(tmp_path, "tiny", cam=True)
    settings = Settings.model_validate({"models": {"path": tmp_path}, "worker": {"threads": 1}, **changes})

    assert load_sessions(settings)["tiny"].keeps_maps is kept_
