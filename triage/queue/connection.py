"""Clients of Redis: of the server that an address names, or of the primary that Sentinels know (redis.sentinels)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

_SENTINELS, _OVER_TLS = "sentinels", "sentinels-over-tls"
_OF_SENTINELS = ("socket_", "ssl_")
"""Options of a connection that hold for those to Sentinels too: they have no password of ours."""


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


def with_authorities(url: str, ca_file: Path) -> str:
    """Return the address with the file of the authorities that the servers' certificates are checked against."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'ssl_ca_certs': str(ca_file)})}"


def with_sentinels(url: str, sentinels: Sequence[str], *, tls: bool = False) -> str:
    """Return the address of the primary called as the host of ``url``, with the Sentinels that know where it is.

    ``tls``: the Sentinels speak TLS too.
    """
    named = {_OVER_TLS if tls else _SENTINELS: ",".join(sentinels)}
    return f"{url}#{urlencode(named)}" if sentinels else url


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
    place, _, of_sentinels = url.partition("#")
    if not of_sentinels:
        return Redis.from_url(url, **options)
    named = parse_url(place)  # type: ignore[no-untyped-call]
    named.pop("host", None)  # in lower case
    over_tls = named.pop("connection_class", None) is not None
    manager = _sentinels(of_sentinels, {**named, **options})
    named["connection_class"] = _SSLConnection if over_tls else _Connection
    primary: Redis = manager.master_for(_name_in(place), **named, **options)  # type: ignore[no-untyped-call]
    return primary


def _sentinels(text: str, options: Mapping[str, Any]) -> Sentinel:
    """Return those of an address; ``options`` are those of connections to the primary."""
    ((kind, (addresses,)),) = parse_qs(text).items()
    own = {name: value for name, value in options.items() if name.startswith(_OF_SENTINELS)}
    if kind == _OVER_TLS:
        own["ssl"] = True
    else:
        own = {name: value for name, value in own.items() if not name.startswith("ssl_")}
    own["retry"] = Retry(NoBackoff(), 0)  # the next Sentinel is asked instead
    return Sentinel([_address(each) for each in addresses.split(",")], sentinel_kwargs=own)  # type: ignore[no-untyped-call]


def _name_in(place: str) -> str:
    """Return the name of the primary, with its capitals."""
    return unquote(urlsplit(place).netloc.rpartition("@")[2])


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
