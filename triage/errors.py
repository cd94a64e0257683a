"""Errors that keep a process from starting."""

EXIT_CANNOT_START = 78  # EX_CONFIG of sysexits.h: starting again will not help
"""Exit status of a process that a person has to put right before it can start."""


class StartError(Exception):
    """Something a person has to put right before the process can start; the message says what."""
