"""The error for what is not there, as the rooms know it from files."""

from __future__ import annotations

import errno


def missing(text: str) -> FileNotFoundError:
    """Return the FileNotFoundError with a text of ours."""
    return FileNotFoundError(errno.ENOENT, text)
