"""Clients of Redis: of the server that an address names, or of the primary that Sentinels know (redis.sentinels)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from redis import Redis
from redis.connection import parse_url
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

_SENTINELS = "?sentinels="


class _EndedByFaults:
    """A connection that is closed by any fault while it waits for an answer, as those of other clients are.

    That of redis-py to a primary of Sentinels stays open, and may give the answer that came late to the next command.
    """

    def read_response(self, disable_decoding: bool = False, **options: Any) -> Any:
        """Return the answer to the command that was sent."""
        given = {**options, "disconnect_on_error": True}
        return super().read_response(disable_decoding, **given)  # type: ignore[misc]


class _Connection(_EndedByFaults, SentinelManagedConnection):
    """A connection to the primary of Sentinels."""


class _SSLConnection(_EndedByFaults, SentinelManagedSSLConnection):
    """The same over TLS."""


def with_sentinels(url: str, sentinels: Sequence[str]) -> str:
    """Return the address of the primary called as the host of ``url``, with the Sentinels that know where it is."""
    return f"{url}{_SENTINELS}{quote(','.join(sentinels), safe='')}" if sentinels else url


def connect(url: str, timeout_s: float, retry: Retry | None = None) -> Redis:
    """Return a client with its own connection pool: a worker changes the timeouts of its pool.

    Where Sentinels are named, each new connection asks them for the primary, and one whose server was demoted ends.
    """
    options: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    # The notifications are those of one maker's servers. With them the pool would hand out a connection without a look
    # whether an answer to an earlier command waits in it.
    options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    if retry is not None:
        options["retry"] = retry
    place, _, sentinels = url.partition(_SENTINELS)
    if not sentinels:
        return Redis.from_url(url, **options)
    named = parse_url(place)  # type: ignore[no-untyped-call]
    named.pop("host", None)  # in lower case
    service = unquote(urlsplit(place).netloc.rpartition("@")[2])
    addresses = [_address(each) for each in unquote(sentinels).split(",")]
    manager = Sentinel(addresses, **options)  # type: ignore[no-untyped-call]
    named["connection_class"] = _SSLConnection if named.pop("connection_class", None) is not None else _Connection
    primary: Redis = manager.master_for(service, **named, **options)  # type: ignore[no-untyped-call]
    return primary


def anonymous(client: Redis) -> Redis:
    """Return a client of the same server that shows no password."""
    pool = client.connection_pool
    secrets = ("username", "password", "credential_provider", "connection_pool")
    arguments = {name: value for name, value in pool.connection_kwargs.items() if name not in secrets}
    if isinstance(pool, SentinelConnectionPool):
        arguments["connection_class"] = pool.connection_class
        of_primary = SentinelConnectionPool(pool.service_name, pool.sentinel_manager, **arguments)  # type: ignore[no-untyped-call]
        return Redis(connection_pool=of_primary)
    return Redis(connection_pool=type(pool)(connection_class=pool.connection_class, **arguments))


def host_and_port(client: Redis) -> tuple[str, int]:
    """Return where the server is that a client reaches over TCP now. Raises RedisError if no Sentinel knows it."""
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        host, port = pool.get_master_address()  # type: ignore[no-untyped-call]
        return str(host), int(port)
    return str(pool.connection_kwargs.get("host", "localhost")), int(pool.connection_kwargs.get("port", 6379))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
