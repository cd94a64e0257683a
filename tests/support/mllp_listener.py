"""An MLLP listener of plain sockets, which knows nothing of our client: it accepts, refuses, hangs or drops."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[bytes], bytes | None]
"""From a message to the bytes that go back, as they are; None hangs up."""


@dataclass
class Listener:
    """A running listener; ``received`` are the messages, without their frame."""

    port: int
    received: list[bytes] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    def fields(self, segment: str, number: int = -1) -> list[str]:
        """The fields of a segment of a received message, decoded as UTF-8."""
        lines = self.received[number].decode("utf-8").split("\r")
        return next(line for line in lines if line.startswith(segment)).split("|")

    def segments(self, number: int = -1) -> list[str]:
        return [line.split("|")[0] for line in self.received[number].decode("utf-8").split("\r") if line]


def control_id_of(message: bytes) -> bytes:
    return message.split(b"\r")[0].split(b"|")[9]


def acknowledging(code: str, text: str = "", about: bytes | None = None) -> Answer:
    """Answers with an acknowledgement of ``code``, about another message if ``about`` is given."""

    def answer(message: bytes) -> bytes:
        return framed(acknowledgement(code, about or control_id_of(message), text))

    return answer


def acknowledgement(code: str, about: bytes, text: str = "") -> bytes:
    msh = b"MSH|^~\\&|RIS|HOSPITAL|CXR_TRIAGE||20260101||ACK^R01^ACK|9|P|2.5.1\r"
    return msh + b"MSA|" + code.encode() + b"|" + about + b"|" + text.encode() + b"\r"


def framed(content: bytes) -> bytes:
    return b"\x0b" + content + b"\x1c\x0d"


def in_turn(*answers: Answer) -> Answer:
    """One answer after the other; the last one for ever."""
    left = list(answers)
    return lambda message: (left.pop(0) if len(left) > 1 else left[0])(message)


@contextmanager
def mllp_listener(
    answer: Answer,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    hangs_up: bool = False,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Listener]:
    """A listener, on 127.0.0.1 unless told otherwise. ``hangs_up``: it closes after each answer."""
    with socket.create_server((host, port)) as listening:
        listener = Listener(int(listening.getsockname()[1]))
        stop = threading.Event()
        thread = threading.Thread(target=_accept, args=(listening, listener, answer, hangs_up, tls, stop))
        thread.start()
        try:
            yield listener
        finally:
            stop.set()
            thread.join()


def _accept(
    listening: socket.socket,
    listener: Listener,
    answer: Answer,
    hangs_up: bool,
    tls: ssl.SSLContext | None,
    stop: threading.Event,
) -> None:
    listening.settimeout(0.05)
    threads = []
    while not stop.is_set():
        try:
            connection = listening.accept()[0]
        except TimeoutError:
            continue
        listener.connections.append(connection)
        threads.append(threading.Thread(target=_serve, args=(connection, listener, answer, hangs_up, tls, stop)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _serve(
    plain: socket.socket,
    listener: Listener,
    answer: Answer,
    hangs_up: bool,
    tls: ssl.SSLContext | None,
    stop: threading.Event,
) -> None:
    with plain, suppress(OSError):
        connection = tls.wrap_socket(plain, server_side=True) if tls else plain
        with connection:
            connection.settimeout(0.05)
            buffer = b""
            while not stop.is_set():
                try:
                    data = connection.recv(4096)
                except TimeoutError:
                    continue
                if not data:
                    return
                buffer += data
                while b"\x1c\x0d" in buffer:
                    message, _, buffer = buffer.partition(b"\x1c\x0d")
                    listener.received.append(message.removeprefix(b"\x0b"))
                    said = answer(listener.received[-1])
                    if said is None:
                        return
                    connection.sendall(said)
                    if hangs_up:
                        return
