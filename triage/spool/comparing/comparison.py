"""The comparison itself: while the service works, and with a bound on memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import islice

from triage.dicom.byte_source import OpenFileSource
from triage.dicom.file_meta import read_file_meta
from triage.dicom.header_scan import read_identity
from triage.dicom.uid import valid_uid
from triage.spool.cluster.bucket import Bucket, ListedKey, read_checked
from triage.spool.cluster.key_rows import KeyRows, NamedKey
from triage.spool.comparing.merge import merged
from triage.spool.comparing.values import Fault, Finding, KeyIdentity, Look, LookCounts


class StoreComparison:
    """A bucket and the rows that name its keys.

    Both lists are taken at different moments, and the service goes on in between. So what they say is a suspicion,
    which is looked at again: a row that is there still when the bucket has denied its key is without its object, as a
    key is put before its row is written and deleted after its row is gone. A key that nothing names stays without a
    name, as each is used once; that of a late upload, when it is removed, is taken from it first.
    """

    def __init__(self, rows: KeyRows, bucket: Bucket) -> None:
        self._rows, self._bucket = rows, bucket

    def findings(self, look: Look, counts: LookCounts) -> Iterator[Finding]:
        """Yield each difference in the order of the keys. ``counts`` are kept up to date.

        Raises OSError, and CompareError for a bucket that lists its keys in another order.
        """
        counts.last = counts.last or look.after
        pairs = self._pairs(look.after)
        for named, listed in islice(pairs, look.most) if look.most else pairs:
            key = _key_of(named, listed)
            if look.until and key > look.until:
                return
            counts.rows += named is not None and named.kept
            counts.keys += listed is not None
            counts.size += listed.size if listed else 0
            yield from self._differences(named, listed, look)
            counts.last = key

    def bucket_folders(self) -> set[str]:
        """Return the first words of the tenant's keys, by what either side has."""
        return self._rows.folders() | set(self._bucket.folders(self._rows.tenant_folder))

    def is_unnamed(self, key: str) -> bool:
        """Return whether no row names a key. None ever will, unless an upload that is late is ended yet."""
        return self._rows.known(key) is None

    def remove(self, finding: Finding) -> bool:
        """Delete an object that no row names, and return whether that was so still. Raises OSError."""
        if finding.fault is not Fault.UNNAMED:
            return False
        self._rows.give_up(finding.key)
        if not self.is_unnamed(finding.key):
            return False
        self._bucket.delete(finding.key)
        return True

    def _pairs(self, after: str) -> Iterator[tuple[NamedKey | None, ListedKey | None]]:
        # One folder after the other: stores differ in the order of `main/` and `main+x/`, and not within one.
        for folder in sorted(self.bucket_folders()):
            if after < folder or after.startswith(folder):
                start = after if after.startswith(folder) else ""
                yield from merged(self._rows.named(folder, start), self._bucket.listed(folder, start))

    def _differences(self, named: NamedKey | None, listed: ListedKey | None, look: Look) -> Iterator[Finding]:
        if named is None:
            assert listed is not None
            yield from self._unnamed(listed, look)
            return
        fault = self._fault(named, listed, look.read) if named.kept else None
        if fault is not None and (still := self._rows.known(named.key)) is not None and still.kept:
            put_at = listed.put_at if listed else 0.0
            yield Finding(fault, named.key, named.size, _of_row(named), put_at)

    def _fault(self, named: NamedKey, listed: ListedKey | None, read: bool) -> Fault | None:
        try:
            size = listed.size if listed else self._bucket.size(named.key)
            if size != named.size:
                return Fault.SIZE
            if read:
                read_checked(self._bucket, named.key, named.size, named.sha256)
        except FileNotFoundError:
            return Fault.MISSING
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return Fault.CONTENT
        return None

    def _unnamed(self, listed: ListedKey, look: Look) -> Iterator[Finding]:
        if listed.put_at >= look.put_before or not self.is_unnamed(listed.key):
            return
        try:
            identity = self._identity(listed.key)
        except FileNotFoundError:  # it was deleted since, with the row that had named it
            return
        yield Finding(Fault.UNNAMED, listed.key, listed.size, identity, listed.put_at)

    def _identity(self, key: str) -> KeyIdentity:
        """Return the object under a key that no row names, as its header says. Raises OSError."""
        with self._bucket.open(key) as file:
            try:
                meta = read_file_meta(OpenFileSource(file))
                file.seek(meta.end)
                found = read_identity(file, meta.transfer_syntax_uid)
                study, sop = valid_uid(found.study_instance_uid), valid_uid(found.sop_instance_uid)
            except ValueError:  # no DICOM
                return KeyIdentity()
        return KeyIdentity(study, sop, self._rows.has_content(key, study, sop))


def _key_of(named: NamedKey | None, listed: ListedKey | None) -> str:
    return next(each.key for each in (named, listed) if each is not None)


def _of_row(named: NamedKey) -> KeyIdentity:
    return KeyIdentity(named.study_instance_uid, named.name)
