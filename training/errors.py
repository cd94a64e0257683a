"""What a person has to put right before training can start or go on."""

from __future__ import annotations


class TrainingError(Exception):
    """The message says what is wrong and where: the row, the key or the file."""


class DivergedError(TrainingError):
    """The loss is no number any more."""
