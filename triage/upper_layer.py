"""DICOM Upper Layer (PS3.8): PDUs on a socket, read by the thread that owns it, every read bounded in size and time."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

A_ASSOCIATE_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ = 0x01, 0x02, 0x03
P_DATA_TF, A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 0x04, 0x05, 0x06, 0x07

# Abort reasons of the service provider, PS3.8 9.3.8.
UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 0x01, 0x02, 0x06

_HEADER = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")
_LARGEST_ASSOCIATE = 1 << 20  # 128 presentation contexts with many syntaxes take some tens of KiB
_RECEIVE_BUFFER = 4 << 20  # lets a sender run ahead while an object is being made durable


class ConnectionLostError(Exception):
    """The peer closed or reset the connection."""


class TimedOutError(Exception):
    """The peer was silent, or did not finish what it began, for too long."""


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
        self._max_pdu = max_pdu
        self._buffer = bytearray(max_pdu)
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self.set_timeout(timeout_s)

    def set_timeout(self, seconds: float) -> None:
        """Bound each later read and write. By the kernel's own timer, which costs no system call for each read."""
        timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def read_header(self) -> tuple[int, int]:
        """Type and length of the next PDU."""
        kind, length = _HEADER.unpack(self._read(memoryview(bytearray(_HEADER.size))))
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
        if not _PDV.size <= length <= self._max_pdu:
            raise ProtocolError(f"a P-DATA-TF of {length} bytes; {self._max_pdu} were agreed", INVALID_PARAMETER)
        body = self._read(memoryview(self._buffer)[:length])
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

    def send_command(self, context_id: int, command: bytes) -> None:
        """Send a command set, which is short, as one P-DATA-TF."""
        self.send(_HEADER.pack(P_DATA_TF, len(command) + 6) + _PDV.pack(len(command) + 2, context_id, 3) + command)

    def send_release_reply(self) -> None:
        """Send an A-RELEASE-RP."""
        self.send(_HEADER.pack(A_RELEASE_RP, 4) + b"\0" * 4)

    def send_reject(self, result: int, source: int, reason: int) -> None:
        """Send an A-ASSOCIATE-RJ, PS3.8 9.3.4."""
        self.send(_HEADER.pack(A_ASSOCIATE_RJ, 4) + bytes([0, result, source, reason]))

    def send_abort(self, reason: int) -> None:
        """Send an A-ABORT of the service provider; a peer that is gone already is no error."""
        try:
            self.send(_HEADER.pack(A_ABORT, 4) + bytes([0, 0, 2, reason]))
        except (ConnectionLostError, TimedOutError):
            return

    def break_off(self) -> None:
        """End every read at once; from any thread."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _read(self, into: memoryview) -> memoryview:
        """Fill ``into``. The kernel's timer bounds the whole read, however the peer drips."""
        if not into:
            return into
        try:
            count = self._socket.recv_into(into, len(into), socket.MSG_WAITALL)
        except BlockingIOError as error:
            raise TimedOutError("the peer is silent") from error
        except OSError as error:
            raise ConnectionLostError(str(error)) from error
        if count == len(into):
            return into
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
