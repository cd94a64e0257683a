"""Creation of a spool, and the checks before an existing one is used."""

from __future__ import annotations

import logging
from pathlib import Path

from triage.runtime.durable import fsync_folder, private_folder
from triage.spool.errors import SpoolError
from triage.spool.files import SpoolFiles
from triage.spool.layout import LAYOUT, LAYOUT_FILE, layout_of

logger = logging.getLogger(__name__)

VERSION = "1"
VERSION_FILE = "VERSION"
INSTALLATION_FILE = "INSTALLATION"
_FOLDERS = (
    "incoming",
    "inbox",
    "dead",
    "quarantine",
    "studies",
    "marks",
    "outbox",
    "undeliverable",
    "control/disabled-models",
    "control/disabled-channels",
    "control/destinations",
    "locks",
)


def check_version(root: Path) -> None:
    """Raise SpoolError for a spool that this program would misread; a later layout that it can read is logged."""
    found = (root / VERSION_FILE).read_text().strip()
    if found != VERSION:
        raise SpoolError(
            f"spool {root} has version {found}, this program writes version {VERSION}: "
            "run the release that wrote it, or move it away and start with an empty folder"
        )
    layout = layout_of(root)
    if layout > LAYOUT:
        logger.warning("spool %s has layout %d of a later release, which this one (%d) can read", root, layout, LAYOUT)


def check_folder(root: Path) -> None:
    """Raise SpoolError if ``root`` is no spool, has another version, or is readable by other users; OSError.

    Changes nothing. A folder that does not exist or is empty is accepted.
    """
    if not (root / VERSION_FILE).exists():
        _refuse_other_contents(root)
        return
    check_version(root)
    if root.stat().st_mode & 0o077:
        raise SpoolError(f"spool {root} can be read by others: chmod 0700 {root}")


def create(files: SpoolFiles) -> None:
    """Create the spool (mode 0700). Raises SpoolError for a folder with other contents; OSError."""
    private_folder(files.root)
    _refuse_other_contents(files.root)
    files.root.chmod(0o700)
    make_folders(files)
    files.write(files.root / LAYOUT_FILE, f"{LAYOUT}\n")
    # Last, so that a spool with a VERSION is complete; two processes may both come here.
    files.write(files.root / VERSION_FILE, VERSION + "\n")
    fsync_folder(files.root.parent)


def make_folders(files: SpoolFiles) -> None:
    """Create the folders that are missing, durably: a synced file is lost with the name of its folder."""
    for folder in _FOLDERS:
        path = files.root
        for part in folder.split("/"):
            path = path / part
            files.make_folder(path)


def _refuse_other_contents(root: Path) -> None:
    known = {folder.split("/")[0] for folder in _FOLDERS} | {VERSION_FILE, INSTALLATION_FILE, LAYOUT_FILE}
    if root.exists() and any(entry.name not in known for entry in root.iterdir()):
        raise SpoolError(f"{root} is neither empty nor a spool: choose another folder")
