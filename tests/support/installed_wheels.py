"""Our wheels in a fresh environment, outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path


def install(wheels: Sequence[Path], folder: Path, *, without: Sequence[str] = ()) -> Path:
    """Install ``wheels`` alone into a fresh environment in ``folder``; the folder of its scripts.

    The packages that they need are those of the environment that runs the tests; imports of ``without`` fail as if the
    package were not there.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *options, *wheels], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    # As a line of a .pth, the folder is searched last and its own .pth files, an editable checkout's, are not read.
    (packages / "needed.pth").write_text("\n".join(needed()) + "\n")
    if without:
        (packages / "without.pth").write_text(f"import sys; sys.modules.update(dict.fromkeys({tuple(without)!r}))\n")
    return folder / "bin"


def needed() -> list[str]:
    """Where this environment's packages lie: its own folder, and what that leads to."""
    return [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_path("purelib")]


def bare_environment(**more: str) -> dict[str, str]:
    """Our environment's variables without any of triage's or Python's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIAGE_", "PYTHON"))}
    return kept | more
