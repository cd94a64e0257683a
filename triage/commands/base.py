"""Parts that commands share: their arguments, and the errors that end them with one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from triage.errors import EXIT_CANNOT_START, EXIT_TRY_AGAIN, StartError, TriageError
from triage.runtime.extras import what_to_install
from triage.runtime.logs import form_in_force, set_up_logs
from triage.settings.load import Loaded, SettingsError, load_located, named_source
from triage.settings.schema import Settings
from triage.settings.sources.files import settings_file, settings_files
from triage.spool.errors import SpoolError, engine_away, engine_words, is_of_engine

if TYPE_CHECKING:
    from triage.security.audit_trail import AuditTrail
    from triage.service.health import MetricsAddress
    from triage.settings.sections.web import WebSettings
    from triage.spool.store import Store


logger = logging.getLogger(__name__)


class CannotStart(click.ClickException):
    """Something that a person has to put right before the process can start. Names the settings file."""

    exit_code = EXIT_CANNOT_START

    def __init__(self, message: str) -> None:
        context = click.get_current_context(silent=True)
        invocation = context.find_object(Invocation) if context is not None else None
        named = invocation.source() if invocation is not None else ""
        super().__init__(f"{message} [settings: {named}]" if named else message)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, as a line of JSON where logs are JSON."""
        if form_in_force()[0] == "json":
            logger.critical("%s", self.message)
        else:
            super().show(file)


class TryAgain(click.ClickException):
    """The error of a command whose cause is an engine of the store that does not answer: the same call may succeed."""

    exit_code = EXIT_TRY_AGAIN

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.message)
        self._error = error

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message as the error itself does."""
        self._error.show(file)


@dataclass(frozen=True)
class Invocation:
    """The call of ``triage``: the settings file, the data folder, and the environment that both may come from."""

    config: Path | None
    data: Path | None
    environment: Mapping[str, str]

    def settings(self, process: str = "") -> Settings:
        """Return the settings in force and set up logging by them. Raises CannotStart if they are wrong.

        A ``process`` that is to last logs where they are from.
        """
        try:
            loaded = self.load()
        except CannotStart:
            if process and self.environment.get("TRIAGE_LOG_FORMAT") == "json":  # the settings cannot say it
                set_up_logs("INFO", "json", process)
            raise
        log = loaded.settings.log
        set_up_logs(log.level, log.format if process else "lines", process)
        for note in loaded.notes:
            logger.warning("%s", note)
        if process:
            logger.info("%s: settings from %s; data in %s", process, loaded.source, loaded.data)
        return loaded.settings

    def load(self) -> Loaded:
        """Return the settings in force and their origin. Raises CannotStart if they are wrong."""
        try:
            return load_located(self.config, self.environment, Path.cwd())
        except SettingsError as error:
            raise CannotStart(str(error)) from error

    def source(self) -> str:
        """Return the origin of the settings in words; empty if it is unknown."""
        try:
            return named_source(tuple(settings_files(settings_file(self.config, self.environment, Path.cwd()))))
        except (SettingsError, OSError):
            return ""


def run_program(program: click.Command, words: list[str] | None = None, invocation: Invocation | None = None) -> None:
    """Run ``triage`` with ``words`` (None: of the command line). An error ends it with the cause as the last line.

    Status 75 where an engine of the store does not answer, 78 where a person has to put something right before it can
    start (a package of an extra is missing, or a ``StartError``), 1 for any other ``TriageError``.
    """
    try:
        program(words, obj=invocation)
    except OSError as error:
        if not is_of_engine(error):
            raise
        _end(engine_words(error), status_of(error, 1))
    except ModuleNotFoundError as error:
        lacking = what_to_install(error, "this command")
        if lacking is None:
            raise
        _end(lacking, EXIT_CANNOT_START)
    except TriageError as error:
        status = EXIT_CANNOT_START if isinstance(error, StartError) else 1
        _end(str(error) or type(error).__name__, status_of(error, status))


def status_of(error: BaseException, otherwise: int) -> int:
    """Return the exit status for an error: 75 if its cause is an engine of the store that does not answer."""
    return otherwise if engine_away(error) is None else EXIT_TRY_AGAIN


def run_role(context: click.Context, invocation: Invocation) -> Callable[[Mapping[str, str], list[str]], None]:
    """Return a function that runs another command of the same program with the same settings, in an environment."""
    program = context.find_root().command

    def run(environment: Mapping[str, str], words: list[str]) -> None:
        run_program(program, words, replace(invocation, environment=environment))

    return run


def _end(cause: str, status: int) -> NoReturn:
    sys.stderr.write(f"Error: {cause}\n")
    sys.exit(status)


PATH = click.Path(path_type=Path)
"""Type of an option whose file is checked by its reader, which knows its purpose."""


_LONGEST_WORDS = 300


def one_line(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return a person's words for a record, without spaces around them. Raises BadParameter unless they say something.

    For an option's ``callback``.
    """
    words = value.strip()
    if not words or len(words) > _LONGEST_WORDS or not words.isprintable():
        raise click.BadParameter(f"takes one line, of 1 to {_LONGEST_WORDS} characters")
    return words


given = click.make_pass_decorator(Invocation)
"""Passes the Invocation to a command as its first argument."""

index_option = click.option("--index", default=0, hidden=True, help="Which of several processes of its kind this is.")


def open_spool(settings: Settings) -> Store:
    """Open the spool of the settings, made if it is not there. Raises CannotStart."""
    from triage.service.store import store_address
    from triage.spool.open_store import open_store

    with _opening():
        return open_store(store_address(settings))


def open_when_there(settings: Settings, process: str, address: MetricsAddress | WebSettings, index: int = 0) -> Store:
    """Open the spool for a process that lasts, which waits for a database that is away. Raises CannotStart.

    Ends the process with status 0 if it is told to stop while it waits.
    """
    from triage.service.waiting import opened_store

    with _opening():
        found = opened_store(settings, process, address, index)
    if found is None:
        sys.exit(0)
    return found


@contextmanager
def _opening() -> Iterator[None]:
    try:
        yield
    except (SpoolError, OSError) as error:
        raise CannotStart(engine_words(error) if is_of_engine(error) else str(error)) from error


def redis_url(settings: Settings) -> str:
    """Return Redis's address: of the settings, else of the embedded one. Raises CannotStart if there is none."""
    from triage.service.embedded_redis import embedded_url
    from triage.service.redis_address import address_of

    try:
        return address_of(settings.redis) or embedded_url(settings.redis.socket_path)
    except StartError as error:
        raise CannotStart(str(error)) from error


@contextmanager
def start_errors() -> Iterator[None]:
    """Turn StartError into CannotStart: one line instead of a traceback."""
    try:
        yield
    except StartError as error:
        raise CannotStart(str(error)) from error


@contextmanager
def plain_start_errors() -> Iterator[None]:
    """Turn StartError into its text alone, with the same status: of files that no setting names."""
    try:
        yield
    except StartError as error:
        raise _PlainError(str(error)) from error


class _PlainError(click.ClickException):
    """The text of a StartError, without the settings file, which does not name what is wrong."""

    exit_code = EXIT_CANNOT_START


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn an error of Redis into one line."""
    from redis.exceptions import RedisError

    try:
        yield
    except RedisError as error:
        raise click.ClickException(f"Redis does not answer ({error}): is the service running?") from error


def audit(
    settings: Settings,
    process: str,
    record: Callable[[AuditTrail], object],
    undo: Callable[[], object] | None = None,
    *,
    done: bool = False,
) -> None:
    """Call ``record`` with the audit trail, if the settings ask for one.

    If it cannot be written, nothing is done; or what was ``done`` is undone by ``undo``, and the error says which.
    """
    if not (settings.sign_in.method or settings.audit.always):
        return
    from triage.security.audit_trail import AuditError
    from triage.service.access import audit_sink, trail_for

    try:
        record(trail_for(settings, process))
    except AuditError as error:
        if undo is not None:
            undo()
        what = "it is done, but that" if done and undo is None else "it is not done, because it"
        place = audit_sink(settings, process).name
        raise click.ClickException(f"{what} could not be written to the audit trail {place}: {error}") from error


def write_or_print(text: str, out: Path | None) -> None:
    """Write a page into the file ``out``, in folders made for it, or to standard output."""
    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
