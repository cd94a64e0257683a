"""Studies that are open on a user's page now, in Redis: a lease for each page, which the page renews.

Redis holds a study's UID, the user's name and a random name of the page, and no word about a patient. All of it goes by
expiry: a lease that is not renewed counts no more at once, its content is removed with the next renewal of any page,
and the keys expire with the last lease. Redis's own clock decides, so that several web processes agree. Nothing of this
is kept: after a restart of Redis the pages say it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from typing import TypeVar

from redis import Redis
from redis.exceptions import ResponseError

LEASES = "cxr-triage:open:leases"  # page, by when its lease ends in milliseconds of Redis's clock
PAGES = "cxr-triage:open:pages"  # page: what it shows
LEASE_S = 45.0
"""Seconds after which a page that says nothing more is gone: a browser wakes a page in the background once a minute or
with the heartbeat of the stream, every 15 s."""
PAGES_AT_MOST = 1000
PAGES_OF_A_USER = 20

_Result = TypeVar("_Result")

# ARGV: page, what it shows, lease in ms, pages at most, pages of a user at most, how a page of this user begins.
_RENEW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function forget(page)
  redis.call('ZREM', KEYS[1], page)
  redis.call('HDEL', KEYS[2], page)
end
for _, page in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do forget(page) end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  local oldest, own = nil, 0
  for _, page in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if page:sub(1, #ARGV[6]) == ARGV[6] then
      oldest = oldest or page
      own = own + 1
    end
  end
  if own >= tonumber(ARGV[5]) then forget(oldest) end
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then forget(redis.call('ZRANGE', KEYS[1], 0, 0)[1]) end
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
"""


# ARGV: page, what it shows.
_LEAVE = """
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
"""


@dataclass(frozen=True)
class OpenPage:
    """A page on which a user has a study open. ``page``: a random name that the page gave itself."""

    page: str
    user: str
    study_instance_uid: str


class Presence:
    """The open pages. ``client`` is a Redis client that returns bytes. Methods raise RedisError."""

    def __init__(self, client: Redis, lease_s: float = LEASE_S) -> None:
        self._client = client
        self._lease_s = lease_s
        self._renew = client.register_script(_RENEW)
        self._leave = client.register_script(_LEAVE)

    def renew(self, page: OpenPage) -> None:
        """Begin or renew the lease of a page. One page shows one study: the one before is left.

        Beyond the bounds the page whose lease ends first goes, first of the same user.
        """
        arguments = (
            _key(page),
            _content(page),
            round(self._lease_s * 1000),
            PAGES_AT_MOST,
            PAGES_OF_A_USER,
            _begins(page),
        )
        self._repairing(lambda: self._renew(keys=[LEASES, PAGES], args=list(arguments)))

    def leave(self, page: OpenPage) -> None:
        """End the lease of a page, if it still shows that study: leaving may come after the next one was opened."""
        self._repairing(lambda: self._leave(keys=[LEASES, PAGES], args=[_key(page), _content(page)]))

    def now(self) -> list[OpenPage]:
        """Return the pages whose lease lasts, by study, user and page."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.time()
        pipeline.zrange(LEASES, 0, -1, withscores=True)
        pipeline.hgetall(PAGES)
        try:
            (seconds, micros), leases, pages = pipeline.execute()
        except ResponseError:
            self._forget()
            return []
        live = {page for page, end in leases if end > seconds * 1000 + micros / 1000}
        found = (_shown(page, shown) for page, shown in pages.items() if page in live)
        return sorted((each for each in found if each), key=attrgetter("study_instance_uid", "user", "page"))

    def _repairing(self, doing: Callable[[], _Result]) -> _Result:
        try:
            return doing()
        except ResponseError:  # another program wrote a wrong type
            self._forget()
            return doing()

    def _forget(self) -> None:
        self._client.delete(LEASES, PAGES)


def by_study(pages: Iterable[OpenPage]) -> dict[str, dict[str, int]]:
    """Return, by study and user, the number of pages on which it is open."""
    found: dict[str, dict[str, int]] = {}
    for each in pages:
        of_study = found.setdefault(each.study_instance_uid, {})
        of_study[each.user] = of_study.get(each.user, 0) + 1
    return found


def _key(page: OpenPage) -> str:
    """Return the name of a page in Redis. It begins with a digest of its user, who ends own leases only."""
    return _begins(page) + page.page


def _begins(page: OpenPage) -> str:
    return sha256(page.user.encode("utf-8", "surrogatepass")).hexdigest()[:16] + ":"


def _content(page: OpenPage) -> str:
    """Return what Redis holds of a page: told once, and not with each renewal, so that few copies lie in its files."""
    return json.dumps({"study": page.study_instance_uid, "user": page.user})


def _shown(key: bytes, content: bytes) -> OpenPage | None:
    try:
        found = json.loads(content)
        page = OpenPage(key.decode().partition(":")[2], str(found["user"]), str(found["study"]))
    except (ValueError, KeyError, TypeError):
        return None
    return page
