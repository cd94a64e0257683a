"""Digest of the installed files of a distribution, and the check that they are those of its wheel."""

from __future__ import annotations

import base64
import csv
import hashlib
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

from triage.plugins.errors import PluginError

_OF_THE_INSTALLER = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""Files of ``*.dist-info`` that differ from one installation of a wheel to the next."""


@dataclass(frozen=True)
class InstalledFiles:
    """Files of a distribution, and SHA-256 over their paths and contents, the same wherever the wheel lies."""

    digest: str
    paths: frozenset[Path]


def installed_files(found: Distribution) -> InstalledFiles:
    """Hash the files that RECORD of a distribution names, below its folder, without compiled ones.

    Raises PluginError if there is no RECORD, or a file is gone or is not the one that was installed.
    """
    record = found.read_text("RECORD")
    if record is None:
        raise PluginError(f"{found.name} has no RECORD of its files: install it as a wheel (pip install)")
    root, whole, paths = Path(str(found.locate_file(""))), hashlib.sha256(), set()
    for name, stated in sorted((row[0], row[1]) for row in csv.reader(record.splitlines()) if len(row) > 1):
        if not _counts(PurePosixPath(name)):
            continue
        path = root / name
        whole.update(f"{name}\0{_checked(found.name, path, stated)}\n".encode())
        paths.add(path.resolve())
    return InstalledFiles(whole.hexdigest(), frozenset(paths))


def _counts(name: PurePosixPath) -> bool:
    """Return True for a file that the wheel holds, and the interpreter can import or the package read."""
    outside = name.is_absolute() or ".." in name.parts
    written_later = "__pycache__" in name.parts or (
        name.parent.suffix == ".dist-info" and name.name in _OF_THE_INSTALLER
    )
    return not outside and not written_later


def _checked(distribution: str, path: Path, stated: str) -> str:
    """Return the SHA-256 of a file as hexadecimal digits; ``stated`` is the hash of RECORD, empty for none."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise PluginError(
            f"{distribution}: its file {path} cannot be read ({error.strerror}): install it anew"
        ) from error
    if stated.startswith("sha256=") and stated != f"sha256={_as_in_record(found.digest())}":
        raise PluginError(f"{distribution}: {path} is not the file that was installed: install it anew")
    return found.hexdigest()


def _as_in_record(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
