"""The statement of one plug-in in the settings: ``DIST==VERSION:NAME``, and ``#sha256=HEX`` where it is pinned."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STATEMENT = re.compile(
    r"(?P<distribution>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[0-9A-Za-z.!+_-]+)"
    r":(?P<name>[a-z][a-z0-9_-]{0,47})(?:#sha256=(?P<digest>[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class PluginStatement:
    """One plug-in that is to be used.

    Attributes:
        distribution: normalised name of the distribution (PyPA's "Names and normalization").
        version: its version, letter for letter as its metadata have it.
        name: name of the entry point.
        digest: SHA-256 that its files must have, empty for any.
    """

    distribution: str
    version: str
    name: str
    digest: str = ""

    @property
    def key(self) -> str:
        """The name in cards and settings: ``DIST:NAME``."""
        return f"{self.distribution}:{self.name}"


def parse_statement(text: str) -> PluginStatement:
    """Return the statement in ``text``. Raises ValueError."""
    found = _STATEMENT.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} is no DIST==VERSION:NAME with, where it is pinned, #sha256= and 64 hexadecimal digits"
        )
    return PluginStatement(normalised(found["distribution"]), found["version"], found["name"], found["digest"] or "")


def normalised(distribution: str) -> str:
    """Return the name of a distribution in its normal form: lower case, each run of ``-_.`` one ``-``."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def key_of(text: str) -> str:
    """Return the ``DIST:NAME`` of a card or a destination in its normal form."""
    distribution, colon, name = text.partition(":")
    return f"{normalised(distribution)}{colon}{name}"
