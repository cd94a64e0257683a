"""Settings of Redis."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from triage.setting_types import Section

_REDIS_ADDRESSES = ("redis", "rediss", "unix")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,40}")
_SENTINEL = (
    "; we do not ask Sentinel for the primary: give the address of a proxy (HAProxy with a check for role:master) or a "
    "name that follows it"
)


class RedisSettings(Section):
    """Queue and worklist index; they hold nothing that the spool does not have."""

    url: SecretStr = Field(
        SecretStr(""),
        description="redis:// , rediss:// or unix:// address; empty starts an embedded Redis (triage up only). Where "
        "Sentinel or a cluster has several, that of a proxy or a name that follows the primary.",
    )
    password_file: Path | None = Field(
        None,
        description="File whose only line is the password of the Redis that redis.url names, in place of one in the "
        "address; read at the start.",
    )
    socket_path: Path = Field(
        Path("redis/redis.sock"), description="Unix socket of the embedded Redis; its data lie next to it."
    )
    timeout_s: float = Field(5.0, gt=0, description="Seconds until a silent Redis counts as failed.")

    @field_validator("url")
    @classmethod
    def _check_address(cls, url: SecretStr) -> SecretStr:
        """Check the address; the message names its kind and nothing else, as there may be a password in it."""
        address = url.get_secret_value()
        scheme, colon, rest = address.partition("://")
        if address and (scheme not in _REDIS_ADDRESSES or not colon):
            named = scheme if colon and _SCHEME.fullmatch(scheme) else "an address without a kind"
            hint = _SENTINEL if "sentinel" in named else ""
            raise ValueError(f"{named} is not understood: give a redis://, rediss:// or unix:// address{hint}")
        if address and not _is_complete(scheme, rest):
            raise ValueError(f"{scheme}:// needs a port that is a number, and unix:// a path")
        return url


def _is_complete(scheme: str, rest: str) -> bool:
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        return bool(parts.path.strip("/")) if scheme == "unix" else parts.port != 0
    except ValueError:  # the port
        return False
