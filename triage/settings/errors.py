"""Errors of reading settings."""

from __future__ import annotations

from triage.errors import TriageError


class SettingsError(TriageError):
    """The settings cannot be used. The message names every wrong key, its file and line: correct it there."""


class SecretFileError(TriageError, ValueError):
    """A file that should hold a secret cannot be used. The message names the file and quotes nothing of it."""
