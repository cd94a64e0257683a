"""Open pages in a real Redis: a lease that ends by itself, bounds, and names that are no names of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.redis_server import RedisServer
from tests.support.wait import wait_for
from triage.worklist import presence as rooms
from triage.worklist.presence import LEASES, PAGES, OpenPage, Presence, by_study

ODD = 'Bell \x07 "]," <b>עברית</b>\n\\'


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with redis_server.client() as client:
        yield client


def page(number: int = 1, user: str = "ann", study: str = "1.2.3") -> OpenPage:
    return OpenPage(f"{number:032x}", user, study)


def test_pages_are_counted_by_study_and_user_and_one_page_shows_one_study(redis: Redis) -> None:
    presence = Presence(redis)
    for each in (page(1), page(2), page(3, "bob"), page(4, ODD), page(3, "bob", "1.2.4")):
        presence.renew(each)
    assert by_study(Presence(redis).now()) == {"1.2.3": {"ann": 2, ODD: 1}, "1.2.4": {"bob": 1}}
    presence.leave(page(3, "bob", "1.2.3"))  # a farewell that came late
    presence.leave(page(1, "bob"))  # not his
    presence.leave(page(4, ODD))
    assert by_study(presence.now()) == {"1.2.3": {"ann": 2}, "1.2.4": {"bob": 1}}


def test_a_page_that_says_nothing_more_is_gone_and_its_user_s_name_leaves_redis(redis: Redis) -> None:
    Presence(redis, lease_s=0.2).renew(page(1, "gone"))
    staying = Presence(redis, lease_s=30)
    staying.renew(page(2, "ann"))
    wait_for(lambda: by_study(staying.now()) == {"1.2.3": {"ann": 1}}, "the lease to end")
    staying.renew(page(2, "ann"))
    (left,) = redis.hgetall(PAGES).items()
    assert b"gone" not in b"".join([*left, *redis.zrange(LEASES, 0, -1)])
    Presence(redis, lease_s=0.2).renew(page(2, "ann"))
    wait_for(lambda: not redis.keys("cxr-triage:open:*"), "the keys to expire")


def test_there_are_bounds_and_one_user_displaces_own_pages_first(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "PAGES_OF_A_USER", 2)
    monkeypatch.setattr(rooms, "PAGES_AT_MOST", 3)
    presence = Presence(redis)
    presence.renew(page(9, "ann"))
    for number in range(5):
        presence.renew(page(number, "bob"))
    assert by_study(presence.now()) == {"1.2.3": {"ann": 1, "bob": 2}}
    presence.renew(page(8, "eve"))
    assert sum(by_study(presence.now())["1.2.3"].values()) == 3


@pytest.mark.parametrize("name", [LEASES, PAGES])
def test_what_other_programs_write_there_stops_nothing(redis: Redis, name: str) -> None:
    presence = Presence(redis)
    redis.set(name, "no page")
    assert presence.now() == []
    redis.set(name, "no page")
    presence.renew(page())
    redis.hset(PAGES, b"\xff", b"\xff")
    redis.zadd(LEASES, {b"\xff": 9e15})
    assert by_study(presence.now()) == {"1.2.3": {"ann": 1}}
