"""Errors of a build."""

from __future__ import annotations

from triage.errors import TriageError


class ReleaseError(TriageError):
    """Raised where a product cannot be built. The message says what to put right."""
