"""The address of Redis with the password of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.connection import parse_url

from tests.support.redis_server import RedisServer
from triage.commands.base import CannotStart, redis_url
from triage.errors import StartError
from triage.service.redis_address import address_of
from triage.settings.load import load
from triage.settings.sections.redis import RedisSettings


def settings(url: str, file: Path) -> RedisSettings:
    return RedisSettings(url=SecretStr(url), password_file=file)


@pytest.mark.parametrize(
    "url", ["redis://redis:6379/0", "redis://:old@redis:6379/0", "rediss://worker@redis:6379/2?ssl_cert_reqs=required"]
)
def test_the_password_of_the_file_is_the_one_that_is_shown(url: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("a /@:%#?ü b\n")

    shown = parse_url(address_of(settings(url, file)))
    stated = parse_url(url)

    assert shown.pop("password") == "a /@:%#?ü b"
    stated.pop("password", None)
    assert shown == stated


def test_a_server_that_asks_for_it_lets_us_in(redis_server: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("pass word\n")
    with Redis.from_url(redis_server.url) as admin:
        admin.config_set("requirepass", "pass word")
        try:
            with Redis.from_url(address_of(settings(redis_server.url, file))) as client:
                assert client.ping()
        finally:
            admin.config_set("requirepass", "")


def test_without_a_file_or_an_address_nothing_is_changed(tmp_path: Path) -> None:
    assert address_of(RedisSettings(url=SecretStr("redis://:x@h:1/0"))) == "redis://:x@h:1/0"
    assert address_of(settings("", tmp_path / "password")) == ""


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_file_without_a_password_is_said_and_nothing_starts(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartError, match=r"redis\.password_file"):
        address_of(settings("redis://redis:6379/0", file))
    environment = {"TRIAGE_REDIS_URL": "redis://redis:6379/0", "TRIAGE_REDIS_PASSWORD_FILE": str(file)}
    with pytest.raises(CannotStart, match=r"redis\.password_file"):
        redis_url(load(None, environment))
