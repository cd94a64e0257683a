"""The address of Redis, with the password that a file holds."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from triage.errors import StartError
from triage.settings.sections import RedisSettings


def address_of(redis: RedisSettings) -> str:
    """Return ``redis.url`` with the password of ``redis.password_file``; empty where a Redis is started for us.

    Raises StartError if the file cannot be read, or holds no password.
    """
    url = redis.url.get_secret_value()
    return _with_password(url, _read(redis.password_file)) if url and redis.password_file else url


def _read(file: Path) -> str:
    try:
        password = file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"redis.password_file cannot be read: {error}") from error
    if not password:
        raise StartError(f"redis.password_file {file} is empty: write Redis's password into it")
    return password


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    stated, _, place = parts.netloc.rpartition("@")
    user = stated.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
