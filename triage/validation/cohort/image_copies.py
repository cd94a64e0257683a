"""Images of a manifest whose store has no files of this machine: copies in a folder next to the manifest."""

from __future__ import annotations

import errno
from pathlib import Path

from triage.runtime.durable import private_folder
from triage.spool.instance import ReceivedInstance
from triage.spool.stored_object import StoredObject


def copies_folder(manifest: Path) -> Path:
    """Return the folder of the copies that belong to a manifest."""
    return manifest.absolute().with_name(f"{manifest.name}.images")


def lasting_image(stored: StoredObject, instance: ReceivedInstance, manifest: Path) -> Path:
    """Return the object's own file, or that of a copy made now, which only its owner can read. Raises OSError."""
    try:
        return Path(stored.lasting_path())
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
    folder = copies_folder(manifest)
    private_folder(folder)
    copy = folder / f"{instance.filed_name}.dcm"
    copy.touch(mode=0o600)
    copy.write_bytes(stored.read_bytes())
    return copy
