"""The folder of an imported model: written next to its place, and moved there when all of it is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from triage.errors import cause
from triage.model_import.errors import ImportRefusedError
from triage.runtime.durable import rename_file

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644
"""The service runs as another user, and there is nothing of a patient in a model."""


@contextmanager
def staged(models: Path, name: str, *, replacing: bool) -> Iterator[Path]:
    """Yield an empty folder ``name`` that becomes ``models/name`` after success, and is removed after an error.

    It lies one folder deeper than a model, where no process looks for models. Raises ImportRefusedError if there is a
    folder of that name and ``replacing`` is not set, or if ``models`` cannot be written.
    """
    final = models / name
    if final.exists() and not replacing:
        raise ImportRefusedError([f"{final} exists: give --replace, or --side-by-side for another version"])
    try:
        if not models.is_dir():
            models.mkdir(parents=True)
            models.chmod(_FOLDER_MODE)
        with TemporaryDirectory(prefix=".import-", dir=models) as work:
            folder = Path(work) / name
            folder.mkdir()
            yield folder
            _publish(folder, final, Path(work) / "before")
    except OSError as error:
        raise ImportRefusedError([f"{models} cannot be written: {cause(error)}"]) from error


def _publish(folder: Path, final: Path, before: Path) -> None:
    folder.chmod(_FOLDER_MODE)
    for file in folder.iterdir():
        file.chmod(_FILE_MODE)
    if final.exists():
        rename_file(final, before)
    rename_file(folder, final)
