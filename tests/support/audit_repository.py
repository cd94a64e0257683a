"""An audit record repository that takes syslog over TLS (RFC 5425), and a real rsyslog that sends to it."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.certificates import Authority, Certificate, server_context

EXAMPLE = Path(__file__).parents[2] / "deploy/rsyslog/cxr-triage-audit.conf"
RSYSLOGD = "/usr/sbin/rsyslogd"


class Repository:
    """Takes one connection after the other, from who shows a certificate of ``clients``; ``with`` opens the port."""

    def __init__(self, port: int, certificate: Certificate, clients: Authority) -> None:
        self._context = server_context(certificate, client_ca=clients.path)
        self._port = port
        self._connections: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread()

    def __enter__(self) -> Self:
        self._stop.clear()
        listening = socket.create_server(("127.0.0.1", self._port))
        listening.settimeout(0.05)
        self._thread = threading.Thread(target=self._take, args=(listening,))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def messages(self) -> list[str]:
        """What came, each message behind its length in octets (RFC 5425 4.3)."""
        return [each for content in self._connections for each in _messages(content)]

    def _take(self, listening: socket.socket) -> None:
        with listening:
            while not self._stop.is_set():
                with suppress(TimeoutError, OSError), listening.accept()[0] as plain:
                    plain.settimeout(5)
                    with self._context.wrap_socket(plain, server_side=True) as secure:
                        secure.settimeout(0.05)
                        self._read(secure)

    def _read(self, secure: ssl.SSLSocket) -> None:
        self._connections.append(b"")
        while not self._stop.is_set():
            with suppress(TimeoutError):
                if not (got := secure.recv(1 << 16)):
                    return
                self._connections[-1] += got


def _messages(content: bytes) -> Iterator[str]:
    while b" " in content:
        length, _, rest = content.partition(b" ")
        if len(rest) < int(length):
            return
        yield rest[: int(length)].decode("utf-8")
        content = rest[int(length) :]


def example(folder: Path, port: int, authority: Authority, audit: Path) -> Path:
    """The example with our values, as a file that a main configuration in ``folder`` includes; that file."""
    ours = authority.certificate("audit")
    values = {
        "repository.example.org": "localhost",
        "6514": str(port),
        "/etc/ssl/cxr-triage/repository-ca.pem": str(authority.path),
        "/etc/ssl/cxr-triage/audit.pem": str(ours.path),
        "/etc/ssl/cxr-triage/audit.key": str(ours.key),
        "/var/lib/cxr-triage/audit": str(audit),
    }
    text = re.sub("<<(.*?)>>", lambda found: values[found[1]], EXAMPLE.read_text().partition("global(")[2])
    included, main = folder / "cxr-triage-audit.conf", folder / "rsyslog.conf"
    included.write_text("global(" + text.replace('resumeInterval="10"', 'resumeInterval="1"'))
    (folder / "work").mkdir()
    own_log = f'action(type="omfile" file="{folder}/rsyslog.log")'
    main.write_text(f'global(workDirectory="{folder}/work")\ninclude(file="{included}")\n{own_log}\n')
    return main


@contextmanager
def rsyslog(main: Path) -> Iterator[None]:
    """A real rsyslogd with the configuration ``main``, ended by process id."""
    if shutil.which(RSYSLOGD) is None:
        pytest.skip("rsyslog: sudo apt-get install rsyslog rsyslog-gnutls")
    with (main.parent / "out").open("ab") as out:
        command = [RSYSLOGD, "-n", "-f", str(main), "-i", str(main.parent / "pid")]
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()
