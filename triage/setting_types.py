"""Types of settings, and the base of their sections."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text


def _word(text: str) -> str:
    if not any(letter.isalpha() for letter in text):
        raise ValueError(f"{text!r} has no letter: words are compared by their letters")
    return text


def _named_share(text: str) -> str:
    name, _, share = text.rpartition("=")
    try:
        if name and 0 < float(share) < 1:
            return text
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no NAME=SHARE with a share between 0 and 1, as rsna-adult=0.12")


def network_of(text: str, whose: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the address or network of ``whose``. Raises ValueError for neither, and for that of everybody."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is neither an address nor a network: {error}") from error
    if network.prefixlen == 0:
        raise ValueError(f"{text} is everybody: name the {whose}'s own address")
    return network


def _proxy_network(text: str) -> str:
    network = network_of(text, "proxy")
    if any(ipaddress.ip_address(own) in network for own in ("127.0.0.1", "::1")):
        raise ValueError(
            f"{text} is where this machine's own programs come from (canary, triage send), and they send no header: "
            "have the proxy connect from another address (HAProxy: source 127.0.0.2)"
        )
    return text


LOOPBACK_NAMES = ("127.0.0.1", "::1", "localhost")
"""Hosts that are this machine."""
# The plain addresses of RFC 5321, 4.1.2, and nothing that could be read as two, or as a header.
MailAddress = Annotated[
    str,
    StringConstraints(
        max_length=254, pattern=r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"
    ),
]
AETitle = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[^\\\x00-\x1f]*[^\\\x00-\x20]$")]
Pattern = Annotated[str, StringConstraints(min_length=1), AfterValidator(_regular_expression)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_word)]
NamedShare = Annotated[str, AfterValidator(_named_share)]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda given: None if given == "" else given)]
ProxyNetwork = Annotated[str, AfterValidator(_proxy_network)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A TOML table: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
