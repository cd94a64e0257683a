"""Pages by mail, to a real server."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from tests.support.certificates import Authority, authority, server_context
from tests.support.mail_server import PASSWORD, USER, mail_server
from tests.support.ports import free_port
from tests.support.receivers import silent_port
from triage.dicom.tls import ClientTLS
from triage.paging.mail import MailRoute, MailServer, Security
from triage.paging.message import Page
from triage.paging.route import NotTakenError

# aiosmtpd does not know that its connection is secure where it is so from the start.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
ROTA = ("one@hospital.example", "two@hospital.example")
PAGE = Page("abc", 2, "a title", "Ünïcode text\n.\nof a page", {})


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = authority(tmp_path_factory.mktemp("ca"))
    made.certificate("mail")
    return made


def route(port: int, security: Security, ca: Path | None, timeout_s: float = 5.0, **more: str) -> MailRoute:
    server = MailServer("127.0.0.1", port, security, ClientTLS("127.0.0.1", ca), timeout_s, **more)
    return MailRoute(server, "triage@hospital.example", ROTA)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_a_page_arrives_over_tls_at_the_rota_alone(ours: Authority, security: Security):
    tls = server_context(ours.certificate("mail"))
    with mail_server(tls, security, signs_in=True) as box:
        taken = route(box.port, security, ours.path, user=USER, password=PASSWORD).send(PAGE)
    ((sender, to, message),) = box.arrived
    assert (taken.refused, sender, to, box.secured) == (0, "triage@hospital.example", list(ROTA), [True])
    assert message["Message-ID"] == "<abc.2@hospital.example>"
    assert message["In-Reply-To"] == "<abc.1@hospital.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().replace("\r\n", "\n") == PAGE.text + "\n"


def test_some_or_all_addresses_may_be_refused(ours: Authority):
    tls = server_context(ours.certificate("mail"))
    with mail_server(tls) as box:
        box.refused = {ROTA[0]}
        assert route(box.port, "starttls", ours.path).send(PAGE).refused == 1
        assert box.arrived[0][1] == [ROTA[1]]
        box.refused = set(ROTA)
        with pytest.raises(NotTakenError, match=r"every address of the rota .SMTP 550"):
            route(box.port, "starttls", ours.path).send(PAGE)


def test_what_the_server_refuses_is_said_and_nothing_goes_without_tls(ours: Authority, tmp_path: Path):
    tls = server_context(ours.certificate("mail"))
    with mail_server(None, "plain") as box:
        with pytest.raises(NotTakenError, match="no STARTTLS"):
            route(box.port, "starttls", ours.path).send(PAGE)
        with pytest.raises(NotTakenError, match="TLS"):
            route(box.port, "implicit", ours.path).send(PAGE)
        assert box.arrived == []
        assert route(box.port, "none", None).send(PAGE).refused == 0
    with mail_server(tls, signs_in=True) as box:
        with pytest.raises(NotTakenError, match="certificate is signed by no authority"):
            route(box.port, "starttls", authority(tmp_path).path).send(PAGE)
        with pytest.raises(NotTakenError, match=r"user and its password .SMTP 535"):
            route(box.port, "starttls", ours.path, user=USER, password="wrong").send(PAGE)
        box.answer = "451 later"
        with pytest.raises(NotTakenError, match="SMTP 451"):
            route(box.port, "starttls", ours.path, user=USER, password=PASSWORD).send(PAGE)
    with pytest.raises(NotTakenError, match="cannot be reached: Connection refused"):
        route(free_port(), "starttls", ours.path).send(PAGE)


@pytest.mark.parametrize("where", ["greeting", "drip", "handshake", "data"])
def test_a_server_that_hangs_is_left_in_time(ours: Authority, where: str):
    began = time.monotonic()
    with pytest.raises(NotTakenError, match=r"did not finish within 1 s|not answer in time"):
        if where == "data":
            with mail_server(server_context(ours.certificate("mail"))) as box:
                box.holds = True
                route(box.port, "starttls", ours.path, 1.0).send(PAGE)
        elif where == "drip":
            with dripping() as port:
                route(port, "starttls", ours.path, 1.0).send(PAGE)
        else:
            with silent_port() as port:
                route(port, "implicit" if where == "handshake" else "starttls", ours.path, 1.0).send(PAGE)
    assert time.monotonic() - began < 20


class dripping:  # noqa: N801
    """A server whose greeting never ends: a byte every tenth of a second."""

    def __enter__(self) -> int:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()
        return int(self._listening.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._listening.close()

    def _drip(self) -> None:
        with self._listening.accept()[0] as client:
            while not self._over.wait(0.1):
                try:
                    client.send(b"2")
                except OSError:
                    return
