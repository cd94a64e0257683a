"""Settings of Redis."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from triage.setting_types import Section

_REDIS_ADDRESSES = ("redis", "rediss", "unix")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,40}")
_SENTINEL = (
    "; name the primary in redis.url (redis://mymaster/0) and the Sentinels in redis.sentinels, or give the address of "
    "a proxy or a name that follows the primary"
)


_SERVICE = re.compile(r"[A-Za-z0-9._-]+")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def _sentinel(text: str) -> str:
    found = _HOST_AND_PORT.fullmatch(text)
    if not found or not 0 < int(found[2]) < 65536:
        raise ValueError(f"{text!r} is no HOST:PORT of a Sentinel, as 10.0.0.1:26379")
    return text


Sentinel = Annotated[str, AfterValidator(_sentinel)]


class RedisSettings(Section):
    """Queue and worklist index; they hold nothing that the spool does not have."""

    url: SecretStr = Field(
        SecretStr(""),
        description="redis:// , rediss:// or unix:// address; empty starts an embedded Redis (triage up only). With "
        "`redis.sentinels` its host is the name that they know the primary by, without a port. Where a cluster has "
        "several, that of a proxy or a name that follows the primary.",
    )
    sentinels: tuple[Sentinel, ...] = Field(
        (),
        description="Redis Sentinels as HOST:PORT, three or more on machines of their own: each new connection asks "
        "them for the primary. Empty: redis.url is where Redis is.",
    )
    sentinels_tls: bool = Field(
        True,
        description="The Sentinels speak TLS where the primary does (rediss://). false: their port is plain; who "
        "answers in their place can name another server, which needs a certificate of the authorities all the same.",
    )
    ca_file: Path | None = Field(
        None,
        description="Authorities (PEM) that the certificates of rediss:// servers and of their Sentinels are checked "
        "against; empty: the system's. A certificate has to name the host, or the IP address, that is connected to: "
        "with Sentinels the one that they give for the primary.",
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

    @model_validator(mode="after")
    def _check_primary(self) -> Self:
        """Check what names the primary; the message does not repeat it, as there may be a password in it."""
        if not self.sentinels:
            return self
        scheme, _, rest = self.url.get_secret_value().partition("://")
        if scheme not in ("redis", "rediss"):
            raise ValueError("redis.sentinels needs a url redis://NAME/0 or rediss://NAME/0 with the primary's name")
        place = rest.partition("/")[0].rpartition("@")[2]
        if not _SERVICE.fullmatch(place) or "?" in rest:
            raise ValueError(
                "with redis.sentinels the url has the primary's name in place of host and port: redis://mymaster/0"
            )
        return self

    @model_validator(mode="after")
    def _check_authorities(self) -> Self:
        if self.ca_file and not self.url.get_secret_value().startswith("rediss://"):
            raise ValueError("redis.ca_file needs a url rediss://: without TLS no certificate is checked")
        return self

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
