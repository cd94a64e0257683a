"""Entries as files: a folder for each place, a file for each entry, a file with a line for each record of a log."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path

from triage.decision.records import Record
from triage.runtime.durable import append_durably, fsync_folder
from triage.runtime.file_lock import file_lock
from triage.spool.entries import Place, checked_name, is_name
from triage.spool.files import SpoolFiles


class FileEntries:
    """The entries of one place; see ``Entries``. ``folder_of`` returns the folder of any place of the spool."""

    def __init__(self, files: SpoolFiles, place: Place, folder_of: Callable[[Place], Path]) -> None:
        """Nothing is read or made yet. Raises InvalidUIDError, ValueError."""
        self._files, self._place, self._folder_of = files, place, folder_of
        self._folder = folder_of(place)

    @property
    def place(self) -> Place:
        """Their place."""
        return self._place

    def prepare(self) -> None:
        """Make the folder, durably, unless it is there; the one that it is in must be there. Raises OSError."""
        self._files.make_folder(self._folder)

    def names(self) -> list[str]:
        """Return the names of all entries, in no particular order; none where there is no such folder."""
        return [entry.name for entry in self._scanned()]

    def by_time(self) -> list[tuple[float, str]]:
        """Return the time of change of each file (0 if it has just gone), and its name, in this order."""
        return sorted((_written(entry), entry.name) for entry in self._scanned())

    def each(self) -> Iterator[tuple[str, float]]:
        """Yield the name of each entry, logs too, and the time of change of its file; never all of them in memory."""
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._folder) as entries:
            for entry in entries:
                if written := _written(entry):  # else it has just gone
                    yield entry.name, written

    def has(self, name: str) -> bool:
        """Return whether there is an entry; there is none of what can be no name."""
        return is_name(name) and (self._folder / name).exists()

    def get(self, name: str) -> bytes:
        """Return its content. Raises FileNotFoundError if there is none."""
        return self._file(name).read_bytes()

    def put(self, name: str, content: str | bytes, *, durable: bool = True) -> None:
        """Write or replace an entry atomically."""
        write = self._files.write if durable else self._files.write_soon
        write(self._file(name), content)

    def note(self, name: str) -> None:
        """Write an empty entry, unless it is there. Durable after ``Spool.sync``."""
        file = self._file(name)
        if not file.exists():
            self._files.touch(file)

    def remove(self, name: str, *, durable: bool = False) -> bool:
        """Remove an entry, and return whether it was there."""
        try:
            self._file(name).unlink()
        except FileNotFoundError:
            return False
        if durable:
            fsync_folder(self._folder)
        return True

    def move(self, name: str, to: Place, new_name: str, *, durable: bool = True) -> None:
        """Rename an entry; not durably if it can be repeated. Raises FileNotFoundError if there is none."""
        self._files.move(self._file(name), self._folder_of(to) / checked_name(new_name), durable=durable)

    def clear(self, before: float = inf) -> None:
        """Remove the entries that were written before a time (POSIX seconds)."""
        for name in self.names():
            with suppress(FileNotFoundError):
                if before == inf or (self._folder / name).stat().st_mtime < before:
                    (self._folder / name).unlink()

    def append(self, name: str, record: Record) -> None:
        """Append a record to a log, durably."""
        # The line break comes first, so that a line that a crash cut does not spoil the next one.
        append_durably(self._file(name), "\n" + json.dumps(record))

    def records(self, name: str) -> Sequence[Record]:
        """Return the records of a log, oldest first, without a cut one. Raises ValueError for one that is none."""
        return [json.loads(line) for line in self._lines(name, "strict")]

    def readable(self, name: str) -> Sequence[Record]:
        """Return the records of a log as ``records`` does, without those that are damaged."""
        return [record for line in self._lines(name, "replace") if isinstance(record := _parsed(line), dict)]

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock of a file, exclusive among all processes."""
        with file_lock(self._file(name)):
            yield

    def _lines(self, name: str, errors: str) -> list[str]:
        try:
            lines = self._file(name).read_text(errors=errors).splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if line.endswith("}")]  # a crash may have cut a line

    def _scanned(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _file(self, name: str) -> Path:
        return self._folder / checked_name(name)


def folder_below(root: Path, words: Sequence[str]) -> Path:
    """Return the folder that the words name. Raises ValueError for a word that is no name of a folder."""
    return root.joinpath(*map(checked_name, words))


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _written(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:  # delivered meanwhile
        return 0.0
