"""The address of Redis, with the password of redis.password_file."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from triage.errors import StartError
from triage.queue.connection import with_authorities, with_sentinels
from triage.settings.errors import SecretFileError
from triage.settings.secret_file import read_secret
from triage.settings.sections.redis import RedisSettings


def address_of(redis: RedisSettings) -> str:
    """Return ``redis.url`` with what other settings add to it; empty where a Redis is started for us.

    Raises StartError if the file cannot be read, or holds no password.
    """
    url = redis.url.get_secret_value()
    if url and redis.password_file:
        url = _with_password(url, _password(redis.password_file))
    if url and redis.ca_file:
        url = with_authorities(url, redis.ca_file)
    return with_sentinels(url, redis.sentinels, tls=url.startswith("rediss:") and redis.sentinels_tls)


def _password(file: Path) -> str:
    try:
        return read_secret(file)
    except SecretFileError as error:
        raise StartError(f"redis.password_file: {error}") from error


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    stated, _, place = parts.netloc.rpartition("@")
    user = stated.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
