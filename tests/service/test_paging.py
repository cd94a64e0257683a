"""Paging in real processes: from the worker's mark to the page, kill -9 at named points, and what its commands say."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Never

import pytest
from click.testing import CliRunner

from tests.support.mail_server import Mailbox, mail_server
from tests.support.ports import free_port
from tests.support.service import Roles, roles
from tests.support.studies import a_study
from tests.support.wait import wait_for
from triage.cli import triage
from triage.paging.store import PagingFiles
from triage.service.scorers import _mark
from triage.service.supervisor import build
from triage.settings.load import load

DYING = [sys.executable, "-m", "tests.support.kill_at"]


@pytest.fixture(scope="module")
def server() -> Iterator[Mailbox]:
    with mail_server(None, "plain") as box:
        yield box


@pytest.fixture
def running(tmp_path: Path, server: Mailbox) -> Iterator[Roles]:
    server.arrived.clear()
    settings = {
        "paging_after_minutes": "0.0001",
        "paging_repeat_minutes": "600",
        "paging_mail_to": "rota@hospital.example",
        "smtp_host": "127.0.0.1",
        "smtp_port": str(server.port),
        "smtp_tls": "none",
        "smtp_sender": "triage@hospital.example",
        "deliver_metrics_port": "0",
    }
    with roles(tmp_path, "", tmp_path, **settings) as found:
        yield found


def test_a_process_that_is_killed_after_sending_sends_once_more_and_says_so(running: Roles, server: Mailbox) -> None:
    uid = a_study(running.spool)
    files = PagingFiles(running.spool)
    files.mark(uid)
    dying = running.start("after", "triage.paging.mail:MailRoute.send", "deliver", command=DYING)
    assert dying.wait() == -signal.SIGKILL
    again = running.start("deliver")
    wait_for(lambda: (status := files.status()) and status.paged == 1 and not status.undelivered, "the page")
    assert again.terminate() == 0
    assert len(server.messages) == 2
    assert len({each["Message-ID"] for each in server.messages}) == 1
    assert ["you may have it already" in each for each in server.texts] == [False, True]


def test_the_commands_say_what_is_wrong_and_send_a_test(running: Roles, server: Mailbox) -> None:
    def said(*arguments: str, **settings: str) -> tuple[int, str]:
        ended = CliRunner().invoke(triage, arguments, env={**running.environment(), **settings})
        return ended.exit_code, ended.output

    assert said("paging", "--test", "reading") == (0, "mail: taken\n")
    assert [each["Subject"][:6] for each in server.messages] == ["TEST: "]
    assert said("paging") == (1, "ALARM: Paging is switched on and does not run: no page is sent.\n")
    code, text = said("paging", "--test", "quiet")
    assert code == 1 and "the quiet rota has no address" in text
    code, text = said("paging", "--test", "reading", TRIAGE_SMTP_PORT=str(free_port()))
    assert code == 1 and "mail: not taken: the mail server cannot be reached" in text
    assert said("paging", TRIAGE_PAGING_AFTER_MINUTES="0") == (0, "paging is switched off (paging.after_minutes)\n")


def test_a_worker_marks_what_it_decides(tmp_path: Path, running: Roles) -> None:
    settings = load(None, running.environment())
    _mark(settings, running.spool)("1.2.3")
    assert PagingFiles(running.spool).marked() == ["1.2.3"]
    off = load(None, {**running.environment(), "TRIAGE_PAGING_AFTER_MINUTES": "0"})
    _mark(off, running.spool)("1.2.4")
    assert PagingFiles(running.spool).marked() == ["1.2.3"]


def test_up_starts_what_pages_although_there_is_no_destination(running: Roles) -> None:
    environment = {**running.environment(), "TRIAGE_REDIS_URL": "redis://127.0.0.1:1"}

    def started(**more: str) -> set[str]:
        return {each.name for each in build(load(None, {**environment, **more}), {}, _not_started).workers}

    assert "deliver 0" in started()
    assert "deliver 0" not in started(TRIAGE_PAGING_AFTER_MINUTES="0")


def _not_started(environment: Mapping[str, str], arguments: list[str]) -> Never:
    raise AssertionError(f"{arguments} was started")
