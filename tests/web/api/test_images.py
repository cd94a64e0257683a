"""Pictures and previews over HTTP: made once, bounded, and what a length on them means."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.redis_server import RedisServer
from tests.support.service import receive
from tests.support.worklist_page import served, tagged
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.radiograph.display import view
from triage.radiograph.preview import preview_of
from triage.radiograph.types import Rejected
from triage.spool.spool import Spool
from triage.web.api.bounded_cache import BoundedCache
from triage.web.api.images import LONGEST_PREVIEW, PictureCache
from triage.web.api.sources import Sources
from triage.web.auth.route_rules import RULES


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    with served(redis_server, spool) as (address, sources):
        yield address, sources


def asked(address: str, sources: Sources, uid: str, part: str = "") -> tuple[dict[str, Any], bytes]:
    (record,) = sources.spool.assessments(uid)
    name = f"{record['sop_instance_uid']}+{record['content_digest']}"
    answer = httpx.get(f"{address}/api/studies/{uid}/images/{name}{part}", trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return json.loads(answer.headers["X-Picture"]), answer.content


def test_a_preview_is_a_level_of_the_picture_and_both_say_what_a_length_means(place: tuple[str, Sources]) -> None:
    address, sources = place
    uid = tagged(sources.spool, sources.worklist, 1, size=1500, columns=1301).study_instance_uid
    small, content = asked(address, sources, uid, "/preview")
    whole, everything = asked(address, sources, uid)
    assert (small["level"], small["rows"], small["columns"], small["whole"]) == (1, 750, 651, [1500, 1301])
    assert (whole["level"], whole["rows"], whole["columns"], whole["whole"]) == (0, 1500, 1301, [1500, 1301])
    assert {name: small[name] for name in ("black", "white", "ruler", "orientation")} == {
        name: whole[name] for name in ("black", "white", "ruler", "orientation")
    }
    spacing = pytest.approx([400 / 1500] * 2, abs=1e-4)
    assert small["ruler"] == {"spacing": spacing, "meaning": "detector", "why_none": None}
    assert small["orientation"] == ["L", "F"]
    assert (len(content), len(everything)) == (2 * 750 * 651, 2 * 1500 * 1301)


def test_a_small_picture_is_its_own_preview(place: tuple[str, Sources]) -> None:
    address, sources = place
    uid = tagged(sources.spool, sources.worklist, 1).study_instance_uid
    assert asked(address, sources, uid, "/preview") == asked(address, sources, uid)


def test_a_picture_is_decoded_once_for_both_and_previews_outlive_pictures(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for number in range(10):
        instance = receive(spool, as_dicom(draw(number, rows=40, columns=40), PhantomSubject(study=str(number))))
        paths.append(spool.inbox_path(instance))
    cache = PictureCache()
    decoded: list[Path] = []
    decode = cache._decode
    monkeypatch.setattr(cache, "_decode", lambda image: (decoded.append(image), decode(image))[1])
    try:
        first = [cache.preview(path) for path in paths]
        assert [cache.preview(path) for path in paths] == first
        assert cache.get(paths[-1]).size == 3200
        assert decoded == paths
        cache.get(paths[0])  # left the cache of pictures, and is decoded again; what was removed goes from both
        assert decoded == [*paths, paths[0]]
        paths[1].unlink()
        cache.get(paths[2])
        assert cache._previews.get(paths[1]) is None
        assert cache._previews.get(paths[3]) is not None
    finally:
        cache.close()


class Block:
    def __init__(self, size: int) -> None:
        self.size = size


def test_a_cache_is_bounded_in_number_and_bytes() -> None:
    cache = BoundedCache[int, Block](3, 100)
    for key in range(4):
        cache.put(key, Block(10))
    assert [key for key in range(4) if cache.get(key)] == [1, 2, 3]
    cache.get(1)
    cache.put(4, Block(85))
    assert [key for key in range(5) if cache.get(key)] == [1, 4]
    cache.put(5, Block(1000))
    assert [key for key in range(6) if cache.get(key)] == [5]


def test_what_cannot_be_shown_has_no_preview_either(place: tuple[str, Sources]) -> None:
    address, sources = place
    file = as_dicom(draw(1, rows=64, columns=64), PhantomSubject(study="broken"))
    instance = receive(sources.spool, file[:-500], time.time())
    for part in ("", "/preview"):
        path = f"{address}/api/studies/{instance.study_instance_uid}/images/{instance.filed_name}{part}"
        assert httpx.get(path, trust_env=False, timeout=60).status_code == 422


def test_a_preview_is_guarded_and_audited_like_its_image() -> None:
    image = "GET /api/studies/{study_instance_uid}/images/{name}"
    assert RULES[f"{image}/preview"] == RULES[image]


def test_the_preview_of_a_large_radiograph_is_small_enough_to_come_first() -> None:
    viewed = view(as_dicom(draw(1, rows=3072, columns=2560), PhantomSubject()))
    assert not isinstance(viewed, Rejected)
    small, level = preview_of(viewed, LONGEST_PREVIEW)
    assert (level, small.values.shape) == (2, (768, 640))
    assert np.abs(small.values.astype(int).mean() - viewed.values.astype(int).mean()) < 2
