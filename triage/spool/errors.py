"""Errors of the spool."""

from triage.errors import TriageError


class SpoolError(TriageError):
    """The spool cannot be used as it is; the message says what to do."""


class LayoutError(SpoolError):
    """The layout of a spool cannot be read, or this program must not use it."""
