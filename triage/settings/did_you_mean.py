"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(typed: str, known: Iterable[str], prefix: str = "") -> str:
    """Return ``: did you mean …?`` with the nearest of the ``known`` names, or nothing where none is near.

    ``prefix`` is written before the suggested name; it is not compared.
    """
    near = get_close_matches(typed, list(known), n=1, cutoff=0.65)
    return f": did you mean {prefix}{near[0]}?" if near else ""
