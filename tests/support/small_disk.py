"""A disk that is soon full: a small tmpfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(parent: Path, megabytes: int) -> Iterator[Path]:
    """A folder of its own file system below ``parent``; skips the test where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("a full disk: mounting a small tmpfs needs root")
    folder = parent / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a full disk: no tmpfs can be mounted here ({done.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # where a test fails, a process may still write there
