"""Entries and logs as rows: one for each entry, one for each record of a log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import inf

from triage.decision.records import Record
from triage.dicom.uid import valid_uid
from triage.spool.cluster.bucket import read_checked
from triage.spool.cluster.missing import missing
from triage.spool.cluster.rows import Engines, Rows, Scope
from triage.spool.entries import Place, checked_name, is_name
from triage.spool.tables import Row, Value

_AT = """tenant = :tenant AND partition = :partition AND COALESCE(study_uid, '') = :study AND place = :place"""
_ONE = f"{_AT} AND name = :name"
# A log is an entry too, of the time of its last record.
_NAMES = f"SELECT name FROM entry WHERE {_AT} UNION SELECT name FROM record WHERE {_AT}"
_BY_TIME = f"""
SELECT CAST(extract(epoch FROM written) AS float8), name FROM entry WHERE {_AT}
UNION ALL SELECT CAST(extract(epoch FROM max(written)) AS float8), name FROM record WHERE {_AT} GROUP BY name
"""
_PAGE = 1000
_EACH = f"""
SELECT name, CAST(extract(epoch FROM written) AS float8) FROM entry WHERE {_AT} AND name > :after
ORDER BY name LIMIT {_PAGE}
"""
_HAS = f"SELECT 1 FROM entry WHERE {_ONE}"
_GET = f"SELECT content, key, size, sha256 FROM entry WHERE {_ONE}"
_NEW = """
INSERT INTO entry (tenant, partition, study_uid, place, name, content, size)
VALUES (:tenant, :partition, NULLIF(:study, ''), :place, :name, CAST(:content AS bytea), CAST(:size AS bigint))
ON CONFLICT (tenant, partition, COALESCE(study_uid, ''), place, name)
"""
_PUT = f"""{_NEW} DO UPDATE SET content = EXCLUDED.content, key = NULL, size = EXCLUDED.size,
  sha256 = NULL, written = clock_timestamp()"""
_NOTE = f"{_NEW} DO NOTHING"
_REMOVE = f"DELETE FROM entry WHERE {_ONE} RETURNING 1"
_CLEAR = f"DELETE FROM entry WHERE {_AT} AND written < to_timestamp(CAST(:before AS float8))"
_LOCK = f"SELECT 1 FROM entry WHERE {_ONE} FOR UPDATE"
_MOVE = f"""
UPDATE entry SET study_uid = NULLIF(:new_study, ''), place = :new_place, name = :new_name WHERE {_ONE}
"""
_APPEND = """
INSERT INTO record (tenant, partition, study_uid, place, name, content)
VALUES (:tenant, :partition, NULLIF(:study, ''), :place, :name, :content)
"""
_RECORDS = f"SELECT content FROM record WHERE {_ONE} ORDER BY number"
_PREPARE = "INSERT INTO place (tenant, partition, words) VALUES (:tenant, :partition, :place) ON CONFLICT DO NOTHING"
_IS_PREPARED = "SELECT 1 FROM place WHERE tenant = :tenant AND partition = :partition AND words = :place"


class EntryRows(Rows):
    """The entries of one place; see ``Entries``."""

    def __init__(self, engines: Engines, scope: Scope, place: Place) -> None:
        """Nothing is read yet. Raises InvalidUIDError, ValueError."""
        super().__init__(engines, scope)
        self._place = place
        self._at = place_values(place)

    @property
    def place(self) -> Place:
        """Their place."""
        return self._place

    def prepare(self) -> None:
        """Make the place known to ``places``; a study's own ones are there with the study."""
        if not self._place.study_instance_uid and not self._read(_IS_PREPARED, place=self._at["place"]):
            self._write(_PREPARE, place=self._at["place"])

    def names(self) -> list[str]:
        """Return the names of all entries, in no particular order."""
        return [str(name) for (name,) in self._read(_NAMES, **self._at)]

    def by_time(self) -> list[tuple[float, str]]:
        """Return when each entry was written, by the database's clock, and its name, in this order."""
        return sorted((float(str(written)), str(name)) for written, name in self._read(_BY_TIME, **self._at))

    def each(self) -> Iterator[tuple[str, float]]:
        """Yield the name of each entry and when it was written, by pages: never all of them in memory."""
        after = ""
        while rows := self._read(_EACH, after=after, **self._at):
            yield from ((str(name), float(str(written))) for name, written in rows)
            after = str(rows[-1][0])

    def has(self, name: str) -> bool:
        """Return whether there is an entry; there is none of what can be no name."""
        return is_name(name) and bool(self._read(_HAS, **self._one(name)))

    def get(self, name: str) -> bytes:
        """Return its content, from the bucket where the bytes are there. Raises FileNotFoundError if there is none."""
        found = self._read(_GET, **self._one(name))
        if not found:
            raise missing("the store has no such entry")
        content, key, size, sha256 = found[0]
        if key is None:
            assert isinstance(content, bytes)
            return content
        checksum = sha256 if isinstance(sha256, bytes) else None
        return read_checked(self._engines.bucket, str(key), int(str(size)), checksum)

    def put(self, name: str, content: str | bytes, *, durable: bool = True) -> None:
        """Write or replace an entry. Durable when the transaction ends that it is written in."""
        self._write(_PUT, **self._with_content(name, content))

    def note(self, name: str) -> None:
        """Write an empty entry, unless it is there."""
        self._write(_NOTE, **self._with_content(name, b""))

    def remove(self, name: str, *, durable: bool = False) -> bool:
        """Remove an entry, always durably, and return whether it was there."""
        return bool(self._write(_REMOVE, **self._one(name)))

    def move(self, name: str, to: Place, new_name: str, *, durable: bool = True) -> None:
        """Move an entry, always durably. Raises FileNotFoundError if there is none."""
        source, target = self._one(name), {**place_values(to), "name": checked_name(new_name)}
        with self._database.transaction():
            if not self._write(_LOCK, **source):
                raise missing("the store has no such entry")
            if source != target:
                self._write(_REMOVE, **target)
                self._write(_MOVE, **source, **{f"new_{word}": value for word, value in target.items()})

    def clear(self, before: float = inf) -> None:
        """Remove the entries that were written before a time (POSIX seconds)."""
        self._write(_CLEAR, before=before, **self._at)

    def append(self, name: str, record: Record) -> None:
        """Append a record to a log."""
        self._write(_APPEND, content=json.dumps(record), **self._one(name))

    def records(self, name: str) -> Sequence[Record]:
        """Return the records of a log, oldest first. Raises ValueError for one that is none."""
        return [json.loads(str(content)) for (content,) in self._log(name)]

    def readable(self, name: str) -> Sequence[Record]:
        """Return the records of a log, without those that are damaged."""
        return [record for (content,) in self._log(name) if isinstance(record := _parsed(str(content)), dict)]

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock of this name, until the transaction ends that it is taken in."""
        words = (self._scope.tenant, self._scope.partition, *map(str, self._one(name).values()))
        key = int.from_bytes(sha256("\0".join(words).encode()).digest()[:8], "big", signed=True)
        with self._database.transaction() as transaction:
            transaction.run("SELECT pg_advisory_xact_lock(CAST(:key AS bigint))", key=key)
            yield

    def _log(self, name: str) -> list[Row]:
        return self._read(_RECORDS, **self._one(name))

    def _one(self, name: str) -> dict[str, Value]:
        return {**self._at, "name": checked_name(name)}

    def _with_content(self, name: str, content: str | bytes) -> dict[str, Value]:
        raw = content.encode() if isinstance(content, str) else content
        return {**self._one(name), "content": raw, "size": len(raw)}


def place_values(place: Place) -> dict[str, Value]:
    """Return the values by which the rows of a place are found. Raises InvalidUIDError, ValueError."""
    uid = place.study_instance_uid
    return {"study": valid_uid(uid) if uid else "", "place": "/".join(map(checked_name, place.words))}


def _parsed(content: str) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
