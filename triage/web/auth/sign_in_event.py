"""One attempt to sign in, as the metric, the log and the audit trail record it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from triage.metrics.labels import SignInOutcome


@dataclass(frozen=True)
class SignInEvent:
    """Claimed name, address and outcome of an attempt; ``subject`` is the identity provider's own name for the user."""

    name: str
    address: str
    outcome: SignInOutcome
    subject: str = ""


SignInRecorder = Callable[[SignInEvent], None]
"""Records an attempt. May wait for the disk."""
