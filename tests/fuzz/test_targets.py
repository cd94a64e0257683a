"""A seeded minute of what ``make fuzz`` does for ten, and every input that ever found a defect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.mutation import mutated
from tests.fuzz.pixel_data import decoders_reached, objects
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"
SEED = 20261129


@pytest.mark.filterwarnings("ignore")  # of the libraries, about what they read
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_is_mutated_finds_a_defect(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    for data in (*seeds, *mutated(seeds, target.each_test, SEED)):
        target.run(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once_is_mended(path: Path) -> None:
    TARGETS[path.parent.name].run(path.read_bytes())


@pytest.mark.filterwarnings("ignore")
def test_each_object_that_is_mutated_gets_as_far_as_a_decoder() -> None:
    assert [decoders_reached(data) for data in objects()] == [1] * len(objects())
