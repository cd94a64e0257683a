"""``triage backup``: all that the service keeps, while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from triage.commands.base import PATH, CannotStart, Invocation, given
from triage.commands.engines.state import noted_state, tell_state
from triage.settings.schema import Settings

if TYPE_CHECKING:
    from triage.backup.archive import Archive
    from triage.backup.item import BackupSource
    from triage.backup.make import MadeBackup
    from triage.settings.load import Loaded
    from triage.spool.comparing.engine_state import EngineState


@click.command()
@click.argument("folder", type=PATH)
@click.option("--verify", is_flag=True, help="Make none: read the last backup, and compare each digest and count.")
@click.option("--keep", type=click.IntRange(min=0), default=0, show_default=True, help="How many to keep; 0: all.")
@given
def backup(invocation: Invocation, folder: Path, verify: bool, keep: int) -> None:
    """Back up spool, users, audit trail, settings, models and their operating points into FOLDER, while work goes on.

    A further backup into the same FOLDER copies only what is new. FOLDER then holds patients' data: encrypt its
    disk. --keep removes older backups; --verify makes none and checks the last one. Of a store in PostgreSQL and S3,
    which have backups of their own, the state of both is noted, and what would keep them from being restored to one
    time is said; status 1 if rows have no objects, or an engine does not answer.
    """
    from triage.backup.archive import Archive
    from triage.backup.manifest import BackupError

    try:
        if verify:
            _verify(Archive(folder))
        else:
            loaded, settings = invocation.load(), invocation.settings()
            state = noted_state(settings)
            _tell(_make(settings, loaded.files, folder, keep, state), _not_in_it(loaded))
            tell_state(settings, state)
    except BackupError as error:
        raise click.ClickException(str(error)) from error


def _make(settings: Settings, files: Sequence[Path], folder: Path, keep: int, state: EngineState | None) -> MadeBackup:
    from importlib.metadata import version

    from triage.backup.archive import Archive
    from triage.backup.make import make

    place, spool = folder.absolute().resolve(), settings.spool.path.absolute().resolve()
    if settings.store.kind == "files" and (place.is_relative_to(spool) or spool.is_relative_to(place)):
        raise CannotStart(f"{folder} and the spool {settings.spool.path} lie in each other: choose another folder")
    engines = state.record() if state is not None else None
    return make(_sources(settings, files), Archive(folder), version("cxr-triage"), keep, time.time, engines)


def _sources(settings: Settings, files: Sequence[Path]) -> list[BackupSource]:
    """Return the sources of a backup in the order in which they have to be read: the audit trail last."""
    from triage.backup.file_sources import AuditTrailSource, FileSource, FolderSource
    from triage.errors import StartError
    from triage.model.installed import models_folder

    sources: list[BackupSource] = [*_store(settings)]
    if settings.store.kind == "files":
        sources.append(FileSource(settings.sign_in.users_file, "users.json"))
    sources += [FileSource(each, place) for each, place in zip(files, _places(files), strict=True)]
    if (points := settings.models.operating_points) is not None:
        sources.append(FileSource(points, f"operating-points{points.suffix}"))
    try:
        sources.append(FolderSource(models_folder(settings.models.path), "models"))
    except StartError as error:
        click.echo(f"without models: {error}", err=True)
    return [*sources, AuditTrailSource(settings.audit.path, "audit")]


def _store(settings: Settings) -> Iterator[BackupSource]:
    """The spool, if that is the store: the engines of another have backups of their own."""
    from triage.backup.spool_source import spool_source
    from triage.spool.open_store import store_at

    if settings.store.kind != "files":
        return
    path = settings.spool.path.absolute()
    if not store_at(path).exists():
        raise CannotStart(f"{settings.spool.path} is no spool that can be read: nothing to back up")
    yield spool_source(path)


def _places(files: Sequence[Path]) -> list[str]:
    """The names of the settings files in a backup: the main one, and behind it those of ``conf.d``."""
    return ["triage.toml" if number == 0 else f"conf.d/{each.name}" for number, each in enumerate(files)]


def _not_in_it(loaded: Loaded) -> list[str]:
    """Files that settings name and no backup has: certificates, keys and secrets."""
    elsewhere = loaded.settings.model_dump(exclude={"data", "spool", "audit", "models"})
    return sorted({*_files_of(elsewhere), *map(str, loaded.secret_files)})


def _files_of(values: object) -> Iterator[str]:
    if isinstance(values, Path):
        yield from [str(values)] if values.is_file() else []
    elif isinstance(values, Mapping):
        for key, each in values.items():
            yield from _files_of(each) if key != "users_file" else ()
    elif isinstance(values, tuple | list):
        for each in values:
            yield from _files_of(each)


def _tell(made: MadeBackup, not_in_it: Sequence[str]) -> None:
    for kind, count in made.manifest.counts.items():
        click.echo(f"{count:8d}  {kind}")
    if not_in_it:
        click.echo(f"not in it, as certificates, keys and secrets are to be kept apart: {', '.join(not_in_it)}")
    click.echo(f"backup {made.name} is whole: {made.copied} contents were new, {made.removed} older backups removed")
    if made.manifest.left_out:
        raise click.ClickException("not in it, because it cannot be read:\n" + "\n".join(made.manifest.left_out))


def _verify(archive: Archive) -> None:
    from triage.backup.manifest import BackupError

    manifest = archive.manifest()
    if faults := [*archive.faults(), *(f"{each} (when it was made)" for each in manifest.left_out)]:
        raise BackupError("the last backup is damaged, make another one into another folder:\n" + "\n".join(faults))
    click.echo(f"backup {archive.names()[-1]} is whole: {sum(manifest.counts.values())} files, each with its digest")
