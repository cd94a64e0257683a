"""Fields of the log lines of a thread: association, study, object, delivery.

Each line has them, those of libraries too. See docs/adr/0049.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from uuid import uuid4

_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Add fields to the log lines of this thread within the context.

    Empty ones are left out. Only UIDs and our own names: no patient data, and no text of a peer.
    """
    token = _ABOUT.set({**_ABOUT.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def fields_now() -> Mapping[str, str]:
    """Return the current fields."""
    return _ABOUT.get()


def new_association() -> str:
    """Return a new name of an association, 16 hex digits, by which its log lines and results are found."""
    return uuid4().hex[:16]
