"""The rules of the page of cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AdjudicationRules:
    """``blinded``: a judge is not shown the result first. ``reader_studies``: folders whose ties are judged."""

    blinded: bool = True
    reader_studies: tuple[Path, ...] = ()
