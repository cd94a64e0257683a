"""Every command that opens the store, while its database is away: one line for the person who must act, status 75."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.service import a_chest
from triage.cli import triage
from triage.commands.base import Invocation, run_program
from triage.errors import EXIT_TRY_AGAIN

STUDY = "1.2.826.0.1.3680043.8.498.1"
OPEN_IT = {
    "audit export": "",
    "canary": "",
    "channel": "ris",
    "clock": "",
    "dead-letters": "",
    "explain": STUDY,
    "hosts": "",
    "migrate": "",
    "feedback": "--out {new}/labels.csv",
    "model": "tiny-adult --disable",
    "models disable": "tiny-adult",
    "models enable": "tiny-adult",
    "models list": "",
    "models promote": "tiny-adult --reason better",
    "models retire": "tiny-adult --reason better",
    "paging": "",
    "recall": "--study " + STUDY,
    "shadow": "",
    "store bring-back": "",
    "store compare": "",
    "store migrate": "--from {old}",
    "store remove-keys": "--put-before 2026-01-01T00:00:00+00:00",
    "sweep": "--once",
    "user add": "ann --role reader",
    "user end-sessions": "",
    "user list": "",
    "user password": "ann",
    "user remove": "ann",
    "user role": "ann admin",
    "workitem release": f"{STUDY} --by ann --reason moved",
    "worklist": "",
}
"""Words that each needs, with ``{new}`` and ``{old}`` for a folder that is new and a spool that is there."""

WAIT = {"deliver", "listen", "reports", "up", "web", "work"}
"""Processes that last, and wait: tests/service/test_away_at_start.py."""

OTHERS = {
    "agreement",
    "backup",  # is made, and says that it knows nothing of both engines: tests/commands/test_backup.py
    "card",
    "check",  # says what is wrong of each part: tests/service/test_check_store.py
    "demo",  # has a spool of its own
    "healthcheck",
    "models check",
    "models import",
    "models known-answers",
    "models pointing-game",
    "models show",
    "predict",
    "readers labels",
    "readers serve",
    "restore",
    "send",
    "settings",
    "simulate",
    "test-destination",
    "validate",
}


def names(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands, those of groups with the group's."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    for name, each in command.commands.items():
        yield from names(each, (*path, name))


def test_every_command_is_known_here() -> None:
    assert set(names(triage)) == {*OPEN_IT, *WAIT, *OTHERS}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult")
    return folder


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Commands set up the logs of their process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def invocation(folder: Path, models: Path, port: int) -> Invocation:
    environment = {
        "TRIAGE_STORE_KIND": "postgres+s3",
        "TRIAGE_STORE_SCRATCH": str(folder / "scratch"),
        "TRIAGE_POSTGRES_HOST": "127.0.0.1",
        "TRIAGE_POSTGRES_PORT": str(port),
        "TRIAGE_POSTGRES_DATABASE": "radiology",
        "TRIAGE_POSTGRES_USER": "triage",
        "TRIAGE_POSTGRES_TLS": "false",
        "TRIAGE_S3_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "TRIAGE_S3_BUCKET": "radiographs",
        "TRIAGE_S3_ACCESS_KEY": "key",
        "TRIAGE_S3_SECRET_KEY": "secret",
        "TRIAGE_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "TRIAGE_MODELS_PATH": str(models),
        "TRIAGE_MODELS_ALLOW_DEMO": "true",
        "TRIAGE_SIGN_IN_METHOD": "users",
        "TRIAGE_PAGING_AFTER_MINUTES": "5",
        "TRIAGE_PAGING_CHAT_URL": "https://127.0.0.1:1/",
        "TRIAGE_PAGING_PAGE_URL": "https://triage.hospital.example",
        "TRIAGE_CHANNELS__HL7__RIS__HOST": "127.0.0.1",
        "TRIAGE_CHANNELS__HL7__RIS__PORT": "1",
        "TRIAGE_CHANNELS__HL7__RIS__ENABLED": "true",
    }
    return Invocation(None, None, environment)


@pytest.mark.parametrize("command", sorted(OPEN_IT))
def test_it_ends_with_one_line_that_names_the_database(
    command: str, tmp_path: Path, models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from triage.spool.spool import Spool

    port = free_port()
    Spool.open(tmp_path / "old").installation_uid()
    (tmp_path / "a.dcm").write_bytes(a_chest(1))
    words = OPEN_IT[command].format(new=tmp_path / "new", old=tmp_path / "old").split()
    with pytest.raises(SystemExit) as ended:
        run_program(triage, [*command.split(), *words], invocation(tmp_path, models, port))
    said = capfd.readouterr().err
    assert ended.value.code == EXIT_TRY_AGAIN, said
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith("Error: ") and f"postgresql://127.0.0.1:{port}/radiology" in last, said
    assert "cannot be reached" in last and "silent since" not in said
