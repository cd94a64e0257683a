"""Received objects as rows, whose bytes are in the bucket."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from uuid import uuid4

from triage.decision.records import Record
from triage.dicom.uid import valid_uid
from triage.errors import cause
from triage.spool.cluster.bucket_objects import BucketObject
from triage.spool.cluster.missing import missing
from triage.spool.cluster.rows import Engines, Rows, Scope
from triage.spool.cluster.uploads import BucketUploads, ScratchUpload, upload_of
from triage.spool.instance import ReceivedInstance
from triage.spool.stored_object import Upload
from triage.spool.tables import Row, Value

logger = logging.getLogger(__name__)

_HERE = "tenant = :tenant AND partition = :partition"
_ONE = f"{_HERE} AND study_uid = :study AND sop_uid = :sop AND digest = :digest"
_RECEIVED = "CAST(extract(epoch FROM received) AS float8)"
_STORE = """
INSERT INTO object (tenant, partition, study_uid, sop_uid, digest, state, key, size, sha256)
VALUES (:tenant, :partition, :study, :sop, :digest, 'waiting', :key, CAST(:size AS bigint), CAST(:sha256 AS bytea))
ON CONFLICT (tenant, partition, study_uid, sop_uid, digest) DO NOTHING RETURNING 1
"""
_CONFIRM = f"UPDATE object SET confirmed = clock_timestamp() WHERE {_ONE} RETURNING 1"
# The bytes of a row that the bucket has lost; the key before is on the list, if it should come back.
_REPLACE = f"""
WITH replaced AS (
  UPDATE object SET key = :key, size = CAST(:size AS bigint), sha256 = CAST(:sha256 AS bytea)
  WHERE {_ONE} AND key = :lost RETURNING tenant, partition
)
INSERT INTO bucket_key (key, tenant, partition, state, deadline)
SELECT :lost, tenant, partition, 'dead', clock_timestamp() FROM replaced RETURNING 1
"""
_FIND = f"SELECT key, size, {_RECEIVED}, sha256 FROM object WHERE {_ONE}"
_STATE = f"SELECT state FROM object WHERE {_ONE}"
_MOVE = f"UPDATE object SET state = :to, failure = :failure WHERE {_ONE} AND state = :state RETURNING 1"
_IN_STATE = f"""
SELECT study_uid, sop_uid, digest, failure FROM object WHERE {_HERE} AND state = :state
AND (study_uid, sop_uid, digest) > (:study, :sop, :digest)
ORDER BY study_uid, sop_uid, digest LIMIT CAST(:page AS int)
"""
_OF_STUDY = f"SELECT study_uid, sop_uid, digest FROM object WHERE {_HERE} AND study_uid = :study"
# Behind a place among the keys, and on from the first one.
_SOME = f"""
(SELECT key FROM object WHERE {_HERE} AND key > :start AND key < :below ORDER BY key LIMIT CAST(:most AS int))
UNION ALL
(SELECT key FROM object WHERE {_HERE} AND key > :after AND key <= :start ORDER BY key LIMIT CAST(:most AS int))
"""
_SAMPLED = 4
_DROP = f"DELETE FROM object WHERE {_HERE} AND state <> 'filed'"
_DROP_DEAD = f"""
DELETE FROM object WHERE {_HERE} AND state = 'dead' AND received < to_timestamp(CAST(:before AS float8))
"""
_SET_ASIDE = """
INSERT INTO entry (tenant, partition, place, name, content, key, size, sha256)
VALUES (:tenant, :partition, 'quarantine', :name, CAST(:content AS bytea), :key, CAST(:size AS bigint),
  CAST(:sha256 AS bytea))
"""


class ObjectRows(Rows):
    """The received objects of one partition; see ``Objects`` in store.py."""

    def __init__(self, engines: Engines, scope: Scope) -> None:
        super().__init__(engines, scope)
        self._uploads = BucketUploads(engines, scope)

    # Receiving.

    def begin_upload(self) -> ScratchUpload:
        """Begin to receive an object, into a file of the scratch folder. Raises OSError."""
        return ScratchUpload(self._engines.scratch)

    def keep(self, upload: Upload, instance: ReceivedInstance) -> bool:
        """Put the bytes into the bucket and then the row into the database; see ``Objects``."""
        part, names = upload_of(upload), _names(instance)
        lost = ""
        if self._is_here(names) and not (lost := self._lost_key(instance)):
            return False
        with self._uploads.put(part, instance.content_digest) as (key, _):
            facts: dict[str, Value] = {"key": key, "size": part.size, "sha256": part.sha256}
            new = bool(self._write(_STORE, **facts, **names))
            named = new or bool(lost and self._write(_REPLACE, lost=lost, **facts, **names))
            settle = self._uploads.done if named else self._uploads.superfluous
            settle(key)
        return new

    def _lost_key(self, instance: ReceivedInstance) -> str:
        """Return the key of an object that the bucket has lost: its sender brings it again. Empty if it is there."""
        stored = self.stored_object(instance)
        if stored is None or stored.is_in_bucket():
            return ""
        logger.warning("%s: the bucket had lost it, and gets it again", instance.key)
        return stored.key

    def _is_here(self, names: dict[str, Value]) -> bool:
        """Return whether the store has this content, durably.

        It is confirmed by a transaction of our own: the one that wrote it may wait for a standby still, and the sender
        must not be told of it before. That of a study which is being removed at this moment is not here.
        """
        if not self._read(_FIND, **names):
            return False
        with self._database.apart():
            return bool(self._write(_CONFIRM, **names))

    def set_aside(self, upload: Upload, why: str) -> None:
        """Keep an unparsable object in the bucket and its reason in the database. Raises OSError."""
        part, stem = upload_of(upload), uuid4().hex
        note = json.dumps({"why": why}).encode()
        with self._uploads.put(part, "quarantine") as (key, _):
            of_bytes: dict[str, Value] = {"content": None, "key": key, "size": part.size, "sha256": part.sha256}
            self._write(_SET_ASIDE, name=f"{stem}.dcm", **of_bytes)
            self._write(_SET_ASIDE, name=f"{stem}.json", content=note, key=None, size=len(note), sha256=None)
            self._uploads.done(key)

    # Work.

    def waiting(self) -> Iterator[ReceivedInstance]:
        """Yield the objects that are acknowledged and not yet tagged."""
        return (_instance(row) for row in self._in_state("waiting"))

    def waits(self, instance: ReceivedInstance) -> bool:
        """Return whether the object is in the inbox; true if that cannot be determined: a read reports the error."""
        try:
            return self._state_of(instance) == "waiting"
        except OSError:
            return True

    def waiting_object(self, instance: ReceivedInstance) -> BucketObject:
        """Return an object of the inbox: one that cannot be opened, if the store does not have it."""
        return self.stored_object(instance) or BucketObject(_name(instance), "", self._engines.bucket)

    def stored_object(self, instance: ReceivedInstance) -> BucketObject | None:
        """Return the object, in whatever state it is; None if the store does not have it."""
        for key, size, received, sha256 in self._read(_FIND, **_names(instance)):
            facts = int(str(size)), float(str(received)), sha256 if isinstance(sha256, bytes) else None
            return BucketObject(_name(instance), str(key), self._engines.bucket, *facts)
        return None

    def gives_objects(self) -> bool:
        """Return whether the bucket answers about a key that it does not have, and gives some object. Never raises.

        A store that has just started may know its keys before it can give their bytes, and one of another time, or a
        part of one, may know none of ours. One object alone says nothing: it may be the one that is lost. So may the
        few that are tried: others are with the next call.
        """
        return not self._why_no_objects() and self._some_can_be_read()

    def _some_can_be_read(self) -> bool:
        folder = self._scope.folder
        start, below = f"{folder}/{secrets.token_hex(8)}", f"{folder}0"  # keys have a digest in them; 0 comes behind /
        try:
            found = self._read(_SOME, start=start, below=below, after=f"{folder}/", most=_SAMPLED)
        except OSError:
            return False
        keys = [str(key) for (key,) in found][:_SAMPLED]
        return len(keys) < 2 or any(self._can_be_read(key) for key in keys)

    def _can_be_read(self, key: str) -> bool:
        try:
            with self._engines.bucket.open(key) as file:
                file.read(1)
        except OSError:  # one that was removed meanwhile, too: then the next one says it, or the next call
            return False
        return True

    def _why_no_objects(self) -> str:
        """Return why the bucket does not answer; empty if it does."""
        try:
            self._engines.bucket.size(f"{self._scope.folder}/{uuid4().hex}")
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"the bucket cannot be used ({cause(error)})"
        return ""

    def is_filed(self, instance: ReceivedInstance) -> bool:
        """Return whether the object is with its study, tagged."""
        return self._state_of(instance) == "filed"

    def objects_of(self, study_instance_uid: str) -> Iterator[ReceivedInstance]:
        """Yield the study's objects, in whatever state they are."""
        return map(_instance, self._read(_OF_STUDY, study=valid_uid(study_instance_uid)))

    def file(self, instance: ReceivedInstance) -> None:
        """Take a tagged object out of the inbox. Raises FileNotFoundError if the store does not have it."""
        if not self._moved(instance, "waiting", "filed") and not self.is_filed(instance):
            raise missing("the store does not have this object")

    def take_back(self, instance: ReceivedInstance) -> None:
        """Put a tagged object back into the inbox. Raises FileNotFoundError if it is not with its study."""
        if not self._moved(instance, "filed", "waiting"):
            raise missing("the object is not with its study")

    # Dead letters.

    def bury(self, instance: ReceivedInstance, record: Record) -> None:
        """Take an object out of the inbox as a dead letter. Raises FileNotFoundError if it is not there."""
        if not self._moved(instance, "waiting", "dead", json.dumps(record)):
            raise missing("the object is not in the inbox")

    def dead_letters(self) -> Iterator[tuple[ReceivedInstance, Record]]:
        """Yield the dead letters, each with the record of its failure."""
        for row in self._in_state("dead"):
            yield _instance(row), json.loads(str(row[3])) if row[3] else {}

    def requeue(self, instance: ReceivedInstance) -> None:
        """Put a dead letter back into the inbox. Raises FileNotFoundError if there is none of this key."""
        if not self._moved(instance, "dead", "waiting"):
            raise missing("there is no such dead letter")

    def drop_unfinished(self) -> None:
        """Remove all that waits and all dead letters: of a partition, whose objects are no patient's."""
        self._write(_DROP)

    def drop_dead_letters(self, before: float) -> None:
        """Remove the dead letters of a partition that came before ``before`` (POSIX seconds)."""
        self._write(_DROP_DEAD, before=before)

    def _moved(self, instance: ReceivedInstance, state: str, to: str, failure: str | None = None) -> bool:
        return bool(self._write(_MOVE, state=state, to=to, failure=failure, **_names(instance)))

    def _state_of(self, instance: ReceivedInstance) -> object:
        found = self._read(_STATE, **_names(instance))
        return found[0][0] if found else None

    def _in_state(self, state: str) -> Iterator[Row]:
        return self._pages(_IN_STATE, _names_of_row, state=state, study="", sop="", digest="")


def _names(instance: ReceivedInstance) -> dict[str, Value]:
    return {
        "study": instance.study_instance_uid,
        "sop": instance.sop_instance_uid,
        "digest": instance.content_digest,
    }


def _names_of_row(row: Row) -> dict[str, Value]:
    return _names(_instance(row))


def _name(instance: ReceivedInstance) -> str:
    return f"{instance.key}.dcm"


def _instance(row: Row) -> ReceivedInstance:
    study, sop, digest = map(str, row[:3])
    return ReceivedInstance(study, sop, digest)
