"""Libraries whose log lines quote values, and so patients, are kept out of the log."""

from __future__ import annotations

import logging

_TALKATIVE = ("pydicom", "highdicom")


def silence_libraries() -> None:
    """Called once in every process, before it reads anything of a patient's."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
