"""A reading of the SQL of a migration: does it leave programs of before everything that they use?

Known forms that add are let through, everything else counts as narrowing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TABLE = re.compile(r"CREATE TABLE (\w+) \(")
_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON (\w+) ")
_COLUMN = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+) (.+)")
_TRIGGER = re.compile(r"CREATE TRIGGER \w+ (BEFORE|AFTER|INSTEAD OF) .+? ON (\w+) ")
_FILLED = re.compile(r"UPDATE (\w+) SET (\w+) = [^,]+")
_OF_TABLE = re.compile(r"(?:ALTER TABLE|INSERT INTO|UPDATE) (\w+) ")
_SECOND_ACTION = re.compile(r", *(?:ADD|DROP|ALTER|RENAME|VALIDATE|ENABLE|DISABLE)\b")
_BINDING = re.compile(r"\b(?:UNIQUE|PRIMARY KEY)\b")


def narrowing(statements: Iterable[str]) -> list[str]:
    """Return the statements after which a program that does not know this step may fail."""
    step = _Step()
    return [each for each in (" ".join(sql.split()) for sql in statements) if not step.widens(each)]


class _Step:
    """The tables and columns that a step has made so far: no program of before uses those."""

    def __init__(self) -> None:
        self.tables = set[str]()
        self.columns = set[tuple[str, str]]()

    def widens(self, sql: str) -> bool:
        """Return whether a statement adds, and remember what."""
        if sql.startswith("CREATE FUNCTION "):
            return True
        if found := _TABLE.match(sql):
            self.tables.add(found[1])
            return _lets_rows_go(sql)
        if found := _INDEX.match(sql):
            return not found[1] or found[2] in self.tables
        if found := _TRIGGER.match(sql):
            return found[1] == "AFTER" or found[2] in self.tables
        if (found := _OF_TABLE.match(sql)) and found[1] in self.tables:
            return True
        if found := _COLUMN.match(sql):
            self.columns.add((found[1], found[2]))
            return _is_free(found[3])
        found = _FILLED.fullmatch(sql)
        return found is not None and (found[1], found[2]) in self.columns


def _is_free(definition: str) -> bool:
    """Return whether rows may be written without a word on a column of this definition, and it is the one action."""
    needed = "NOT NULL" in definition and "DEFAULT" not in definition and "GENERATED" not in definition
    return not (
        needed or _SECOND_ACTION.search(definition) or _BINDING.search(definition) or not _lets_rows_go(definition)
    )


def _lets_rows_go(sql: str) -> bool:
    """Return whether rows that something new refers to can still be removed by who does not know of it."""
    return all(
        re.match(r"REFERENCES \w+(?: \([^)]*\))? ON DELETE (?:CASCADE|SET NULL)", sql[at.start() :])
        for at in re.finditer(r"\bREFERENCES\b", sql)
    )
