"""Log lines of libraries that quote values, and so patient data, are kept out of the log and of standard error."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

logger = logging.getLogger(__name__)

_QUOTING = ("pydicom", "pynetdicom", "highdicom")
_TALKATIVE = ("alembic", "sqlalchemy")  # each step of opening the shared store; a statement's values, if told to
_NAMED_BY_FILE = ("hl7", ("containers", "util"))  # its loggers have the names of these files


def silence_libraries() -> None:
    """Silence the libraries. Called once in every process, before it reads data of a peer or a patient."""
    warnings.showwarning = _log_warning
    for name in (*_QUOTING, *_files(*_NAMED_BY_FILE)):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _files(package: str, modules: tuple[str, ...]) -> list[str]:
    """Return the files of modules, without loading them."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    return [str(Path(spec.origin).with_name(f"{module}.py")) for module in modules]


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning by its class and place alone, for debugging: its text may quote patient data."""
    logger.debug("%s at %s, line %d", category.__name__, Path(filename).name, lineno)
