"""Libraries whose lines quote values, and so patients and strangers, are kept out of the log and of standard error."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

logger = logging.getLogger(__name__)

_TALKATIVE = ("pydicom", "pynetdicom", "highdicom")
_NAMED_BY_FILE = ("hl7", ("containers", "util"))  # its loggers have the names of these files


def silence_libraries() -> None:
    """Called once in every process, before it reads anything of a peer's or a patient's."""
    warnings.showwarning = _note_warning
    for name in (*_TALKATIVE, *_files(*_NAMED_BY_FILE)):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _files(package: str, modules: tuple[str, ...]) -> list[str]:
    """The files of modules, without loading them."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    return [str(Path(spec.origin).with_name(f"{module}.py")) for module in modules]


def _note_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning by its kind and place alone: its text may quote a patient. Nobody but who debugs can act on it."""
    logger.debug("%s at %s, line %d", category.__name__, Path(filename).name, lineno)
