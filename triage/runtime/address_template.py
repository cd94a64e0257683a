"""PURE: an address in another system, with fields that are filled with the percent-encoded values of a study."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit

from triage.errors import TriageError

FIELDS = ("StudyInstanceUID", "AccessionNumber", "PatientID")
"""Fields of a template, each by the keyword of its attribute (PS3.6)."""
SCHEMES = ("https", "http", "weasis", "osirix", "horos", "radiant")
"""Schemes that open a page or a viewer. No other: javascript:, data: and file: run or read something in the browser."""

_FIELD = re.compile(r"\{([^{}]*)\}")
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")  # RFC 3986, 2
_HOST = re.compile(r"https?://[^/?#@{}]+[/?#]", re.IGNORECASE)


class AddressTemplateError(TriageError, ValueError):
    """A template must not be used; the text says why."""


@dataclass(frozen=True)
class AddressTemplate:
    """A checked template. ``fields``: those in it, each once."""

    text: str
    fields: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the template in ``text``. Raises AddressTemplateError."""
        literals = _FIELD.split(text)[::2]
        fields = tuple(dict.fromkeys(_FIELD.findall(text)))
        scheme = text.partition(":")[0].lower()
        if ":" not in text or scheme not in SCHEMES:
            raise AddressTemplateError(f"{text!r} must begin with one of {', '.join(f'{each}:' for each in SCHEMES)}")
        if unknown := [name for name in fields if name not in FIELDS]:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise AddressTemplateError(f"{text!r} has the unknown field {{{unknown[0]}}}: there are {known}")
        if not fields:
            raise AddressTemplateError(f"{text!r} has no field: it would lead every study to the same place")
        if not all(_LITERAL.fullmatch(each) for each in literals):
            raise AddressTemplateError(f"{text!r} has a character that no address has: write it as %XX")
        _check_place(text, scheme)
        return cls(text, fields)

    def filled(self, values: Mapping[str, str]) -> str | None:
        """Return the address for ``values`` by field; None if one is missing, as it would lead to another study."""
        wanted = {name: values.get(name, "") for name in self.fields}
        if any(value.strip() in ("", ".", "..") for value in wanted.values()):  # dots are a place, not a name
            return None
        return _FIELD.sub(lambda found: quote(wanted[found[1]].encode("utf-8", "replace"), safe=""), self.text)


def _check_place(text: str, scheme: str) -> None:
    """Raise AddressTemplateError unless the host is fixed and there is something after the scheme."""
    if not text[len(scheme) :].startswith("://"):
        raise AddressTemplateError(f"{text!r} must begin with {scheme}://")
    if scheme not in ("http", "https"):
        return
    if not _HOST.match(text):
        raise AddressTemplateError(f"{text!r} needs a host without user name or field, then a path: https://HOST/...")
    try:
        _ = urlsplit(_FIELD.sub("0", text)).port
    except ValueError as error:
        raise AddressTemplateError(f"{text!r} is no address: {error}") from error
