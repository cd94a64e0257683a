"""Small entries and logs: copied where they differ, removed where the source has them no more, and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from triage.spool.entries import Entries
from triage.spool.moving.backdating import is_same_time
from triage.spool.moving.errors import MoveError
from triage.spool.moving.notes import MOVING
from triage.spool.store import Store

STUDY_PLACES: tuple[tuple[str, ...], ...] = ((), ("deliveries",))
"""The places of a study's own entries; tests/spool/test_moving.py compares them with the code."""
_NOT_ENTRIES = frozenset(
    {
        "incoming",
        "inbox",
        "dead",
        "studies",
        "locks",
        "canary",
        "validation",
        "disabled-models",
        "disabled-channels",
        MOVING,
    }
)
"""Places that a store keeps in other ways, or that are no patient's."""


@dataclass(frozen=True)
class EntryPair:
    """The entries of one place in both stores, and the names in question."""

    source: Entries
    target: Entries
    nested: frozenset[str] = frozenset()

    def names(self) -> tuple[set[str], set[str]]:
        """Return the names in the source and in the target."""
        source, target = self.source.names(), self.target.names()
        return {name for name in source if self._counts(name)}, {name for name in target if self._counts(name)}

    def states(self) -> tuple[str, str]:
        """Return digests of the entries in the source and in the target; empty for none."""
        return self._state(self.source), self._state(self.target)

    def copy(self) -> list[tuple[float, str]]:
        """Make the target's entries those of the source. Return those written, with its times, oldest first."""
        different = set(self.different())
        order = [(at, name) for at, name in self.source.by_time() if name in different]
        place = self.source.place
        if place.words and (order or not place.study_instance_uid):  # the site's come with those that they lie in first
            self.target.prepare()
        for name in different - {name for _, name in order}:
            self.target.remove(name, durable=True)
        return [(at, name) for at, name in order if self._made_equal(name)]

    def different(self) -> Iterator[str]:
        """Yield the names whose entries differ."""
        for name in sorted(set.union(*self.names())):
            if not self._is_same(name):
                yield name

    def of_other_times(self) -> list[tuple[float, str]]:
        """Return the entries that the target has of another time, with those of the source, oldest first."""
        theirs = {name: at for at, name in self.target.by_time()}
        ours = [(at, name) for at, name in self.source.by_time() if self._counts(name) and name in theirs]
        return [(at, name) for at, name in ours if not is_same_time(at, theirs[name])]

    def _counts(self, name: str) -> bool:
        if name.endswith(".lock") or name in self.nested:
            return False
        return bool(self.source.place.words) or _is_of_a_room(name)

    def _state(self, entries: Entries) -> str:
        seen = sha256()
        names = sorted(filter(self._counts, entries.names()))
        for name in names:
            content = list(entries.readable(name)) if self._is_log(name) else (_content(entries, name) or b"").hex()
            seen.update(json.dumps([name, content], sort_keys=True).encode())
        return seen.hexdigest() if names else ""

    def _is_log(self, name: str) -> bool:
        return bool(self.source.place.study_instance_uid) and name.endswith(".jsonl")

    def _is_same(self, name: str) -> bool:
        if self._is_log(name):
            return list(self.source.readable(name)) == list(self.target.readable(name))
        return _content(self.source, name) == _content(self.target, name)

    def _made_equal(self, name: str) -> bool:
        if self._is_log(name):
            self._append_to(name)
            return True
        if (content := _content(self.source, name)) is None:  # gone since
            return False
        self.target.put(name, content)
        return True

    def _append_to(self, name: str) -> None:
        ours, theirs = list(self.source.readable(name)), list(self.target.readable(name))
        if ours[: len(theirs)] != theirs:
            raise MoveError(
                f"{name} of study {self.source.place.study_instance_uid} has other records in {self.target.place}: the "
                "target has been in use. Move into an empty one"
            )
        for record in ours[len(theirs) :]:
            self.target.append(name, record)


def study_pairs(source: Store, target: Store, uid: str) -> Iterator[EntryPair]:
    """Yield the places of a study's own entries in both stores."""
    for words in STUDY_PLACES:
        yield EntryPair(source.study_entries(uid, *words), target.study_entries(uid, *words))


def site_pairs(source: Store, target: Store) -> Iterator[EntryPair]:
    """Yield the places of the site's entries in both stores."""
    for words in sorted({*_places(source), *_places(target)}):
        nested = frozenset((*source.places(*words), *target.places(*words)))
        yield EntryPair(source.entries(*words), target.entries(*words), nested)


def _places(store: Store, *words: str) -> Iterator[tuple[str, ...]]:
    for word in store.places(*words):
        if word not in _NOT_ENTRIES:
            yield (*words, word)
            yield from _places(store, *words, word)


def _content(entries: Entries, name: str) -> bytes | None:
    try:
        return entries.get(name)
    except FileNotFoundError:
        return None


def _is_of_a_room(name: str) -> bool:
    """Return whether a name next to a study's results is that of an entry."""
    return name.endswith((".json", ".jsonl")) and "+" not in name and name not in ("decision.json", "history.jsonl")
