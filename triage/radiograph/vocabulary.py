"""PURE: words and codes of body_parts.toml and views.toml, and those that a site adds.

Both files are read once, when this module is imported, through importlib.resources; nothing is read later. They are
data files because the people who know the words of their modalities read and correct them, with language and source of
each; constants generated from them would be a second copy that can differ from the first.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files

from triage.radiograph.types import Part, View
from triage.radiograph.words import Lexicon, lexicon


class ViewNote(StrEnum):
    """Meaning of a word in a text about views that names no view: several images, or nothing."""

    SEVERAL = "several"
    NOTHING = "plain"


@dataclass(frozen=True)
class NamedPart:
    """A part of the body that a word or code names: its name in our list, and its kind for a chest model."""

    name: str
    part: Part


ViewWord = View | ViewNote
PartWord = NamedPart | None
"""None: a word that a site has ignored."""


@dataclass(frozen=True)
class SiteWords:
    """Words and phrases that a site adds. They take precedence over those of our files."""

    chest: tuple[str, ...] = ()
    other_part: tuple[str, ...] = ()
    lateral: tuple[str, ...] = ()
    doubtful_view: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """Meanings of words: ``examined`` in Body Part Examined, ``described`` in descriptions, ``views`` in both."""

    examined: Lexicon[PartWord]
    described: Lexicon[PartWord]
    views: Lexicon[ViewWord]


@lru_cache(maxsize=8)
def vocabulary(site: SiteWords) -> Vocabulary:
    """Return the words of our files and of a site. Cached in each process: they take a tenth of a second to build."""
    described = lexicon(_described_parts())
    examined = lexicon(_examined_parts(), described)
    return Vocabulary(
        examined=lexicon(_site_parts(site), examined),
        described=lexicon(_site_parts(site), described),
        views=lexicon([*_view_words(), *_site_views(site)]),
    )


def _site_parts(site: SiteWords) -> Iterator[tuple[str, PartWord]]:
    yield from ((word, NamedPart("chest", Part.CHEST)) for word in site.chest)
    yield from ((word, NamedPart("another part", Part.OTHER)) for word in site.other_part)
    yield from ((word, None) for word in site.ignored)


def _site_views(site: SiteWords) -> Iterator[tuple[str, ViewWord]]:
    yield from ((word, View.LATERAL) for word in site.lateral)
    yield from ((word, View.UNKNOWN) for word in site.doubtful_view)
    yield from ((word, ViewNote.NOTHING) for word in site.ignored)


Table = Mapping[str, Sequence[str]]
"""Words by language, and lists of codes; ``is`` is a word itself."""

_IS = {"chest": Part.CHEST, "other": Part.OTHER, "unclear": Part.UNKNOWN}
_VIEWS: dict[str, ViewWord] = {
    "pa": View.PA,
    "ap": View.AP,
    "frontal": View.FRONTAL,
    "lateral": View.LATERAL,
    "other": View.OTHER,
    "doubtful": View.UNKNOWN,
    "several": ViewNote.SEVERAL,
    "plain": ViewNote.NOTHING,
}
_NO_LANGUAGE = frozenset({"is", "codes", "examined"})


def _loaded(name: str) -> dict[str, Table]:
    return tomllib.loads((files("triage.radiograph") / name).read_text(encoding="utf-8"))


_PARTS = _loaded("body_parts.toml")
_WORDS_OF_VIEWS = _loaded("views.toml")


def _named(name: str) -> NamedPart:
    return NamedPart(name.replace("_", " "), _IS[str(_PARTS[name]["is"])])


PART_OF_CODE: Mapping[str, NamedPart] = {code: _named(name) for name in _PARTS for code in _PARTS[name]["codes"]}
"""Code values of anatomic regions, SNOMED CT and SNOMED RT."""


def _words(table: Table) -> Iterable[str]:
    return (word for key, words in table.items() if key not in _NO_LANGUAGE for word in words)


def _described_parts() -> Iterator[tuple[str, PartWord]]:
    yield from (
        (word, _named(name)) for name, table in _PARTS.items() for word in _words(table) if not _ambiguous(word)
    )


def _examined_parts() -> Iterator[tuple[str, PartWord]]:
    """Yield words that count in Body Part Examined only: they mean something else in a description."""
    for name, table in _PARTS.items():
        yield from ((word, _named(name)) for word in table.get("examined", ()))
        yield from ((word, _named(name)) for word in table.get("terms", ()) if _ambiguous(word))


def _ambiguous(word: str) -> bool:
    return word.casefold() in _AMBIGUOUS


_AMBIGUOUS = frozenset(word.casefold() for table in _PARTS.values() for word in table.get("examined", ()))


def _view_words() -> Iterator[tuple[str, ViewWord]]:
    yield from ((word, _VIEWS[name]) for name, table in _WORDS_OF_VIEWS.items() for word in _words(table))
