"""Texts of the pages in the languages of their readers, and the language of a request.

A catalogue is a flat JSON file in ``texts``. A value is a text with named fields, or the texts of the plural categories
of the Unicode CLDR (``one``, ``other``), of which ``count`` chooses.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template

from starlette.requests import Request

LANGUAGES = ("en", "de")
COOKIE = "triage-language"
"""Cookie with the language that a user has chosen. The page sets it; it is no secret, and known before the sign-in."""

_WITHOUT_SCRIPTS = ("problem.", "sign_in.")
"""Texts of the sign-in page, which no script shows."""

_FOLDER = Path(__file__).parent / "texts"

Catalogue = Mapping[str, str | Mapping[str, str]]


class PageTemplate(Template):
    """A page whose fields are values, and keys of texts in braces."""

    braceidpattern = r"[a-z][A-Za-z0-9_.]*"


@cache
def catalogue(language: str) -> Catalogue:
    """Return the texts of one of LANGUAGES by key."""
    found: dict[str, str | dict[str, str]] = json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return found


def text(language: str, key: str, **values: str) -> str:
    """Return a text without plural forms, with ``values`` in its fields."""
    found = catalogue(language)[key]
    assert isinstance(found, str)
    return found.format(**values)


def language_of(request: Request, setting: str) -> str:
    """Return the language of a page: the user's, else that of ``setting`` (``auto``: the browser's), else English."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    return setting if setting in LANGUAGES else accepted(request.headers.get("accept-language", ""))


def accepted(header: str) -> str:
    """Return the one of LANGUAGES that an Accept-Language header (RFC 9110 12.5.4) prefers."""
    weights: dict[str, float] = {}
    for each in header.split(",")[:20]:
        name, _, parameter = each.strip().partition(";")
        weights.setdefault(name.partition("-")[0].strip().lower(), _weight(parameter))
    wanted = [language for language in LANGUAGES if weights.get(language, 0) > 0]
    return max(wanted, key=lambda language: weights[language], default="en")  # the first one where two are equal


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def filled(path: Path, language: str, values: Mapping[str, str]) -> str:
    """Return the page of a file with its texts; ``values`` are HTML already."""
    texts = catalogue(language)
    shown = {key: html.escape(text) for key, text in texts.items() if isinstance(text, str)}
    # A data block: no script runs, and scripts have the texts before the first of them does.
    block = json.dumps({key: texts[key] for key in texts if not key.startswith(_WITHOUT_SCRIPTS)}, ensure_ascii=False)
    page = PageTemplate(path.read_text(encoding="utf-8"))
    return page.substitute({**shown, "lang": language, "texts": block.replace("<", "\\u003c"), **values})
