"""Libraries whose lines quote values, and so patients and strangers, are kept out of the log and of standard error."""

from __future__ import annotations

import logging

_TALKATIVE = ("pydicom", "pynetdicom", "highdicom", "py.warnings")


def silence_libraries() -> None:
    """Called once in every process, before it reads anything of a patient's."""
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
