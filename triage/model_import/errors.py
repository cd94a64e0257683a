"""Mistakes of a description or a graph, reported all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from triage.errors import StartError
from triage.runtime.toml_lines import KeyPath


@dataclass(frozen=True)
class Mistake:
    """One mistake: the key of the description that it is about (empty: the graph as a whole), and what is wrong."""

    key: KeyPath
    text: str


class ImportRefusedError(StartError):
    """A graph that cannot become a model as it is described. The message has every mistake, one a line."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n".join([f"the model is not imported, for {count}:", *self.mistakes]))


@dataclass(frozen=True)
class Places:
    """The lines of the keys of a description."""

    file: Path
    lines: Mapping[KeyPath, int]

    def line(self, key: KeyPath) -> int:
        """Return the line of a key, else of the table around it; 0 if not even that is in the file."""
        while key:
            for written in (key, (*key, 0)):  # [[input]] is a list of tables
                if written in self.lines:
                    return self.lines[written]
            key = key[:-1]
        return 0

    def readable(self, mistakes: Iterable[Mistake], graph: Path) -> list[str]:
        """Return the mistakes in the order of their lines, those of the graph as a whole last."""
        placed = sorted(mistakes, key=lambda each: (not each.key, self.line(each.key)))
        return list(dict.fromkeys(self._text(each, graph) for each in placed))

    def _text(self, mistake: Mistake, graph: Path) -> str:
        if not mistake.key:
            return f"{graph}: {mistake.text}"
        line = self.line(mistake.key)
        place = f"{self.file}, line {line}" if line else str(self.file)
        return f"{place}: {named(mistake.key)}: {mistake.text}"


def named(key: KeyPath) -> str:
    """Return a key as people write it; the first of a list is number 1."""
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in key]
    return "".join(parts).lstrip(".")
