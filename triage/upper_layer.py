"""DICOM Upper Layer (PS3.8): PDUs on a socket, read by the thread that owns it, every read bounded in size and time."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

A_ASSOCIATE_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ = 0x01, 0x02, 0x03
P_DATA_TF, A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 0x04, 0x05, 0x06, 0x07

# Abort reasons of the service provider, PS3.8 9.3.8.
UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 0x01, 0x02, 0x06

_HEADER = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")
_LARGEST_ASSOCIATE = 1 << 20  # 128 presentation contexts with many syntaxes take some tens of KiB
_FORGIVEN = 1024  # some peers take the maximum length without the headers of their PDVs


class ConnectionLostError(Exception):
    """The peer closed or reset the connection."""


class TimedOutError(Exception):
    """The peer was silent, or did not finish what it began, for too long."""


class BrokenOffError(Exception):
    """We ended the connection ourselves, from another thread."""


class ProtocolError(Exception):
    """The peer broke PS3.8; ``reason`` goes into our A-ABORT."""

    def __init__(self, message: str, reason: int = UNEXPECTED_PDU) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Fragment:
    """One presentation data value. ``data`` is only valid until the next read."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


class Connection:
    """One socket. ``max_pdu`` bounds a P-DATA-TF, in bytes as PS3.8 D.1 counts; ``timeout_s`` each read."""

    def __init__(self, sock: socket.socket, max_pdu: int, timeout_s: float) -> None:
        self._socket = sock
        self._broken_off = False
        self._header = memoryview(bytearray(_HEADER.size))
        self._buffer = memoryview(bytearray(max_pdu + _FORGIVEN))
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.set_timeout(timeout_s)

    def set_timeout(self, seconds: float) -> None:
        """Bound each later read and write. By the kernel's own timer, which costs no system call for each read."""
        timeval = struct.pack("ll", *divmod(max(int(seconds * 1e6), 1), 1_000_000))  # zero would be no bound
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def read_header(self) -> tuple[int, int]:
        """Type and length of the next PDU."""
        kind, length = _HEADER.unpack(self._read(self._header))
        return kind, length

    def read_associate(self, length: int) -> bytes:
        """The body of an A-ASSOCIATE-RQ."""
        if length > _LARGEST_ASSOCIATE:
            raise ProtocolError(f"an A-ASSOCIATE-RQ of {length} bytes", INVALID_PARAMETER)
        return bytes(self._read(memoryview(bytearray(length))))

    def read_short(self, length: int) -> None:
        """Skip the body of a release or an abort."""
        if length > 64:
            raise ProtocolError(f"a release or abort of {length} bytes", INVALID_PARAMETER)
        self._read(memoryview(bytearray(length)))

    def read_data(self, length: int) -> Iterator[Fragment]:
        """The fragments of a P-DATA-TF of ``length`` bytes."""
        if not _PDV.size <= length <= len(self._buffer):
            raise ProtocolError(f"a P-DATA-TF of {length} bytes; more than agreed", INVALID_PARAMETER)
        body = self._read(self._buffer[:length])
        position = 0
        while position < length:
            if length - position < _PDV.size:
                raise ProtocolError("a presentation data value is cut short", INVALID_PARAMETER)
            size, context_id, control = _PDV.unpack_from(body, position)
            end = position + 4 + size
            if size < 2 or end > length:
                raise ProtocolError("a presentation data value does not fit its PDU", INVALID_PARAMETER)
            yield Fragment(context_id, bool(control & 1), bool(control & 2), body[position + _PDV.size : end])
            position = end

    def send(self, pdu: bytes) -> None:
        """Send a whole PDU."""
        try:
            self._socket.sendall(pdu)
        except BlockingIOError as error:
            raise TimedOutError("the peer does not read") from error
        except OSError as error:
            raise ConnectionLostError(str(error)) from error

    def send_command(self, context_id: int, command: bytes, peer_max_pdu: int) -> None:
        """Send a command set in P-DATA-TF PDUs of at most ``peer_max_pdu`` bytes; 0 is no limit (PS3.8 D.1)."""
        size = max(peer_max_pdu - _PDV.size, 1) if peer_max_pdu else len(command)
        for start in range(0, len(command), size):
            piece = command[start : start + size]
            control = 0b11 if start + size >= len(command) else 0b01
            self.send(
                _HEADER.pack(P_DATA_TF, len(piece) + _PDV.size) + _PDV.pack(len(piece) + 2, context_id, control) + piece
            )

    def send_release_reply(self) -> None:
        """Send an A-RELEASE-RP."""
        self.send(_HEADER.pack(A_RELEASE_RP, 4) + b"\0" * 4)

    def send_reject(self, result: int, source: int, reason: int) -> None:
        """Send an A-ASSOCIATE-RJ, PS3.8 9.3.4."""
        self.send(_HEADER.pack(A_ASSOCIATE_RJ, 4) + bytes([0, result, source, reason]))

    def send_abort(self, reason: int | None) -> None:
        """Send an A-ABORT, of the service provider for ``reason`` or of the service user; the peer may be gone."""
        source = (0, 0) if reason is None else (2, reason)
        with suppress(ConnectionLostError, TimedOutError):
            self.send(_HEADER.pack(A_ABORT, 4) + bytes([0, 0, *source]))

    def break_off(self) -> None:
        """End every read at once with BrokenOffError; from any thread. What is being sent may be sent."""
        self._broken_off = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def see_off(self, seconds: float) -> None:
        """Wait until the peer closes, ``seconds`` at most (PS3.8 9.1.5, ARTIM), then close.

        Closing a socket with something unread in it resets the connection, and the peer may lose what we sent last.
        """
        deadline = time.monotonic() + seconds
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self.set_timeout(seconds)
            while time.monotonic() < deadline and not self._broken_off and self._socket.recv_into(self._buffer):
                continue
        self._socket.close()

    def _read(self, into: memoryview) -> memoryview:
        """Fill ``into``. The kernel's timer bounds the whole read, however the peer drips."""
        if not into:
            return into
        if self._broken_off:
            raise BrokenOffError
        try:
            count = self._socket.recv_into(into, len(into), socket.MSG_WAITALL)
        except BlockingIOError as error:
            raise TimedOutError("the peer is silent") from error
        except OSError as error:
            raise ConnectionLostError(str(error)) from error
        if count == len(into):
            return into
        if self._broken_off:
            raise BrokenOffError
        if count and not self._at_end():
            raise TimedOutError("the peer did not finish a PDU")
        raise ConnectionLostError("the peer closed the connection")

    def _at_end(self) -> bool:
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
