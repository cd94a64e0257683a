"""The checkout that the program runs from, if there is one."""

from __future__ import annotations

from pathlib import Path


def checkout() -> Path | None:
    """Return the folder of the checkout, None if the program is installed."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() and (folder / "models").is_dir() else None
