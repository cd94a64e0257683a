"""DICOM Upper Layer (PS3.8): PDUs on a socket, read by one thread, every read bounded in size and time."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from triage.errors import TriageError

A_ASSOCIATE_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ = 0x01, 0x02, 0x03
P_DATA_TF, A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 0x04, 0x05, 0x06, 0x07

# Abort reasons of the service provider, PS3.8 9.3.8.
UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 0x01, 0x02, 0x06

_HEADER = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")
_LARGEST_ASSOCIATE = 256 << 10  # 128 presentation contexts with twenty syntaxes each take 90 KiB
_MOST_DISCARDED = 4 << 20  # bytes that are read and dropped of a peer that we have refused or left
_TOLERANCE = 1024  # some peers take the maximum length without the headers of their PDVs
_READ_AHEAD = (
    1 << 20
)  # all that has arrived is read at once: after each system call a thread waits for the interpreter's lock


class ConnectionLostError(TriageError):
    """The peer closed or reset the connection."""


class TimedOutError(TriageError):
    """The peer sent nothing, or did not finish a PDU, for too long."""


class BrokenOffError(TriageError):
    """The connection was ended by ``break_off``, from another thread."""


class ProtocolError(TriageError):
    """The peer violates PS3.8; ``reason`` goes into our A-ABORT."""

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


class UpperLayerConnection:
    """A connection over a plain socket. ``max_pdu`` bounds P-DATA-TF, in bytes (PS3.8 D.1); ``timeout_s`` each read."""

    encrypted = False

    def __init__(self, sock: socket.socket, max_pdu: int, timeout_s: float) -> None:
        self._socket = sock
        self._broken_off = False
        self._largest = max_pdu + _TOLERANCE
        self._buffer = memoryview(bytearray(max(_READ_AHEAD, self._largest)))
        self._start = self._end = 0  # of the bytes that were read and not yet returned
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.set_timeout(timeout_s)

    def open(self) -> None:
        """Do what comes before the first PDU: nothing, on a plain socket."""

    def set_timeout(self, seconds: float) -> None:
        """Bound each later read and write, by the kernel's own timer, which costs no system call for each read."""
        timeval = struct.pack("ll", *divmod(max(int(seconds * 1e6), 1), 1_000_000))  # zero would be no bound
        self._timeout_s = seconds
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def read_header(self) -> tuple[int, int]:
        """Read type and length of the next PDU."""
        kind, length = _HEADER.unpack(self._take(_HEADER.size))
        return kind, length

    def read_associate(self, length: int) -> bytes:
        """Read the body of an A-ASSOCIATE-RQ. Raises ProtocolError for one that is too long."""
        if length > _LARGEST_ASSOCIATE:
            raise ProtocolError(f"an A-ASSOCIATE-RQ of {length} bytes", INVALID_PARAMETER)
        return bytes(self._take(length))

    def read_short(self, length: int) -> None:
        """Skip the body of a release or an abort. Raises ProtocolError for one that is too long."""
        if length > 64:
            raise ProtocolError(f"a release or abort of {length} bytes", INVALID_PARAMETER)
        self._take(length)

    def read_data(self, length: int) -> Iterator[Fragment]:
        """Read a P-DATA-TF of ``length`` bytes; yield its fragments. Raises ProtocolError."""
        if not _PDV.size <= length <= self._largest:
            raise ProtocolError(f"a P-DATA-TF of {length} bytes; more than agreed", INVALID_PARAMETER)
        body = self._take(length)
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
        """Send a whole PDU. Raises TimedOutError, ConnectionLostError."""
        try:
            self._transmit(pdu)
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
        """End every read at once with BrokenOffError; from any thread. A PDU that is being sent goes out."""
        self._broken_off = True
        with suppress(OSError):
            self._shut(socket.SHUT_RD)

    def close_gracefully(self, seconds: float) -> None:
        """Wait until the peer closes, ``seconds`` at most (PS3.8 9.1.5, ARTIM), then close.

        Closing a socket with something unread in it resets the connection, and the peer may lose what we sent last.
        """
        deadline, left = time.monotonic() + seconds, _MOST_DISCARDED
        with suppress(OSError, TimedOutError):
            self._shut(socket.SHUT_WR)
            self.set_timeout(seconds)
            while time.monotonic() < deadline and left > 0 and not self._broken_off:
                count = self._receive(self._buffer)
                left -= count or left  # nothing more comes
        self._socket.close()

    def _take(self, count: int) -> memoryview:
        """Return the next ``count`` bytes, valid until the next call. The wait is bounded as a whole."""
        if self._end - self._start < count:
            self._make_room(count)
            deadline = time.monotonic() + self._timeout_s
            while self._end - self._start < count:
                self._read_more()
                if time.monotonic() > deadline and self._end - self._start < count:
                    raise TimedOutError("the peer did not finish a PDU")
        self._start += count
        return self._buffer[self._start - count : self._start]

    def _make_room(self, count: int) -> None:
        waiting = self._end - self._start
        if self._start + count > len(self._buffer) or not waiting:
            self._buffer[:waiting] = self._buffer[self._start : self._end]
            self._start, self._end = 0, waiting

    def _read_more(self) -> None:
        if self._broken_off:
            raise BrokenOffError
        try:
            count = self._receive(self._buffer[self._end :])
        except BlockingIOError as error:
            raise TimedOutError("the peer is silent") from error
        except OSError as error:
            raise ConnectionLostError(str(error)) from error
        if not count:
            raise BrokenOffError if self._broken_off else ConnectionLostError("closed by the peer")
        self._end += count

    def _receive(self, buffer: memoryview) -> int:
        return self._socket.recv_into(buffer)

    def _transmit(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _shut(self, how: int) -> None:
        self._socket.shutdown(how)
