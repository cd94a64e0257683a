"""What the lines of a thread are about just now: the association, the study, the object, the delivery.

A line has these fields whoever writes it, a library too. See docs/adr/0049.
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
    """Give the lines that this thread logs meanwhile these fields, beside those that they have already.

    Empty ones are left out. UIDs and names of ours only: nothing of a patient, and nothing as a peer sent it.
    """
    token = _ABOUT.set({**_ABOUT.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def fields_now() -> Mapping[str, str]:
    """The fields of this moment."""
    return _ABOUT.get()


def new_association() -> str:
    """A name for an association: 16 hex digits, by which all that came of it is found."""
    return uuid4().hex[:16]
