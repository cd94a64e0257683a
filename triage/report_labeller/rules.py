"""The rules of the text labeller, from rules.toml: words for findings, and words that negate them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from triage.errors import StartError

KINDS = ("cardiopulmonary", "other")


class RulesError(StartError):
    """Rules that cannot be used; the message names the entry."""


@dataclass(frozen=True)
class AbnormalTerm:
    """Phrases for one abnormal finding. ``kind``: in heart and lungs, or other."""

    name: str
    kind: str
    phrases: tuple[re.Pattern[str], ...]
    any_phrase: re.Pattern[str]

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Yield every match of a phrase in ``text``; matches may overlap."""
        if self.any_phrase.search(text):
            for phrase in self.phrases:
                yield from phrase.finditer(text)


@dataclass(frozen=True)
class Rules:
    """The compiled rules. ``scope_ends``: words that end the scope of a negation before a finding."""

    findings: tuple[AbnormalTerm, ...]
    negated_before: re.Pattern[str]
    negated_after: re.Pattern[str]
    not_a_negation: re.Pattern[str]
    scope_ends: re.Pattern[str]
    says_normal: re.Pattern[str]
    ignored: re.Pattern[str]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the rules of a file. Raises RulesError."""
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
            negation = table["negation"]
            return cls(
                findings=tuple(_findings(table["finding"])),
                negated_before=_any_of("negation.before", negation["before"]),
                negated_after=_any_of("negation.after", negation["after"]),
                not_a_negation=_any_of("negation.pseudo", negation["pseudo"]),
                scope_ends=_any_of("negation.scope_ends", negation["scope_ends"]),
                says_normal=_any_of("normal.phrases", table["normal"]["phrases"]),
                ignored=_any_of("ignored.phrases", table["ignored"]["phrases"]),
            )
        except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise RulesError(f"{path} cannot be used as rules: {error!r}") from error


@cache
def rules() -> Rules:
    """Return the rules of this package."""
    return Rules.load(Path(__file__).with_name("rules.toml"))


def _findings(table: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterable[AbnormalTerm]:
    for kind, by_name in table.items():
        if kind not in KINDS:
            raise RulesError(f"finding.{kind}: a finding is one of {', '.join(KINDS)}")
        for name, phrases in by_name.items():
            entry = f"finding.{kind}.{name}"
            alone = tuple(_any_of(entry, [phrase]) for phrase in phrases)
            yield AbnormalTerm(name, kind, alone, _any_of(entry, phrases))


def _any_of(entry: str, phrases: Iterable[str]) -> re.Pattern[str]:
    """Compile phrases as whole words; a blank in a phrase matches any white space."""
    try:
        return re.compile(r"\b(?:" + "|".join(phrase.replace(" ", r"\s+") for phrase in phrases) + r")(?!\w)")
    except re.error as error:
        raise RulesError(f"{entry} holds no regular expressions: {error}") from error
