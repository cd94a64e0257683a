"""The model input: bit for bit what it was, whatever the image."""

from __future__ import annotations

import platform
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.radiograph.decode import decode_picture
from triage.radiograph.preprocess import PreprocessSpec, normalise, preprocess, shown_part
from triage.radiograph.types import Radiograph

SPEC = PreprocessSpec(size=32, mean=0.4, deviation=0.2)

Image = npt.NDArray[np.float32]


def an_image(rows: int, columns: int) -> Image:
    """Edges, ramps and fine texture, from integers alone: the same everywhere."""
    y, x = np.mgrid[0:rows, 0:columns]
    stored = (y * y // 7 + x * 13 + y * x // 5) % 4096
    return (stored.astype(np.float32) / np.float32(4095)).astype(np.float32)


def everything(image: Image) -> npt.NDArray[np.bool_]:
    return np.ones(image.shape, dtype=bool)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the digests are of x86-64")
@pytest.mark.parametrize(
    ("masked", "digest"),
    [
        (False, "191ea5647bda63da"),
        (True, "d8c67ccd86b34c4c"),
    ],
)
def test_the_model_input_of_a_known_image_is_what_it_always_was(masked: bool, digest: str) -> None:
    """A change here changes what every released model sees: then its card and its figures no longer hold."""
    image = an_image(701, 577)
    valid = everything(image)
    if masked:
        valid[:40], valid[:, 500:] = False, False
    model_input = preprocess(image, valid, PreprocessSpec(size=224))
    assert (model_input.shape, model_input.dtype) == ((1, 224, 224), np.float32)
    assert sha256(model_input.tobytes()).hexdigest()[:16] == digest


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the digests are of x86-64")
@pytest.mark.parametrize("grey", [0.0, 0.4, 1.0])
def test_a_model_that_crops_sees_the_known_image_whatever_the_border(grey: float) -> None:
    image = np.full((901, 777), grey, dtype=np.float32)
    image[150:851, 50:627] = an_image(701, 577)
    cropped = preprocess(image, everything(image), PreprocessSpec(size=224, crop="border"))
    assert sha256(cropped.tobytes()).hexdigest()[:16] == "191ea5647bda63da"
    assert not np.array_equal(preprocess(image, everything(image), PreprocessSpec(size=224)), cropped)


def test_the_input_is_levels_minus_mean_over_deviation() -> None:
    image = an_image(64, 64)
    levels = normalise(image, everything(image), SPEC)
    found = preprocess(image, everything(image), SPEC)
    assert np.array_equal(found[0], (levels - np.float32(0.4)) / np.float32(0.2))


def test_halving_is_the_mean_of_four_pixels_between_its_percentiles() -> None:
    image = an_image(64, 64)
    means = image.reshape(32, 2, 32, 2).mean(axis=(1, 3), dtype=np.float64)
    low, high = np.percentile(means, [1, 99])
    expected = np.clip((means - low) / (high - low), 0, 1)
    assert np.allclose(normalise(image, everything(image), SPEC), expected, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(320, 64), (64, 320), (96, 96)])
def test_the_whole_image_is_stretched_to_the_square(rows: int, columns: int) -> None:
    image = np.zeros((rows, columns), dtype=np.float32)
    image[: rows // 2] = 1
    image[:, columns // 2 :] += 2
    levels = normalise(image, everything(image), SPEC)
    quarters = [levels[:16, :16], levels[16:, :16], levels[:16, 16:], levels[16:, 16:]]
    assert [float(np.median(quarter)) for quarter in quarters] == pytest.approx([1 / 3, 0, 1, 2 / 3], abs=1e-6)


def test_a_small_image_grows() -> None:
    image = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (8, 1))
    levels = normalise(image, everything(image), SPEC)
    assert levels.shape == (32, 32) and (np.diff(levels[16]) >= 0).all()


@settings(max_examples=30)
@given(st.floats(0.1, 10), st.floats(-5, 5), st.integers(0, 99))
def test_brightness_and_contrast_change_nothing(gain: float, offset: float, seed: int) -> None:
    image = np.random.default_rng(seed).random((48, 40), dtype=np.float32)
    other = (image * np.float32(gain) + np.float32(offset)).astype(np.float32)
    assert np.allclose(normalise(image, everything(image), SPEC), normalise(other, everything(image), SPEC), atol=1e-3)


@settings(max_examples=40)
@given(st.integers(0, 99), st.floats(0, 0.9), st.integers(1, 150), st.integers(1, 150))
def test_an_input_is_always_finite_and_between_0_and_1(seed: int, hidden: float, rows: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    image = random.random((rows, columns), dtype=np.float32)
    levels = normalise(image, random.random((rows, columns)) >= hidden, SPEC)
    assert levels.shape == (32, 32) and np.isfinite(levels).all()
    assert levels.min() >= 0 and levels.max() <= 1


def test_what_is_masked_changes_nothing_and_becomes_the_darkest() -> None:
    image = an_image(96, 96)
    valid = everything(image)
    valid[:30] = False
    levels = normalise(image, valid, SPEC)
    for garbage in (np.float32(0), np.float32(1), np.float32(1e6)):
        assert np.array_equal(normalise(np.where(valid, image, garbage), valid, SPEC), levels)
    assert (levels[:10] == 0).all()
    alone = normalise(image[30:], valid[30:], PreprocessSpec(size=22))  # 3 rows and columns to one, as above
    assert np.allclose(np.percentile(levels[10:], [5, 50, 95]), np.percentile(alone, [5, 50, 95]), atol=0.05)


def test_a_mask_s_edge_is_not_darkened() -> None:
    image, valid = np.full((96, 96), 0.75, dtype=np.float32), np.ones((96, 96), dtype=bool)
    image[48:] = 0.25
    valid[:, :31] = False  # not a multiple of 3: the border goes through output pixels
    levels = normalise(image, valid, SPEC)
    assert (levels[:15, 11:] == 1).all() and (levels[17:, 11:] == 0).all()


def test_a_letterbox_keeps_the_aspect_ratio_between_bars_of_black() -> None:
    image = an_image(64, 128)
    spec = PreprocessSpec(size=32, fit="letterbox", levels="full")
    levels = normalise(image, everything(image), spec)
    assert levels.shape == (32, 32) and not levels[:8].any() and not levels[24:].any()
    assert np.array_equal(levels[8:24], cv2.resize(image, (32, 16), interpolation=cv2.INTER_AREA))
    turned = normalise(image.T, everything(image.T), spec)
    assert not turned[:, :8].any() and not turned[:, 24:].any() and turned[:, 8:24].any()


@pytest.mark.parametrize(("rows", "columns", "part"), [(65, 41, slice(12, 53)), (64, 41, slice(12, 53))])
def test_a_centre_crop_is_the_middle_square_of_the_shorter_side(rows: int, columns: int, part: slice) -> None:
    image = an_image(rows, columns)
    spec = PreprocessSpec(size=16, fit="centre_crop", levels="full")
    expected = cv2.resize(np.ascontiguousarray(image[part]), (16, 16), interpolation=cv2.INTER_AREA)
    assert np.array_equal(normalise(image, everything(image), spec), expected)
    assert np.allclose(normalise(image.T.copy(), everything(image.T), spec), expected.T, atol=1e-5)


def test_the_full_grey_scale_is_kept_as_the_file_has_it() -> None:
    image = (an_image(64, 64) * np.float32(0.5) + np.float32(0.25)).astype(np.float32)
    levels = normalise(image, everything(image), PreprocessSpec(size=64, levels="full"))
    assert np.array_equal(levels, image)
    valid = everything(image)
    valid[:, :20] = False
    masked = normalise(image, valid, PreprocessSpec(size=64, levels="full"))
    assert not masked[:, :20].any() and np.array_equal(masked[:, 20:], image[:, 20:])


def test_the_range_of_torchxrayvision_is_a_mean_and_a_deviation() -> None:
    """Their normalize: (2 * (pixels / maximum) - 1) * 1024, and then cv2's area filter."""
    image = np.rint(an_image(300, 200) * 255).astype(np.float32)
    theirs = cv2.resize((2 * (image / 255) - 1) * 1024, (224, 224), interpolation=cv2.INTER_LINEAR)  # it grows across
    spec = PreprocessSpec(size=224, levels="full", mean=0.5, deviation=1 / 2048)
    ours = preprocess((image / np.float32(255)).astype(np.float32), everything(image), spec)
    assert np.abs(ours[0] - theirs).max() < 0.001  # of 2048


def test_a_linear_filter_skips_pixels_where_the_area_filter_averages_them() -> None:
    image = np.zeros((320, 320), dtype=np.float32)
    image[::10] = 1  # never next to a middle of 10 pixels
    area, linear = (
        normalise(image, everything(image), PreprocessSpec(size=32, levels="full", resize=resize))
        for resize in ("area", "linear")
    )
    assert np.allclose(area, 0.1) and not linear.any()


@given(st.integers(16, 700), st.integers(16, 700), st.integers(16, 64))
@settings(max_examples=60, deadline=None)
def test_rows_before_columns_is_the_area_filter_but_for_roundings(rows: int, columns: int, size: int) -> None:
    image = an_image(rows, columns)
    fast, exact = (
        normalise(image, everything(image), PreprocessSpec(size=size, levels="full", resize=resize))
        for resize in ("area_rows", "area")
    )
    np.testing.assert_allclose(fast, exact, rtol=0, atol=1e-6)


def test_rows_before_columns_keeps_each_row_where_it_was() -> None:
    image = np.zeros((96, 96), dtype=np.float32)
    image[41] = 1  # of the rows 38.4 to 41.6, the thirteenth of 30, and of 41.6 to 44.8
    shown = normalise(image, everything(image), PreprocessSpec(size=30, levels="full", resize="area_rows"))
    assert np.flatnonzero(shown.any(axis=1)).tolist() == [12, 13]
    np.testing.assert_allclose(shown[12:14], np.array([[0.6], [0.4]]) / 3.2 * np.ones((1, 30)), rtol=1e-5)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "centre_crop"])
@pytest.mark.parametrize("crop", ["none", "border"])
def test_what_is_drawn_over_the_image_lies_where_the_model_saw_it(fit: str, crop: str) -> None:
    """A bright square in the input, taken back through the shown part, lies over the bright square of the image."""
    image = np.full((600, 300), 0.2, dtype=np.float32)
    image[50:550, 30:280] = an_image(500, 250) / 4 + np.float32(0.3)
    image[250:310, 150:180] = 1
    spec = PreprocessSpec.from_record({"size": 240, "fit": fit, "crop": crop, "levels": "full"})
    levels = normalise(image, everything(image), spec)
    rows, columns = np.nonzero(levels > 0.9)
    top, left, bottom, right = shown_part(spec, (50 / 600, 30 / 300, 550 / 600, 280 / 300), 600 / 300)
    found = [
        (top + (bottom - top) * rows.min() / 240) * 600,
        (top + (bottom - top) * (rows.max() + 1) / 240) * 600,
        (left + (right - left) * columns.min() / 240) * 300,
        (left + (right - left) * (columns.max() + 1) / 240) * 300,
    ]
    assert found == pytest.approx([250, 310, 150, 180], abs=3)


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_an_image_without_contrast_is_a_constant(grey: float) -> None:
    image = np.full((50, 50), grey, dtype=np.float32)
    assert (normalise(image, everything(image), SPEC) == 0).all()
    assert (preprocess(image, everything(image), SPEC) == np.float32(-0.4) / np.float32(0.2)).all()


def test_one_bright_pixel_is_no_contrast() -> None:
    image = np.zeros((32, 32), dtype=np.float32)
    image[3, 3] = 1
    assert (normalise(image, everything(image), SPEC) == 0).all()


def test_a_handful_of_pixels_is_no_image() -> None:
    image = an_image(32, 32)
    valid = np.zeros(image.shape, dtype=bool)
    assert (normalise(image, valid, SPEC) == 0).all()
    valid[0, :15] = True
    assert (normalise(image, valid, SPEC) == 0).all()
    valid[1, 0] = True
    assert normalise(image, valid, SPEC).max() == 1


def test_percentiles_of_0_and_100_are_the_range() -> None:
    image = an_image(32, 32)
    levels = normalise(image, everything(image), PreprocessSpec(size=32, low_percentile=0, high_percentile=100))
    expected = (image - image.min()) / (image.max() - image.min())
    assert np.allclose(levels, expected, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 8},
        {"size": 4096},
        {"fit": "crop"},
        {"crop": "centre"},
        {"levels": "window"},
        {"resize": "cubic"},
        {"low_percentile": 50, "high_percentile": 50},
        {"high_percentile": 101},
        {"low_percentile": float("nan")},
        {"deviation": 0},
        {"deviation": float("nan")},
        {"deviation": float("inf")},
        {"mean": float("nan")},
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes)).split("_")[-1]):
        PreprocessSpec(**{"size": 32, **changes})


def test_a_spec_travels_as_json() -> None:
    assert PreprocessSpec.from_record(SPEC.to_record()) == SPEC
    with pytest.raises(TypeError):
        PreprocessSpec.from_record({**SPEC.to_record(), "rotate": True})


@pytest.mark.parametrize("crop", ["none", "border"])
def test_what_training_caches_is_this_rounded_to_256_levels(tmp_path: Path, crop: Literal["none", "border"]) -> None:
    """Training keeps bytes: it may differ by half a step of 255, which is 1 / 510 / deviation in the input."""
    images = pytest.importorskip("training.data.images")
    image = np.pad(an_image(80, 60), 15)
    path = tmp_path / "image.png"
    assert cv2.imwrite(str(path), np.rint(image * 65535).astype(np.uint16))
    spec = PreprocessSpec(size=32, crop=crop)
    radiograph = decode_picture(path.read_bytes())
    assert isinstance(radiograph, Radiograph)
    row = SimpleNamespace(image=path, origin="the row")
    images.load([row], PreprocessSpec(size=32), tmp_path / "cache")  # of another crop: no other's cache
    cached = images.load([row], spec, tmp_path / "cache")
    levels = images.to_levels(cached).numpy()[0]
    served = preprocess(radiograph.pixels, radiograph.valid, spec)
    assert np.abs((levels - spec.mean) / spec.deviation - served).max() <= 1 / 510 / spec.deviation + 1e-6
