"""Libraries whose lines quote values, and so patients and strangers, are kept out of the log and of standard error."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

_TALKATIVE = ("pydicom", "pynetdicom", "highdicom", "py.warnings")
_NAMED_BY_FILE = ("hl7", ("containers", "util"))  # its loggers have the names of these files


def silence_libraries() -> None:
    """Called once in every process, before it reads anything of a peer's or a patient's."""
    logging.captureWarnings(True)
    for name in (*_TALKATIVE, *_files(*_NAMED_BY_FILE)):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _files(package: str, modules: tuple[str, ...]) -> list[str]:
    """The files of modules, without loading them."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    return [str(Path(spec.origin).with_name(f"{module}.py")) for module in modules]
