"""The primary of Redis killed under real processes, with Sentinels that make the replica the primary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError
from redis.sentinel import MasterNotFoundError

from tests.support.dicom_peer import store
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.sentinels import NAME, WatchedRedis
from tests.support.service import Roles, a_chest, assert_one_result_each, is_done, read_bytes, receive, roles
from tests.support.wait import wait_for
from triage.queue.connection import anonymous, connect, host_and_port
from triage.queue.server_check import check_server
from triage.service.redis_address import address_of
from triage.settings.load import SettingsError, load
from triage.worklist.index import IndexedWorklist


@pytest.fixture(params=["plain", "tls"])
def watched(request: pytest.FixtureRequest) -> Iterator[WatchedRedis]:
    with WatchedRedis(tls=request.param == "tls") as redis:
        yield redis


@pytest.fixture
def running(tmp_path: Path, watched: WatchedRedis) -> Iterator[Roles]:
    models = tmp_path / "models"
    write_model(models, "tiny-adult", bias=-10)
    named = {name.removeprefix("TRIAGE_").lower(): value for name, value in watched.settings.items()}
    port = str(free_port())
    with roles(tmp_path, named.pop("redis_url"), models, worker_batch_size="2", listener_port=port, **named) as running:
        yield running


def url_of(watched: WatchedRedis) -> str:
    return address_of(load(None, watched.settings).redis)


BUSY = """
local began = redis.call('TIME')
repeat
  local now = redis.call('TIME')
until (now[1] - began[1]) * 1000000 + now[2] - began[2] > 1500000
return 1
"""


def test_an_answer_that_comes_too_late_is_given_to_no_other_command(watched: WatchedRedis) -> None:
    """Whoever gives up waiting leaves no connection on which the next command would get that answer."""
    with connect(url_of(watched), 0.3) as client:
        client.set("key", "its own value")
        connection = client.connection_pool.get_connection()
        connection.send_command("EVAL", BUSY, 0)
        with pytest.raises(RedisError):
            connection.read_response()
        assert not connection.is_connected
        client.connection_pool.release(connection)
        wait_for(lambda: answers(client), "the server to be free")
        assert [client.get("key") for _ in range(3)] == [b"its own value"] * 3


def answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def test_a_client_finds_the_primary_follows_it_and_does_not_write_to_the_former(watched: WatchedRedis) -> None:
    with connect(url_of(watched), 2.0) as client:
        client.set("key", "before")
        assert host_and_port(client) == ("127.0.0.1", watched.servers[0])
        watched.kill(watched.sentinels[0])  # the first that is asked
        watched.kill(watched.servers[0])
        wait_for(lambda: watched.primary() == watched.servers[1], "the replica to be the primary")
        wait_for(lambda: writes(client), "a write to the new primary")
        assert host_and_port(client) == ("127.0.0.1", watched.servers[1])

        # The former one comes back, and is the replica.
        watched.start_server(watched.servers[0])
        with watched.server(watched.servers[0]) as former:
            wait_for(lambda: former.info("replication")["role"] == "slave", "the former primary to be a replica")
        assert client.get("key") == b"after"


def writes(client: Redis) -> bool:
    try:
        return bool(client.set("key", "after"))
    except RedisError:
        return False


def test_a_sentinel_that_is_gone_is_asked_once_and_no_one_waits_for_it(
    watched: WatchedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A C-STORE waits for the attempt to queue its object: pauses between attempts would be the sender's."""
    waited = list[float]()
    with connect(url_of(watched), 2.0) as client:
        for port in watched.sentinels:
            watched.kill(port)
        monkeypatch.setattr("redis.retry.sleep", waited.append)
        with pytest.raises(MasterNotFoundError):
            client.connection_pool.get_master_address()
    assert waited == []


def test_the_check_of_the_server_is_that_of_the_primary(watched: WatchedRedis) -> None:
    with connect(url_of(watched), 2.0) as client:
        assert check_server(client) == ""
        with anonymous(client) as other, pytest.raises(AuthenticationError):
            other.ping()


def test_the_primary_killed_in_mid_work_loses_nothing(running: Roles, watched: WatchedRedis) -> None:
    listener, worker, sweep = (running.start(name) for name in ("listen", "work", "sweep"))
    wait_for(lambda: listener.said("listening as"), "the listener")
    port = int(running.settings["TRIAGE_LISTENER_PORT"])
    files = [a_chest(number) for number in range(16)]
    assert store(port, *map(read_bytes, files[:8])) == [0x0000] * 8
    wait_for(lambda: any(running.spool.decisions()), "the first result")

    watched.kill(watched.primary())
    assert store(port, *map(read_bytes, files[8:12])) == [0x0000] * 4  # while there is no primary
    wait_for(lambda: watched.primary() == watched.servers[1], "the replica to be the primary")
    assert store(port, *map(read_bytes, files[12:])) == [0x0000] * 4

    wait_for(lambda: is_done(running.spool), "every object")
    with connect(url_of(watched), 2.0) as client:
        wait_for(lambda: IndexedWorklist(client).count() == len(files), "every study on the list of the new primary")
        everything = [receive(running.spool, file) for file in files]
        assert is_done(running.spool)
        assert_one_result_each(running.spool, url_of(watched), everything)
    assert all(role.process.poll() is None for role in (listener, worker, sweep))
    assert [role.terminate() for role in (listener, worker, sweep)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("redis", "why"),
    [
        ({"url": "", "sentinels": "a:26379"}, "needs a url"),
        ({"url": "unix:///run/:hunter2@mymaster/0", "sentinels": "a:26379"}, "needs a url"),
        ({"url": "rediss://:hunter2@mymaster/0?ssl_cert_reqs=none", "sentinels": "a:26379"}, "in place of host"),
        ({"url": "redis://:hunter2@mymaster/0", "ca_file": "/etc/ca.pem"}, "needs a url rediss://"),
        ({"url": "redis://:hunter2@mymaster:6379/0", "sentinels": "a:26379"}, "in place of host and port"),
        ({"url": "redis://:hunter2@mymaster/0?db=1", "sentinels": "a:26379"}, "in place of host and port"),
        ({"url": "redis://mymaster/0", "sentinels": "a"}, "no HOST:PORT"),
        ({"url": "redis://mymaster/0", "sentinels": "a:0"}, "no HOST:PORT"),
    ],
)
def test_what_names_no_primary_is_refused_in_words(redis: dict[str, str], why: str) -> None:
    variables = {f"TRIAGE_REDIS_{name.upper()}": value for name, value in redis.items()}
    with pytest.raises(SettingsError, match=why) as refused:
        load(None, variables)
    assert "hunter2" not in str(refused.value)


def test_the_name_keeps_its_letters_and_the_password_its_signs() -> None:
    url = address_of(
        load(None, {"TRIAGE_REDIS_URL": f"redis://u:p%2F%3Fa@{NAME}/3", "TRIAGE_REDIS_SENTINELS": "[::1]:1"}).redis
    )
    with connect(url, 1.0) as client:
        pool = client.connection_pool
        assert pool.service_name == NAME
        shown = {key: pool.connection_kwargs.get(key) for key in ("username", "password", "db")}
        assert shown == {"username": "u", "password": "p/?a", "db": 3}
        (sentinel,) = pool.sentinel_manager.sentinels
        assert sentinel.connection_pool.connection_kwargs["host"] == "::1"
        assert sentinel.connection_pool.connection_kwargs["password"] is None


class TestTLS:
    def test_sentinels_on_a_plain_port_name_a_primary_that_speaks_tls(self):
        with (
            WatchedRedis(tls=True, sentinels_tls=False) as watched,
            connect(url_of(watched), 2.0) as client,
        ):
            assert client.set("key", "value") and check_server(client) == ""

    def test_a_primary_or_sentinel_without_a_certificate_of_the_authorities_is_not_used(self):
        with WatchedRedis(tls=True) as watched:
            unknown = {**watched.settings}
            del unknown["TRIAGE_REDIS_CA_FILE"]
            with connect(address_of(load(None, unknown).redis), 2.0) as client, pytest.raises(RedisError):
                client.ping()
            plain = {**unknown, "TRIAGE_REDIS_URL": f"redis://{NAME}/1"}
            with connect(address_of(load(None, plain).redis), 2.0) as client, pytest.raises(RedisError):
                client.ping()

    def test_a_primary_with_the_certificate_of_another_host_is_not_used(self):
        with (
            WatchedRedis(tls=True, host="DNS:elsewhere.example") as watched,
            connect(url_of(watched), 2.0) as client,
        ):
            assert host_and_port(client) == ("127.0.0.1", watched.servers[0])  # the Sentinels' own is right
            with pytest.raises(RedisError, match="certificate"):
                client.ping()

    def test_the_file_of_authorities_may_have_any_name(self, tmp_path: Path):
        file = tmp_path / "100% ours + theirs&.pem"
        settings = {"TRIAGE_REDIS_URL": "rediss://a:1/0", "TRIAGE_REDIS_CA_FILE": str(file)}
        with connect(address_of(load(None, settings).redis), 1.0) as client:
            assert client.connection_pool.connection_kwargs["ssl_ca_certs"] == str(file)
