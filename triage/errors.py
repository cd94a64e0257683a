"""The base of every error that this package raises, and the errors that end a process before it starts."""

EXIT_CANNOT_START = 78  # EX_CONFIG of sysexits.h: starting again will not help
"""Exit status of a process that a person has to put right before it can start."""

EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the same call may succeed later
"""Exit status where an engine of the store does not answer: nothing is wrong with the call or the settings."""

EXIT_LEAD_LOST = EXIT_TRY_AGAIN
"""Exit status of a process that led among all hosts, and in whose place another one leads now: to be started again."""


class TriageError(Exception):
    """Base of every error that ``triage`` raises on purpose. Its text is for the person who must act."""


class StartError(TriageError):
    """Something a person has to put right before the process can start; the message says what."""


class UnreachableError(TriageError):
    """The destination accepts no connection. It counts as no attempt of any message."""


def cause(error: BaseException) -> str:
    """Return the cause of ``error`` in words that hold no file name and no text of a peer.

    The operating system's text of an OSError, else the name of the class.
    """
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
