"""A copy of the files that git tracks, with fixed modes, so that builds do not depend on the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from release.errors import ReleaseError

_OLDEST = 315619200  # 1980-01-02 in UTC: ZIP, and so a wheel, has no earlier year


def tracked(checkout: Path) -> list[Path]:
    """Return the existing files of ``checkout`` that git tracks, as sorted relative paths."""
    found = _git(checkout, "ls-files", "-z").split("\0")
    return sorted(Path(name) for name in found if name and (checkout / name).is_file())


def clean_copy(checkout: Path, to: Path) -> None:
    """Copy the tracked files to the folder ``to``: 0644, or 0755 if the owner may run them."""
    for name in tracked(checkout):
        target = to / name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(checkout / name, target)
        target.chmod(0o755 if os.access(checkout / name, os.X_OK) else 0o644)


def source_date(checkout: Path) -> int:
    """Return the time of the build in seconds since 1970: SOURCE_DATE_EPOCH, else the time of the last commit."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or _git(checkout, "log", "-1", "--format=%ct")
    return max(int(seconds), _OLDEST)


def commit(checkout: Path) -> str:
    """Return the last commit; with "+changes" where files differ from it."""
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no").strip()
    return _git(checkout, "rev-parse", "HEAD").strip() + ("+changes" if changed else "")


def _git(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{checkout} is not a git checkout, which a release is built from: {done.stderr.strip()}")
    return done.stdout
