"""The area filter over the parts of an image is, to the bit, that over the whole."""

from __future__ import annotations

import random
import threading

import cv2
import numpy as np
import pytest

from triage.radiograph import area_filter
from triage.radiograph.area_filter import parts_of, shrink
from triage.radiograph.preprocess import PreprocessSpec, preprocess

HEIGHTS = (3056, 2544, 2540, 2048, 4280, 1344, 2688, 448, 226, 450, 3000, 2022)


def whole(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("large", [1, 1 << 30], ids=["two threads", "one thread"])
@pytest.mark.parametrize("size", [96, 160, 224, 320, 512])
def test_of_any_height_it_is_the_same_to_the_bit(size: int, large: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(area_filter, "_MIDDLING", 1)
    monkeypatch.setattr(area_filter, "_LARGE", large)
    drawn, values, exact = random.Random(size), np.random.default_rng(size), 0
    heights = {*HEIGHTS, *(drawn.randrange(size, 4600) for _ in range(40)), size, 2 * size, 9 * size}
    for rows in sorted(each for each in heights if each >= size):
        image = values.random(
            (rows, drawn.choice((size, size + 1, 2 * size, drawn.randrange(size, 3 * size)))), dtype=np.float32
        )
        assert shrink(image, (size, size)).tobytes() == whole(image, (size, size)).tobytes(), rows
        exact += parts_of(rows, size) > 1
    assert exact > 10


@pytest.mark.parametrize(("rows", "result"), [(3055, 224), (3056, 225), (225, 224)])
def test_what_has_no_middle_row_is_not_divided(rows: int, result: int):
    assert parts_of(rows, result) == 1


@pytest.mark.parametrize(("rows", "parts"), [(3056, 8), (3000, 8), (3052, 4), (3054, 2), (2240, 2)])
def test_it_has_as_many_parts_as_its_height_allows(rows: int, parts: int):
    assert parts_of(rows, 224) == parts


def test_a_large_image_is_divided_between_two_threads_and_a_small_one_is_not(monkeypatch: pytest.MonkeyPatch):
    resize, threads = cv2.resize, []

    def noted(*given: object, **how: object) -> object:
        threads.append(threading.get_ident())
        return resize(*given, **how)  # type: ignore[call-overload]

    parts_of(2000, 224)  # the trial is over
    monkeypatch.setattr(area_filter.cv2, "resize", noted)
    shrink(np.zeros((2000, 2000), dtype=np.float32), (224, 224))
    assert len(threads) == len(set(threads)) == 2
    threads.clear()
    shrink(np.zeros((1024, 1024), dtype=np.float32), (224, 224))
    assert set(threads) == {threading.get_ident()}


def test_weights_that_are_rounded_otherwise_and_a_library_that_computes_otherwise_are_found(
    monkeypatch: pytest.MonkeyPatch,
):
    parts_of.cache_clear()
    assert parts_of(3056, 224) == 8
    parts_of.cache_clear()
    monkeypatch.setattr(area_filter, "_weights", lambda rows, result: iter([(0, 0, np.float32(rows))]))
    assert parts_of(3056, 224) == 1
    monkeypatch.undo()
    parts_of.cache_clear()
    shrunk = area_filter._shrunk
    monkeypatch.setattr(area_filter, "_shrunk", lambda image, shape: shrunk(image, shape) + np.float32(len(image)))
    assert parts_of(3056, 224) == 1
    parts_of.cache_clear()


def test_where_no_thread_can_be_started_the_whole_is_done_at_once(monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    image = np.random.default_rng(1).random((2000, 2000), dtype=np.float32)
    monkeypatch.setattr(threading.Thread, "start", refused)
    assert shrink(image, (224, 224)).tobytes() == whole(image, (224, 224)).tobytes()


def test_memory_that_is_short_in_the_thread_is_the_callers_error(monkeypatch: pytest.MonkeyPatch):
    caller = threading.get_ident()
    shrunk = area_filter._shrunk

    def short(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        if threading.get_ident() != caller:
            raise MemoryError
        return shrunk(image, shape)

    parts_of(2000, 224)
    monkeypatch.setattr(area_filter, "_shrunk", short)
    with pytest.raises(MemoryError):
        shrink(np.zeros((2000, 2000), dtype=np.float32), (224, 224))


def test_a_model_input_of_a_large_image_is_what_it_was(monkeypatch: pytest.MonkeyPatch):
    pixels = np.random.default_rng(2).random((3056, 2544), dtype=np.float32)
    valid = np.ones(pixels.shape, dtype=bool)
    valid[:40] = False
    made = preprocess(pixels, valid, PreprocessSpec(224, fit="letterbox"))
    monkeypatch.setattr(area_filter, "_MIDDLING", pixels.size + 1)
    assert preprocess(pixels, valid, PreprocessSpec(224, fit="letterbox")).tobytes() == made.tobytes()
