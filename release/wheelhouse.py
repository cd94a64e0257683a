"""A folder of the pinned third-party wheels: once it is filled, no network is needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from release.errors import ReleaseError


def fill_wheelhouse(pins: Path, wheelhouse: Path, pip: list[str]) -> None:
    """Fetch the missing pinned wheels into ``wheelhouse``, for the Python of ``pip``. Raises ReleaseError."""
    wheelhouse.mkdir(parents=True, exist_ok=True)
    wanted = ["download", "--quiet", "--require-hashes", "--only-binary=:all:", "-r", str(pins), "-d", str(wheelhouse)]
    known = ["--no-index", "--find-links", str(wheelhouse)]
    if subprocess.run([*pip, *wanted, *known], capture_output=True).returncode == 0:
        return
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"the wheels of {pins.name} could not be fetched: {done.stderr[-2000:]}")
