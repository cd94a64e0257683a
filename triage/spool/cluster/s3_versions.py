"""The versions of a bucket's objects: how one that was deleted is brought back after a restore (docs/adr/0081)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from triage.spool.cluster.address import BucketAddress
from triage.spool.cluster.s3_client import S3Client
from triage.spool.cluster.s3_listing import pages, parsed
from triage.spool.cluster.s3_signature import S3Request

_MORE = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}


@dataclass(frozen=True)
class _Version:
    """One version of a key, or the marker of a deletion."""

    number: str
    is_marker: bool
    is_latest: bool


class S3Versions:
    """The versions of one bucket. The service itself asks for none: it needs neither the right nor the feature."""

    def __init__(self, address: BucketAddress) -> None:
        """Prepare: nothing is sent yet. Raises OSError for a CA file that cannot be read."""
        self._client = S3Client(address)

    def status(self) -> str:
        """Return ``Enabled``, ``Suspended``, or ``Off`` for a bucket that keeps no versions. Raises OSError."""
        answer = self._client.ask(S3Request("GET", self._client.path(), {"versioning": ""}), (200,))
        return parsed(answer.body, self._client.name).findtext("{*}Status") or "Off"

    def bring_back(self, key: str) -> bool:
        """Remove the markers by which an object is deleted, and return whether a version of it is there then.

        Raises OSError; PermissionError for a user who may not list or remove versions.
        """
        while versions := list(self._of(key)):
            markers = [each for each in versions if each.is_marker and each.is_latest]
            if not markers:
                return True
            if all(each.is_marker for each in versions):
                return False
            for each in markers:
                request = S3Request("DELETE", self._client.path(key), {"versionId": each.number})
                self._client.ask(request, (200, 204))
        return False

    def _of(self, key: str) -> Iterator[_Version]:
        query = {"versions": "", "prefix": key, "encoding-type": "url"}
        for page in pages(self._client, query, _MORE):
            for each in page:
                kind = each.tag.rpartition("}")[2]
                if kind in ("Version", "DeleteMarker") and unquote(each.findtext("{*}Key") or "") == key:
                    number, latest = each.findtext("{*}VersionId") or "null", each.findtext("{*}IsLatest") == "true"
                    yield _Version(number, kind == "DeleteMarker", latest)
