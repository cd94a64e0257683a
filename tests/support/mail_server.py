"""A real SMTP server (aiosmtpd) on a free port of 127.0.0.1, with TLS in each way, and what it can do wrong."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.support.ports import free_port

USER, PASSWORD = "triage", "a word for the mail server"


@dataclass
class Mailbox:
    """What arrived. ``refused``: addresses that get 550; ``answer``: the answer to DATA; ``holds``: it never comes."""

    port: int = 0
    arrived: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    answer: str = "250 taken"
    holds: bool = False

    @property
    def messages(self) -> list[EmailMessage]:
        return [each for _, _, each in self.arrived]

    @property
    def texts(self) -> list[str]:
        return [each.get_content() for each in self.messages]

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.holds:
            await asyncio.sleep(3600)
        if self.answer.startswith("2"):
            message = message_from_bytes(envelope.content, policy=default)
            assert isinstance(message, EmailMessage)
            self.arrived.append((envelope.mail_from, list(envelope.rcpt_tos), message))
            self.secured.append(server.transport.get_extra_info("ssl_object") is not None)
        return self.answer


def _signs_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, way: str = "starttls", *, signs_in: bool = False
) -> Iterator[Mailbox]:
    """A server. ``way``: starttls, implicit, none, or ``plain``, which offers no TLS."""
    mailbox = Mailbox(free_port())
    options: dict[str, Any] = {"ident": "a mail server of a test"}
    if way == "starttls":
        options |= {"tls_context": tls, "require_starttls": True}
    if way == "implicit":
        options["ssl_context"] = tls
    if signs_in:
        options |= {"authenticator": _signs_in, "auth_required": True, "auth_require_tls": way == "starttls"}
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
