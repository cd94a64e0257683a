"""The check of a Redis or Valkey: it loses no work, is maintained, and is not open to others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from redis import Redis
from redis.exceptions import AuthenticationError

from triage.errors import StartError
from triage.queue.connection import anonymous, host_and_port

OLDEST_SAFE = (6, 2)  # in earlier versions RQ takes jobs in a way that loses them in a crash
OLDEST_MAINTAINED = (7, 0)  # maintained in Debian 12; Valkey reports 7.2 or later

_LOOPBACK = ("localhost", "127.", "::1")


def check_server(client: Redis, *, embedded: bool = False) -> str:
    """Check a server, and return warnings separated by "; ", or an empty text.

    Args:
        client: a client of the server.
        embedded: `triage up` started the server itself: it is private already and may be older.

    Raises:
        StartError: it must not be used.
        RedisError: it does not respond.
    """
    try:
        version, memory = client.info("server"), client.info("memory")
    except AuthenticationError as error:
        raise StartError(f"Redis refuses the login ({error}): set user and password in redis.url") from error
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


def _check_eviction(memory: Mapping[str, object]) -> str:
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return ""
    if int(str(memory.get("maxmemory", 0))):
        raise StartError(
            f"Redis evicts what it should keep when its memory is full (maxmemory-policy {policy}): jobs and studies "
            "of the worklist would vanish; set it to noeviction"
        )
    return f"Redis may evict jobs once it has a maxmemory (maxmemory-policy {policy}): set it to noeviction"


def _check_reach(client: Redis) -> str:
    """Check that a server without a password is reached from this machine only, best by a private socket."""
    arguments = client.connection_pool.connection_kwargs
    if _requires_password(client):
        return ""
    socket = arguments.get("path")
    if socket:
        return "" if _is_private(Path(socket)) else _open_to_this_machine(f"its socket {socket} is open to all users")
    host, _ = host_and_port(client)
    if host.startswith(_LOOPBACK):
        return _open_to_this_machine("every user of this machine reaches its port")
    raise StartError(
        f"the Redis on {host} requires no password: every machine that reaches it can change the worklist. Set "
        "requirepass there and the password in redis.url"
    )


def _requires_password(client: Redis) -> bool:
    """Return whether the server refuses a connection without a password."""
    with anonymous(client) as other:
        try:
            other.ping()
        except AuthenticationError:
            return True
    return False


def _is_private(socket: Path) -> bool:
    """Return whether only the owner and the group can use a Unix socket, by its mode or its folder's."""
    return not socket.stat().st_mode & 0o006 or not socket.parent.stat().st_mode & 0o001


def _open_to_this_machine(why: str) -> str:
    return f"Redis requires no password, and {why}: give it a password, or a Unix socket of mode 0700 and no port"
