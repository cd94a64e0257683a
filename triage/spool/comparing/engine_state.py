"""The state of both engines of a store at one moment, for a backup's manifest, and what speaks against a pair."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.engine_rows import DatabaseState, EngineRows
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.comparing.opening import OpenedComparison
from triage.spool.comparing.values import Fault, Look, LookCounts

_COUNTED = 10_000
_SAMPLED = 2_000
UNKNOWN = "unknown"


@dataclass(frozen=True)
class BucketState:
    """A bucket: its address, ``versioning`` as S3 says it, its number of keys up to a bound, and a sample of rows.

    ``lacking``: those of the ``sampled`` rows whose object is not there, or is of another size.
    """

    endpoint: str
    bucket: str
    versioning: str
    keys: int
    sampled: int
    lacking: int

    @property
    def address(self) -> str:
        """Its address in one word."""
        return f"{self.endpoint}/{self.bucket}"


@dataclass(frozen=True)
class EngineState:
    """Both engines."""

    database: DatabaseState
    bucket: BucketState

    def record(self) -> dict[str, Any]:
        """Return it for a manifest."""
        return asdict(self)


def engine_state(address: ClusterAddress, opened: OpenedComparison) -> EngineState:
    """Return the state of both engines now. Costs some dozen requests, however much they hold. Raises OSError."""
    database = EngineRows.of(address).state()
    sampled, lacking = _sample(address.tenant, opened)
    keys = sum(1 for _ in islice(S3Bucket(address.bucket).listed(f"{address.tenant}/"), _COUNTED))
    bucket = address.bucket
    return EngineState(
        database, BucketState(bucket.endpoint, bucket.bucket, _versioning(opened), keys, sampled, lacking)
    )


def _sample(tenant: str, opened: OpenedComparison) -> tuple[int, int]:
    """Return how many rows of a sample were looked at, and how many of them lack their object. Raises OSError.

    Keys have a digest in them: those behind a random one are a sample. It goes on from the first key where they end, up
    to where it began, so that a store with less than a sample is looked at as a whole.
    """
    start, counts, lacking = f"{tenant}/main/{secrets.token_hex(8)}", LookCounts(), 0
    for after, until in ((start, ""), ("", start)):
        if counts.rows < _SAMPLED:
            look = Look(after, _SAMPLED - counts.rows, until=until)
            faults = [each.fault for each in opened.comparison.findings(look, counts)]
            lacking += sum(fault in (Fault.MISSING, Fault.SIZE) for fault in faults)
    return counts.rows, lacking


def state_of_record(record: Mapping[str, Any]) -> EngineState:
    """Return the state that a manifest has. Raises KeyError and TypeError for one that has none."""
    return EngineState(DatabaseState(**record["database"]), BucketState(**record["bucket"]))


def pair_faults(state: EngineState, *, removes: bool) -> Iterator[str]:
    """Yield in words what keeps the engines from being restored to one time. ``removes``: retention removes studies."""
    bucket = state.bucket
    if bucket.lacking:
        yield (
            f"{bucket.lacking} of {bucket.sampled} rows that were looked at have no object in the bucket, or another "
            "one: a restore cannot bring them back (triage store compare)"
        )
    if state.database.objects and not bucket.sampled:
        yield (
            f"none of {state.database.objects} rows was looked at in the bucket: it is not known whether database and "
            "bucket agree (triage store compare)"
        )
    if removes and bucket.versioning == UNKNOWN:
        yield (
            "the bucket does not say whether it keeps versions: without them, or a copy that deletes nothing, a "
            "database that is restored to an earlier time names objects that retention has removed since"
        )
    elif removes and bucket.versioning != "Enabled":
        yield (
            "the bucket keeps no versions, and retention removes objects: a database that is restored to an earlier "
            "time names objects that are gone. Turn versioning on, or keep a copy of the bucket that deletes nothing"
        )


def restored_faults(backup: EngineState, now: EngineState) -> Iterator[str]:
    """Yield in words where a restored pair is not the one that was noted in a backup, or is of an earlier time."""
    before, after = backup.database, now.database
    if after.tenant != before.tenant:
        yield f"the store is that of {after.tenant}, and the backup that of {before.tenant} (store.tenant)"
    if now.bucket.address != backup.bucket.address:
        yield f"the bucket is {now.bucket.address}, and that of the backup {backup.bucket.address}"
    if after.system_identifier != before.system_identifier:
        yield "the database is not the one of the backup, nor restored from its base backup: it has another identifier"
    if after.installation != before.installation:
        yield "the database is of another installation: its UID is not that of the backup"
    if after.newest < before.newest:
        yield (
            f"the database is of a time before the backup: its newest row is of {_moment(after.newest)}, then "
            f"{_moment(before.newest)}. Have the PACS send again what came since"
        )
    if after.objects and not now.bucket.sampled:
        yield f"none of {after.objects} rows was looked at in the bucket: triage store compare"
    if now.bucket.lacking:
        rows = f"{now.bucket.lacking} of {now.bucket.sampled} rows that were looked at"
        yield f"{rows} have no object in the bucket, or another one: triage store bring-back"


def described(state: EngineState) -> str:
    """Return the state as one line for people."""
    database, bucket = state.database, state.bucket
    keys = f"{bucket.keys} keys or more" if bucket.keys >= _COUNTED else f"{bucket.keys} keys"
    return (
        f"database {database.system_identifier or UNKNOWN}, schema {database.schema}, timeline {database.timeline}, "
        f"{database.lsn} at {_moment(database.at)}: {database.studies} studies, {database.objects} objects, newest row "
        f"{_moment(database.newest)}; bucket {bucket.address}: versioning {bucket.versioning}, {keys}, "
        f"{bucket.sampled} rows looked at, {bucket.lacking} without their object"
    )


def _versioning(opened: OpenedComparison) -> str:
    try:
        return opened.versions.status()
    except OSError:  # a user without this right, or a store without this request
        return UNKNOWN


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
