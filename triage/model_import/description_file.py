"""Reading of a description: every table for itself, so that all mistakes are found at once, each with its line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from triage.errors import cause
from triage.model.card import Licence
from triage.model.card_finding import FindingRule
from triage.model_import.description import (
    AbnormalDescription,
    Description,
    DistanceDescription,
    FindingDescription,
    Identity,
    InputDescription,
    MapDescription,
    TrainingDescription,
    UseDescription,
)
from triage.model_import.errors import ImportRefusedError, Mistake, Places
from triage.runtime.toml_lines import KeyPath, key_lines
from triage.settings.did_you_mean import suggestion

LARGEST = 2**20
"""Bytes of a description."""

_Part = TypeVar("_Part", bound=BaseModel)
_TABLES: Mapping[str, type[BaseModel]] = {
    "input": InputDescription,
    "abnormal": AbnormalDescription,
    "intended_use": UseDescription,
    "distance": DistanceDescription,
    "map": MapDescription,
    "training": TrainingDescription,
    "licence": Licence,
}
_REQUIRED = ("input", "intended_use", "findings")
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text, in quotes",
    "finite_number": "must be a finite number",
}
"""By kind of pydantic's error, what is wrong in the words of a TOML file."""


@dataclass(frozen=True)
class DescriptionFile:
    """A description as far as it could be read, and its mistakes.

    A table with a mistake is a draft: it has those of its values that are right for themselves, so that they can be
    compared with the graph; others are unset. ``findings``: by their position in the file; those that are none, for
    want of a name or a threshold, too.
    """

    places: Places
    record: Mapping[str, object]
    tables: Mapping[str, BaseModel]
    findings: Mapping[int, FindingDescription]
    mistakes: tuple[Mistake, ...] = ()

    def whole(self) -> Description:
        """Return the description. Raises ValidationError if it has mistakes."""
        return Description.model_validate(self.record)

    def table(self, name: str, kind: type[_Part]) -> _Part | None:
        """Return a table, or its draft; None if it is absent."""
        found = self.tables.get(name)
        return found if isinstance(found, kind) else None

    def table_or_default(self, name: str, kind: type[_Part]) -> _Part:
        """Return a table that may be left out, with its defaults if it is."""
        return self.table(name, kind) or kind()


def read_description(path: Path) -> DescriptionFile:
    """Read a description. Raises ImportRefusedError if it is no TOML file; its mistakes are in the result."""
    text = _text(path)
    try:
        record = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ImportRefusedError([f"{path}: {error}"]) from error
    except RecursionError:
        raise ImportRefusedError([f"{path}: its lists or tables are nested too deeply"]) from None
    reading = _Reading(record)
    tables = {name: found for name, kind in _TABLES.items() if (found := reading.table(name, kind)) is not None}
    reading.check_head()
    findings = reading.findings()
    return DescriptionFile(Places(path, key_lines(text)), record, tables, findings, tuple(reading.mistakes))


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise ImportRefusedError([f"{path} is no file"])
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ImportRefusedError([f"{path} is larger than a description can be"])
        return content.decode("utf-8-sig")  # editors of Windows put a mark before it
    except OSError as error:
        raise ImportRefusedError([f"{path} cannot be read: {cause(error)}"]) from error
    except UnicodeDecodeError as error:
        raise ImportRefusedError([f"{path} is not in UTF-8, from byte {error.start} on"]) from error


class _Reading:
    """The tables of one file and the mistakes that were found in them."""

    def __init__(self, record: dict[str, object]) -> None:
        self._record = record
        self.mistakes: list[Mistake] = [
            Mistake((key,), f"there is no such key{suggestion(key, Description.model_fields)}")
            for key in record
            if key not in Description.model_fields
        ]
        self.mistakes += [Mistake((key,), "is missing") for key in _REQUIRED if key not in record]

    def check_head(self) -> None:
        """Check the keys at the head of the file."""
        head = {key: self._record[key] for key in Identity.model_fields if key in self._record}
        self._validated((), Identity, head)

    def table(self, name: str, kind: type[_Part]) -> _Part | None:
        """Return one table."""
        return self._validated((name,), kind, self._record[name]) if name in self._record else None

    def findings(self) -> dict[int, FindingDescription]:
        """Return the findings, drafts of those with mistakes."""
        listed = self._record.get("findings")
        if listed is None:
            return {}
        if not isinstance(listed, list) or not listed:
            self.mistakes.append(Mistake(("findings",), "must be tables [[findings]], one for each finding"))
            return {}
        return {
            number: self._validated(("findings", number), FindingDescription, each)
            for number, each in enumerate(listed)
        }

    def _validated(self, key: KeyPath, kind: type[_Part], value: object) -> _Part:
        """Return a table as it should be typed, or its draft: nothing is converted, and true is no threshold."""
        try:
            return kind.model_validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            problems = error.errors()
        self.mistakes += [_mistake(key, kind, problem) for problem in problems]
        wrong = {problem["loc"][0] for problem in problems if problem["loc"]}
        kept = value if isinstance(value, dict) else {}
        return kind.model_construct(**{name: each for name, each in kept.items() if name not in wrong})


def _mistake(key: KeyPath, kind: type[BaseModel], problem: ErrorDetails) -> Mistake:
    place = (*key, *problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = suggestion(str(place[-1]), kind.model_fields) if len(problem["loc"]) == 1 else ""
        return Mistake(place, f"there is no such key{near}")
    text = _WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    return Mistake(place, text)


def finding_mistakes(described: DescriptionFile) -> Iterator[Mistake]:
    """Yield the mistakes of the findings together: two of one name, none that counts, rules with a hole or a circle."""
    named = {number: each for number, each in described.findings.items() if each.is_finding}
    seen: dict[str, int] = {}
    for number, each in named.items():
        if each.name in seen:
            yield Mistake(("findings", number, "name"), f"{each.name} is the name of finding {seen[each.name] + 1} too")
        seen.setdefault(each.name, number)
    in_doubt = any(each.key[:1] == ("findings",) for each in described.mistakes)
    if not in_doubt and not any(each.counts for each in named.values()):
        yield Mistake(("findings",), "no finding with a name and a threshold counts: nothing would ever be ABNORMAL")
    yield from _rule_mistakes(named, seen)


def _rule_mistakes(named: Mapping[int, FindingDescription], known: Mapping[str, int]) -> Iterator[Mistake]:
    rules = {each.name: set(each.rule.of) for each in named.values() if isinstance(each.rule, FindingRule)}
    for number, each in named.items():
        holes = sorted(rules.get(each.name, set()) - known.keys())
        if holes:
            yield Mistake(("findings", number, "rule"), f"names {', '.join(holes)}, and there is no such finding")
        if each.name in _reached(each.name, rules):
            yield Mistake(("findings", number, "rule"), "leads back to itself")


def _reached(name: str, rules: Mapping[str, set[str]]) -> set[str]:
    """Return all findings that the rule of ``name`` needs, directly or by other rules."""
    reached: set[str] = set()
    waiting = list(rules.get(name, ()))
    while waiting:
        each = waiting.pop()
        if each not in reached:
            reached.add(each)
            waiting += rules.get(each, ())
    return reached
