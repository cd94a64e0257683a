"""Files that hold one secret: a password, a key, an address with a password in it.

The one reader of them, whichever setting names the file: ``…_file`` of a secret, ``redis.password_file``,
``oidc.client_secret_file``, or a credential of systemd.
"""

from __future__ import annotations

from pathlib import Path

from triage.errors import cause
from triage.settings.errors import SecretFileError

LARGEST_BYTES = 64 << 10


def read_secret(file: Path) -> str:
    """Return the only line of ``file`` (UTF-8, at most ``LARGEST_BYTES``) without its line end.

    Raises SecretFileError.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise SecretFileError(f"{file} cannot be read: {cause(error)}") from error
    if len(content) > LARGEST_BYTES:
        raise SecretFileError(f"{file} is too long: a secret has at most {LARGEST_BYTES} bytes")
    try:
        secret = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SecretFileError(f"{file} is not UTF-8 text") from error
    if not secret:
        raise SecretFileError(f"{file} is empty: write the secret into it, on one line")
    if "\n" in secret:
        raise SecretFileError(f"{file} has more than one line: write the secret alone into it")
    return secret
