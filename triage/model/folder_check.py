"""Checks of the files of a model folder against its card."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from triage.errors import StartError
from triage.model.onnx_file import NotOnnxError, has_external_data


class ModelRefusedError(StartError):
    """A model folder must not be used. The message has the folder and the reason; install or export it again."""


def check_list(folder: Path, key: str, name: str | None, expected: str | None) -> None:
    """Raise ModelRefusedError unless the list that the card names under ``key`` is in the folder, unchanged."""
    if not name:
        return
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ModelRefusedError(f"model folder {folder}: {key} must be a plain file name")
    check_digest(folder / name, expected or "")


def check_digest(path: Path, expected: str) -> bytes:
    """Return the content of a file whose SHA-256 must be ``expected``. Raises ModelRefusedError."""
    try:
        content = read_plain(path)
    except OSError as error:
        raise ModelRefusedError(f"{path} cannot be read: {error}") from error
    if (found := sha256(content).hexdigest()) != expected:
        raise ModelRefusedError(f"{path} is not the file that the card describes: sha256 {found}, card {expected}")
    return content


def read_plain(path: Path) -> bytes:
    """Return the content of a file. Raises OSError, also for a pipe or a device, which may have no end."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no file")
    return path.read_bytes()


def check_onnx(path: Path, content: bytes) -> None:
    """Raise ModelRefusedError unless ``content`` is an ONNX file with all of its weights."""
    try:
        if not has_external_data(content):
            return
    except NotOnnxError as error:
        raise ModelRefusedError(f"{path} is no ONNX file: {error}") from error
    raise ModelRefusedError(
        f"{path} has its weights in another file, which no digest of the card covers: save it as one file "
        "(onnx.save_model with save_as_external_data=False)"
    )
