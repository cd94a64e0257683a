"""The interface of a way to the people of a rota: mail, a chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from triage.errors import TriageError
from triage.paging.message import Page


class NotTakenError(TriageError):
    """A page was not taken, or it is not known: it is sent again. The text has no address and no text of the peer."""


@dataclass(frozen=True)
class Taken:
    """A route took a page. ``refused``: addresses that it was not taken for, and are to be corrected."""

    refused: int = 0


class Route(Protocol):
    """One way of one rota. Called from one thread."""

    @property
    def name(self) -> str:
        """The name in state, metrics and log: ``mail``, ``chat``."""

    def send(self, page: Page) -> Taken:
        """Send a page; at most some seconds. Raises NotTakenError."""

    def reach(self) -> None:
        """Connect, sign in and send nothing. Raises NotTakenError."""
