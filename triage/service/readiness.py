"""Readiness and metrics ports of the processes."""

from __future__ import annotations


def ready_after(moments: list[float], doing: str) -> tuple[bool, str]:
    return bool(moments), doing if moments else "starting"


def nth_port(first: int, index: int) -> int:
    return first + index if first else 0
