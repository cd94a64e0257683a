"""Shares: numbers from 0 to 1, some of which have to add up to 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0, le=1)]

_ROUNDING = 1e-6  # of sums of shares that were typed as decimals


def fault_of_sum(description: str, shares: Iterable[float]) -> str | None:
    """Return what is wrong with shares that do not add up to 1."""
    total = sum(shares)
    return None if abs(total - 1) <= _ROUNDING else f"{description} must add up to 1, not {total:g}"
