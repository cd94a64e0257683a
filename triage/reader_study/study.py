"""The folder of a study: its cases, its readers and their links. Only its owner may read it.

study.json              cases, readers with the tokens of their links, and the salt of orders and patients
answers/<reader>.jsonl  steps of the reader, one line each, on the disk before the page says "saved"
labels-<reader>.csv     made from the answers, as are labels.csv and unresolved.csv
.lock                   held while the study is served
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from triage.errors import StartError
from triage.reader_study.cases import ReaderCase, find_cases
from triage.runtime.durable import private_folder, write_durably

_VERSION = 1
_FILE = "study.json"
LOCK = ".lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class StudyError(StartError):
    """A study cannot be used as it is; the message says what to do."""


@dataclass(frozen=True)
class ReaderStudy:
    """A study. ``tokens``: the secret part of each reader's link, by reader."""

    folder: Path
    salt: str
    cases: tuple[ReaderCase, ...]
    tokens: Mapping[str, str]

    @property
    def readers(self) -> tuple[str, ...]:
        """The readers, in the order in which they were added."""
        return tuple(self.tokens)

    def answers(self, reader: str) -> Path:
        """Return the file of a reader's answers."""
        return self.folder / "answers" / f"{reader}.jsonl"

    def order(self, reader: str) -> tuple[int, ...]:
        """Return the positions in ``cases`` in the reader's order: shuffled, and always the same for a name."""
        # By digest and not by a random generator: the same on every machine and with every version of Python.
        return tuple(
            sorted(
                range(len(self.cases)),
                key=lambda case: sha256(f"{self.salt}/{reader}/{self.cases[case].image}".encode()).digest(),
            )
        )


def open_study(folder: Path) -> ReaderStudy:
    """Read the study in ``folder``. Raises StudyError if there is none."""
    try:
        record = json.loads((folder / _FILE).read_bytes())
    except FileNotFoundError:
        raise StudyError(f"{folder} has no study: start one with triage readers serve --cases") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{folder / _FILE} cannot be read: {error}") from error
    if record.get("version") != _VERSION:
        raise StudyError(f"{folder} is of version {record.get('version')}, this program reads version {_VERSION}")
    cases = tuple(ReaderCase.from_record(case) for case in record["cases"])
    return ReaderStudy(folder, record["salt"], cases, dict(record["readers"]))


def begin_or_resume(folder: Path, source: Path | None, readers: Iterable[str]) -> ReaderStudy:
    """Return the study in ``folder`` with ``readers`` added; begin it if there is none yet.

    Args:
        folder: Folder of the study.
        source: Cases of the study; None to resume it.
        readers: Names of the readers.

    Raises:
        StudyError: ``source`` has other cases than the study, or there are no readers.
        CasesError: The cases cannot be read.
    """
    if (folder / _FILE).exists():
        study = open_study(folder)
        if source is not None and [case.image for case in find_cases(source, study.salt)] != [
            case.image for case in study.cases
        ]:
            raise StudyError(
                f"{folder} was begun with other cases than {source} has: leave --cases out to go on, or choose another "
                "folder for another study"
            )
    elif source is None:
        raise StudyError(f"{folder} has no study yet: give its images with --cases")
    elif folder.exists() and any(entry.name != LOCK for entry in folder.iterdir()):
        raise StudyError(f"{folder} is neither empty nor a study: choose another folder")
    else:
        salt = secrets.token_hex(16)
        study = ReaderStudy(folder, salt, find_cases(source, salt), {})
    with_all = _with_readers(study, readers)
    if not with_all.tokens:
        raise StudyError("there are no readers: name them with --reader")
    _save(with_all)
    return with_all


def _with_readers(study: ReaderStudy, readers: Iterable[str]) -> ReaderStudy:
    tokens = dict(study.tokens)
    for reader in readers:
        if not _NAME.fullmatch(reader):
            raise StudyError(f"reader {reader!r}: use 1 to 32 letters, digits, dots, dashes and underscores")
        if reader not in tokens and reader.lower() in {known.lower() for known in tokens}:
            raise StudyError(f"reader {reader!r} differs from another one only in upper and lower case")
        tokens.setdefault(reader, secrets.token_urlsafe(16))
    return replace(study, tokens=tokens)


def _save(study: ReaderStudy) -> None:
    private_folder(study.folder)
    study.folder.chmod(0o700)  # a reader must not see the labels of another
    (study.folder / "answers").mkdir(mode=0o700, exist_ok=True)
    record = {
        "version": _VERSION,
        "salt": study.salt,
        "readers": dict(study.tokens),
        "cases": [case.to_record() for case in study.cases],
    }
    write_durably(study.folder / _FILE, json.dumps(record, indent=1) + "\n")
