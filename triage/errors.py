"""Errors that keep a process from starting, and those of a peer that cannot be reached."""

EXIT_CANNOT_START = 78  # EX_CONFIG of sysexits.h: starting again will not help
"""Exit status of a process that a person has to put right before it can start."""


class StartError(Exception):
    """Something a person has to put right before the process can start; the message says what."""


class UnreachableError(Exception):
    """The destination does not let us speak to it at all: no message's fault, and no message's attempt."""
