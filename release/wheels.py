"""The two wheels, code and models; the same files and tools give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from release.clean_copy import clean_copy, source_date
from release.errors import ReleaseError

PROJECTS = (".", "models")
"""Folders of the checkout that become a wheel each."""


def build_wheels(checkout: Path, out: Path) -> list[Path]:
    """Build both wheels into ``out``, and return their paths. Raises ReleaseError with the builder's last lines."""
    out.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source_date(checkout)), "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        # Not in the checkout: remains of an earlier build in build/ would get into the wheel.
        clean_copy(checkout, Path(folder))
        return [_build(Path(folder) / project, out.resolve(), environment) for project in PROJECTS]


def _build(project: Path, out: Path, environment: dict[str, str]) -> Path:
    # Without isolation: with the pinned setuptools of this environment, and without a network.
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--no-cache-dir"]
    with tempfile.TemporaryDirectory() as built:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", *options, "--wheel-dir", built, str(project)],
            env=environment,
            capture_output=True,
            text=True,
            umask=0o022,  # the modes of what setuptools writes itself go into the archive
        )
        if done.returncode:
            raise ReleaseError(f"no wheel could be built of {project.name or 'the checkout'}: {done.stderr[-2000:]}")
        (wheel,) = Path(built).glob("*.whl")
        target = out / wheel.name
        target.write_bytes(wheel.read_bytes())
        return target
