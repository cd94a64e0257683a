"""Whether a Redis or Valkey may be used: it loses no work, somebody mends it, and strangers do not reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from triage.errors import StartError

OLDEST_SAFE = (6, 2)  # before, rq takes jobs in a way that loses them in a crash
OLDEST_MAINTAINED = (7, 0)  # what Debian 12 maintains; Valkey calls itself 7.2 or later

_LOOPBACK = ("localhost", "127.", "::1")


def check_server(client: Redis, *, embedded: bool = False) -> str:
    """Refuse a server that must not be used. Returns warnings, separated by "; ", or an empty text.

    ``embedded`` is one that `triage up` started itself, which is private already and may be older. Raises StartError,
    and what redis-py raises where it does not answer.
    """
    try:
        version, memory = client.info("server"), client.info("memory")
    except AuthenticationError as error:
        raise StartError(f"Redis does not let us in ({error}): set user and password in redis.url") from error
    warnings = [_check_version(str(version["redis_version"]), embedded), _check_eviction(memory)]
    if not embedded:
        warnings.append(_check_reach(client))
    return "; ".join(filter(None, warnings))


def _check_version(version: str, embedded: bool) -> str:
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < OLDEST_SAFE or (number < OLDEST_MAINTAINED and not embedded):
        raise StartError(f"Redis {version} is too old: 7.0 or later, or Valkey, is needed")
    if number < OLDEST_MAINTAINED:
        return f"the embedded Redis is {version}, no longer maintained: for demonstrations (docs/how-to/install.md)"
    return ""


def _check_eviction(memory: dict[str, Any]) -> str:
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return ""
    if int(memory.get("maxmemory", 0)):
        raise StartError(
            f"Redis evicts what it should keep when its memory is full (maxmemory-policy {policy}): jobs and studies "
            "of the worklist would vanish; set it to noeviction"
        )
    return f"Redis may evict jobs once it has a maxmemory (maxmemory-policy {policy}): set it to noeviction"


def _check_reach(client: Redis) -> str:
    """A server that asks for no password must be one that only this machine reaches, best by a private socket."""
    place = client.connection_pool.connection_kwargs
    if _asks_for_a_password(place, client):
        return ""
    socket = place.get("path")
    if socket:
        return "" if _is_private(Path(socket)) else _open_to_this_machine(f"its socket {socket} is open to all users")
    host = str(place.get("host", "localhost"))
    if host.startswith(_LOOPBACK):
        return _open_to_this_machine("every user of this machine reaches its port")
    raise StartError(
        f"the Redis on {host} asks nobody for a password: whoever reaches it can change the worklist. Set requirepass "
        "there and the password in redis.url"
    )


def _asks_for_a_password(place: dict[str, Any], client: Redis) -> bool:
    """Whether it refuses somebody who shows none."""
    nobody = {
        name: value for name, value in place.items() if name not in ("username", "password", "credential_provider")
    }
    pool = client.connection_pool
    with Redis(connection_pool=type(pool)(connection_class=pool.connection_class, **nobody)) as stranger:
        try:
            stranger.ping()
        except AuthenticationError:
            return True
        except RedisError as error:
            if str(error).startswith("NOAUTH"):
                return True
            raise
    return False


def _is_private(socket: Path) -> bool:
    """Whether others than the owner and the group are kept from a Unix socket, by its mode or its folder's."""
    return not socket.stat().st_mode & 0o006 or not socket.parent.stat().st_mode & 0o001


def _open_to_this_machine(why: str) -> str:
    return f"Redis asks for no password, and {why}: give it a password, or a Unix socket of mode 0700 and no port"
