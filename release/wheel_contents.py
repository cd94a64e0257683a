"""Contents of a wheel: its name, version, licence, and licence texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from hashlib import sha256
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

_LICENCE_TEXT = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|AUTHORS|THIRD[-_ ]?PARTY)", re.IGNORECASE)
_NO_TEXT = (".py", ".pyi", ".pyc", ".so", ".json")
_NOT_STATED = {"", "unknown"}


@dataclass(frozen=True)
class WheelContents:
    """One wheel: ``licence`` is an SPDX expression where ``is_spdx``, else the words of its authors."""

    file: str
    name: str
    version: str
    summary: str
    digest: str
    licence: str
    is_spdx: bool
    texts: dict[str, bytes]


def read_wheel(path: Path) -> WheelContents:
    """Read the wheel at ``path``; ``texts`` are its licence files by name, without that of its .dist-info folder.

    They are anywhere in the wheel: those of bundled libraries are often next to the libraries.
    """
    with ZipFile(path) as archive:
        (metadata,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        found = message_from_bytes(archive.read(metadata))
        own = metadata.removesuffix("METADATA")
        texts = {name.removeprefix(own): archive.read(name) for name in archive.namelist() if _is_licence(name)}
    expression = str(found.get("License-Expression", ""))
    return WheelContents(
        file=path.name,
        name=str(found["Name"]),
        version=str(found["Version"]),
        summary=str(found.get("Summary", "")),
        digest=sha256(path.read_bytes()).hexdigest(),
        licence=expression or _stated(found),
        is_spdx=bool(expression),
        texts=texts,
    )


def _is_licence(name: str) -> bool:
    return bool(_LICENCE_TEXT.match(PurePosixPath(name).name)) and not name.endswith(("/", *_NO_TEXT))


def _stated(metadata: Message) -> str:
    """Return the licence by the classifiers, else by the first line of the old field."""
    classifiers = [str(each) for each in metadata.get_all("Classifier", [])]
    names = [each.split(" :: ")[-1] for each in classifiers if each.startswith("License ::")]
    field = str(metadata.get("License", "")).strip().partition("\n")[0]
    return " / ".join(names) or ("" if field.lower() in _NOT_STATED else field)
