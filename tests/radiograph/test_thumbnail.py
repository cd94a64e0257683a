"""The thumbnail that the small networks look at, and their files."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from importlib.resources import files

import numpy as np
import pytest

from triage.phantom.chest import draw
from triage.radiograph import orientation, projection
from triage.radiograph.crop import Rectangle, content
from triage.radiograph.thumbnail import THUMBNAIL, ThumbnailNetwork, shipped, thumbnail

NETWORKS = {"orientation": orientation.SHIPPED, "projection": projection.SHIPPED}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_network_is_small_and_survives_its_file(name: str) -> None:
    network = NETWORKS[name]
    stored = files("triage.radiograph").joinpath(f"{name}.npz").read_bytes()
    assert len(stored) < 200_000
    again = ThumbnailNetwork.from_bytes(network.to_bytes())
    assert again.to_bytes() == network.to_bytes()
    assert np.array_equal(ThumbnailNetwork.from_bytes(stored).first, network.first)
    small = np.random.default_rng(3).random((4, 32, 32), dtype=np.float32)
    assert np.array_equal(again.scores(small), network.scores(small))


def test_a_constant_moves_all_scores_and_one_of_0_is_not_stored() -> None:
    network = replace(projection.SHIPPED, constant=np.zeros((), np.float32))
    moved = replace(network, constant=np.full((), 0.5, np.float32))
    small = np.random.default_rng(4).random((3, 32, 32), dtype=np.float32)
    assert moved.scores(small) == pytest.approx(network.scores(small) + 0.5, abs=1e-5)
    assert len(network.to_bytes()) < len(moved.to_bytes())
    assert ThumbnailNetwork.from_bytes(network.to_bytes()).constant == 0


def test_weights_that_are_not_those_of_the_card_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triage.radiograph.thumbnail.sha256", lambda data: sha256(data + b"another"))
    with pytest.raises(ImportError, match=r"orientation.npz is not the file that orientation.json describes"):
        shipped("orientation")


def test_it_shows_the_part_without_border_whatever_the_image_s_size() -> None:
    image = draw(1, rows=960, columns=840).astype(np.float32) / np.float32(4095)
    valid = np.ones(image.shape, dtype=bool)
    whole = thumbnail(image, valid, content(image, valid))
    assert whole.shape == (THUMBNAIL.size, THUMBNAIL.size)
    assert (whole.min(), whole.max()) == (0, 1)
    framed = np.pad(image, 100)
    known = np.ones(framed.shape, dtype=bool)
    assert thumbnail(framed, known, Rectangle(100, 100, 1060, 940)) == pytest.approx(
        thumbnail(image, valid, Rectangle(0, 0, 960, 840)), abs=1e-6
    )
