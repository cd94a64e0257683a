"""Pages by mail (SMTP, RFC 5321), over TLS from the start (RFC 8314) or by STARTTLS (RFC 3207), never without."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from email.utils import formatdate
from typing import Literal

from triage.dicom.tls import ClientTLS, explain
from triage.errors import cause
from triage.paging.message import Page
from triage.paging.route import NotTakenError, Taken
from triage.runtime.deadline import broken_off_after

Security = Literal["starttls", "implicit", "none"]


@dataclass(frozen=True)
class MailServer:
    """The site's mail server. ``timeout_s``: for all of one message. ``security`` ``none`` is for loopback alone."""

    host: str
    port: int
    security: Security
    tls: ClientTLS
    timeout_s: float
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class MailRoute:
    """Mail to the addresses of a rota, which come from the settings alone, from ``sender``."""

    server: MailServer
    sender: str
    to: tuple[str, ...]
    name: str = "mail"

    def send(self, page: Page) -> Taken:
        """Send a page to all addresses in one message; see ``Route``."""
        with _connected(self.server) as client:
            refused = client.send_message(_message(page, self.sender, self.to), self.sender, list(self.to))
        return Taken(len(refused))

    def reach(self) -> None:
        """Connect and sign in; see ``Route``."""
        with _connected(self.server) as client:
            client.noop()


def _message(page: Page, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """Return the message. Its ID is that of the page, so that a second copy of one page is known as such."""
    domain = sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP_LINES)
    message["From"], message["To"], message["Subject"] = sender, ", ".join(to), page.title
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = f"<{page.identity}.{page.number}@{domain}>"
    if page.number > 1:
        message["In-Reply-To"] = message["References"] = f"<{page.identity}.1@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic answer
    message["X-Priority"], message["Importance"] = "1", "high"
    message.set_content(page.text, cte="quoted-printable")
    return message


class _Client(smtplib.SMTP):
    """The client of smtplib with a socket that can be shut down during each handshake."""

    def __init__(self, server: MailServer) -> None:
        self.socket: socket.socket | None = None
        self._server = server
        # Not the resolver's name for this machine: asking for it may take longer than any deadline.
        super().__init__(local_hostname=socket.gethostname(), timeout=server.timeout_s)

    def open(self) -> None:
        """Connect, secure the connection and sign in."""
        code, text = self.connect(self._server.host, self._server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        if self._server.security == "starttls":
            self._start_tls()
        if self._server.user:
            self.login(self._server.user, self._server.password)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        self.socket = socket.create_connection((host, port), timeout)
        if self._server.security == "implicit":
            self._secure(self.socket)
        return self.socket

    def _start_tls(self) -> None:
        self.ehlo_or_helo_if_needed()
        if not self.has_extn("starttls"):
            raise NotTakenError("the mail server offers no STARTTLS, and nothing is sent without TLS")
        if self.docmd("STARTTLS")[0] != 220 or self.socket is None:
            raise NotTakenError("the mail server refuses STARTTLS")
        self._secure(self.socket)
        self.sock, self.file = self.socket, None  # what came before TLS is not believed (RFC 3207, 4.2)
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features, self.does_esmtp = {}, False

    def _secure(self, plain: socket.socket) -> None:
        context, name = self._server.tls.context(), self._server.tls.server_name
        secured = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
        self.socket = secured
        secured.do_handshake()


@contextmanager
def _connected(server: MailServer) -> Iterator[_Client]:
    client = _Client(server)
    try:
        with broken_off_after(server.timeout_s, lambda: (client.socket,)) as late:
            try:
                client.open()
                yield client
            except (OSError, ValueError, smtplib.SMTPException) as error:
                late_text = f"the mail server did not finish within {server.timeout_s:g} s"
                raise NotTakenError(late_text if late() else _why(error)) from error
            with suppress(OSError, smtplib.SMTPException):  # it is taken: how the server says goodbye does not matter
                client.quit()
    finally:
        client.close()
        if client.socket is not None:
            client.socket.close()


def _why(error: Exception) -> str:
    """Return the fault in words; of the server's answer its code alone."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({str(code) for code, _ in error.recipients.values()})
        return f"the mail server refuses every address of the rota (SMTP {', '.join(codes)})"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the mail server refuses smtp.user and its password (SMTP {error.smtp_code})"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answers SMTP {error.smtp_code}"
    if isinstance(error, smtplib.SMTPException):
        return f"the mail server: {type(error).__name__}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with the mail server: {explain(error)}"
    if isinstance(error, TimeoutError):
        return "the mail server does not answer in time"
    return f"the mail server cannot be reached: {cause(error)}"
