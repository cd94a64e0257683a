"""The rules of the text labeller, from rules.toml: words for findings, and words that take a finding back."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from triage.errors import StartError

KINDS = ("cardiopulmonary", "other")


class RulesError(StartError):
    """Rules that cannot be used; the message names the entry."""


@dataclass(frozen=True)
class AbnormalTerm:
    """A word or phrase that says something is abnormal. ``kind`` is where: heart and lungs, or other."""

    name: str
    kind: str
    phrases: tuple[re.Pattern[str], ...]
    any_phrase: re.Pattern[str]

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Every phrase of it in ``text``; the phrases may overlap."""
        if self.any_phrase.search(text):
            for phrase in self.phrases:
                yield from phrase.finditer(text)


@dataclass(frozen=True)
class Rules:
    """rules.toml, compiled. ``scope_ends`` are the words at which a negation before a finding stops."""

    findings: tuple[AbnormalTerm, ...]
    negated_before: re.Pattern[str]
    negated_after: re.Pattern[str]
    not_a_negation: re.Pattern[str]
    scope_ends: re.Pattern[str]
    says_normal: re.Pattern[str]
    ignored: re.Pattern[str]

    @classmethod
    def load(cls, path: Path) -> Self:
        """The rules of a file. Raises RulesError."""
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
    """The rules that ship."""
    return Rules.load(Path(__file__).with_name("rules.toml"))


def _findings(table: Mapping[str, Mapping[str, Any]]) -> Iterable[AbnormalTerm]:
    for kind, by_name in table.items():
        if kind not in KINDS:
            raise RulesError(f"finding.{kind}: a finding is one of {', '.join(KINDS)}")
        for name, phrases in by_name.items():
            entry = f"finding.{kind}.{name}"
            alone = tuple(_any_of(entry, [phrase]) for phrase in phrases)
            yield AbnormalTerm(name, kind, alone, _any_of(entry, phrases))


def _any_of(entry: str, phrases: Iterable[str]) -> re.Pattern[str]:
    """Whole words; a blank in a phrase stands for any blanks."""
    try:
        return re.compile(r"\b(?:" + "|".join(phrase.replace(" ", r"\s+") for phrase in phrases) + r")(?!\w)")
    except re.error as error:
        raise RulesError(f"{entry} holds no regular expressions: {error}") from error
