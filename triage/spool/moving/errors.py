"""Errors of a move."""

from triage.errors import TriageError


class MoveError(TriageError):
    """Two stores cannot be made equal; the message says what to do."""
