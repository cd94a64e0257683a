"""Safe redirects after signing in: to a page of this service and nowhere else."""

from __future__ import annotations

import re

_OWN = re.compile(r"/|/operations|/adjudication|/studies/[0-9.]{1,64}")


def own_page(path: str) -> str:
    """Return ``path`` if it is a page of this service, else the path of the list."""
    return path if _OWN.fullmatch(path) else "/"
