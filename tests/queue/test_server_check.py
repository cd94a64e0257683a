"""Which Redis is refused, and which is warned of: version, eviction, and who reaches it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer
from triage.errors import StartError
from triage.queue.server_check import check_server

FAR = "redis.example.org"


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    with redis_server.client() as connected:
        yield connected


def says_version(url: str, version: str) -> Redis:
    """A client of a server that says of itself that it is of another version."""

    class Other(Redis):
        def info(self, section: str | None = None, *_: Any, **__: Any) -> Any:
            return {**super().info(section), "redis_version": version}

    return Other.from_url(url)


def test_a_server_as_it_should_be_is_taken_without_a_word(client: Redis) -> None:
    assert check_server(client) == ""


@pytest.mark.parametrize("embedded", [True, False])
def test_one_that_loses_jobs_is_refused(redis_server: RedisServer, embedded: bool) -> None:
    with pytest.raises(StartError, match=r"6\.0\.16 is too old"):
        check_server(says_version(redis_server.url, "6.0.16"), embedded=embedded)


def test_one_that_nobody_mends_is_refused_but_where_it_is_our_own(redis_server: RedisServer) -> None:
    old = says_version(redis_server.url, "6.2.14")
    with pytest.raises(StartError, match=r"6\.2\.14 is too old: 7\.0 or later, or Valkey"):
        check_server(old)
    assert "for demonstrations" in check_server(old, embedded=True)
    assert check_server(says_version(redis_server.url, "7.0.0")) == ""
    assert check_server(says_version(redis_server.url, "10.1.0")) == ""


def test_one_that_evicts_is_refused_and_one_that_may_is_warned_of(client: Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    assert "allkeys-lru" in check_server(client)
    client.config_set("maxmemory", "64mb")
    with pytest.raises(StartError, match=r"allkeys-lru.*set it to noeviction"):
        check_server(client)
    client.config_set("maxmemory-policy", "noeviction")
    assert check_server(client) == ""


# Who reaches it.


def test_a_socket_that_everybody_can_open_is_warned_of(client: Redis, redis_server: RedisServer) -> None:
    redis_server.folder.chmod(0o755)
    assert check_server(client) == "", "its own mode is 0700"
    redis_server.socket.chmod(0o777)
    assert "open to all users" in check_server(client)
    redis_server.folder.chmod(0o750)
    assert check_server(client) == "", "nobody comes to it"


@pytest.fixture
def port(client: Redis) -> int:
    """A TCP port of the server."""
    found = free_ports(1)
    client.config_set("port", found)
    return found


def test_a_port_of_this_machine_wants_a_password(client: Redis, port: int) -> None:
    for host in ("127.0.0.1", "localhost"):
        assert "every user of this machine" in check_server(Redis(host, port))
    client.config_set("requirepass", "secret")
    assert check_server(Redis("127.0.0.1", port, password="secret")) == ""
    assert check_server(Redis.from_url(f"redis://:secret@127.0.0.1:{port}/1")) == ""


def test_a_port_elsewhere_is_refused_without_one(client: Redis, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest: resolve("127.0.0.1" if host == FAR else host, *rest))
    with pytest.raises(StartError, match=rf"{FAR} requires no password.*requirepass"):
        check_server(Redis(FAR, port))
    # A password that only we show, of a user of our own, while the server still lets everybody in.
    client.acl_setuser("triage", enabled=True, passwords=["+ours"], keys=["*"], commands=["+@all"])
    with pytest.raises(StartError, match="requires no password"):
        check_server(Redis(FAR, port, username="triage", password="ours"))
    client.acl_setuser("default", enabled=False)
    assert check_server(Redis(FAR, port, username="triage", password="ours")) == ""


def test_a_wrong_or_missing_password_is_said_at_once(client: Redis, port: int) -> None:
    client.config_set("requirepass", "secret")
    for refused in (Redis("127.0.0.1", port), Redis("127.0.0.1", port, password="another")):
        with pytest.raises(StartError, match=r"refuses the login .*password in redis\.url") as error:
            check_server(refused)
        assert "secret" not in str(error.value)
