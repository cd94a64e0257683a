"""The opening of a comparison: its two engines, and what a bucket keeps of deleted objects."""

from __future__ import annotations

from dataclasses import dataclass

from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.key_rows import key_rows
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.cluster.s3_versions import S3Versions
from triage.spool.comparing.comparison import StoreComparison


@dataclass(frozen=True)
class OpenedComparison:
    """A comparison of a store, and the versions of its bucket."""

    comparison: StoreComparison
    versions: S3Versions


def open_comparison(address: ClusterAddress) -> OpenedComparison:
    """Return the comparison of a store that was opened. Raises OSError."""
    bucket = S3Bucket(address.bucket)
    return OpenedComparison(StoreComparison(key_rows(address, bucket), bucket), S3Versions(address.bucket))
