"""A folder on a FUSE mount, which answers syncfs with 0 and does nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.runtime.storage import file_system_type

FUSE = 0x65735546


@contextmanager
def mounted(parent: Path) -> Iterator[Path | None]:
    """A folder below ``parent`` that bindfs shows of another one; None where nothing can be mounted."""
    behind, folder = parent / "behind", parent / "fuse"
    for each in (behind, folder):
        each.mkdir()
    if os.geteuid() != 0 or not shutil.which("bindfs") or not _mount(behind, folder):
        yield None
        return
    try:
        assert file_system_type(folder) == FUSE
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(behind: Path, folder: Path) -> bool:
    return subprocess.run(["bindfs", behind, folder], capture_output=True).returncode == 0
