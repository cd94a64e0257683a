"""Errors of training and export; each message is for the person who runs the command."""

from __future__ import annotations

from triage.errors import TriageError


class TrainingError(TriageError):
    """Raised where a run cannot start or go on. The message names the row, the key or the file to put right."""


class DivergedError(TrainingError):
    """Raised where the loss or a score is not a finite number: lower ``optimizer.learning_rate``."""
