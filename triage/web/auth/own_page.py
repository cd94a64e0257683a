"""Where to go after signing in: a page of ours, and nothing else."""

from __future__ import annotations

import re

_OWN = re.compile(r"/|/operations|/studies/[0-9.]{1,64}")


def own_page(path: str) -> str:
    """``path``, if it is one of our pages; else the list."""
    return path if _OWN.fullmatch(path) else "/"
