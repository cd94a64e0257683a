"""A command in a network of its own, in which every packet to anywhere is caught and nothing leaves.

In that network each address belongs to the machine itself (a local route for all of them), so that what is meant for
others is sent, and seen, and refused.
"""

from __future__ import annotations

import ctypes
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_UNSHARE = ["unshare", "--map-root-user", "--net"]
IPV6 = Path("/proc/net/if_inet6").exists()
_EVERY_ADDRESS_IS_OURS = (
    ["ip", "link", "set", "lo", "up"],
    *(["ip", family, "route", "add", "local", "default", "dev", "lo"] for family in ("-4", *(["-6"] if IPV6 else []))),
)
_ETH_P_ALL, _SO_ATTACH_FILTER = 3, 26
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # <linux/if_packet.h>
_TCP, _UDP = 6, 17
_LOAD, _LOAD_BEHIND_X, _X_IS_HEADER, _AND, _EQUAL, _JUMP, _RETURN = 0x30, 0x50, 0xB1, 0x54, 0x15, 0x05, 0x06
_DATAGRAMS_AND_SYN = (  # <linux/filter.h>: code, how many to pass over if so, and if not, operand
    (_LOAD, 0, 0, 0),
    (_AND, 0, 0, 0xF0),
    (_EQUAL, 1, 0, 0x40),
    (_EQUAL, 6, 13, 0x60),
    (_LOAD, 0, 0, 9),  # IPv4: the protocol, and the flags of TCP behind a header of any length
    (_EQUAL, 10, 0, _UDP),
    (_EQUAL, 0, 10, _TCP),
    (_X_IS_HEADER, 0, 0, 0),
    (_LOAD_BEHIND_X, 0, 0, 13),
    (_JUMP, 0, 0, 4),
    (_LOAD, 0, 0, 6),  # IPv6: the same behind one of 40 bytes
    (_EQUAL, 4, 0, _UDP),
    (_EQUAL, 0, 4, _TCP),
    (_LOAD, 0, 0, 53),
    (_AND, 0, 0, 0x12),  # SYN and ACK
    (_EQUAL, 0, 1, 0x02),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
)


@dataclass(frozen=True)
class Watched:
    """How a command ended, and where it sent: ``connections`` (TCP) and ``datagrams`` (UDP), address and port."""

    done: subprocess.CompletedProcess[str]
    connections: list[tuple[str, int]]
    datagrams: list[tuple[str, int]]


def watched(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> Watched:
    """Run ``command`` to its end. Skips the test where no network can be had."""
    try:
        tried = subprocess.run([*_UNSHARE, "ip", "link"], capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"a network of its own needs unshare and ip: {error}")
    if tried.returncode:
        pytest.skip(f"a network of its own cannot be had here: {tried.stderr.strip()}")
    report = folder / "network.json"
    report.unlink(missing_ok=True)
    watch = [*_UNSHARE, sys.executable, Path(__file__), report, *command]
    done = subprocess.run(watch, env=dict(environment), capture_output=True, text=True, timeout=400)
    assert report.exists(), done.stderr
    sent = json.loads(report.read_text())
    return Watched(done, *([(host, port) for host, port in sent[kind]] for kind in ("connections", "datagrams")))


class _Watch(threading.Thread):
    """Reads every datagram, and the first packet of every connection."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.connections: list[tuple[str, int]] = []
        self.datagrams: list[tuple[str, int]] = []
        self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        _attach(self._packets, _DATAGRAMS_AND_SYN)
        self._packets.bind(("lo", _ETH_P_ALL))
        self._ended = threading.Event()

    def run(self) -> None:
        self._packets.settimeout(0.2)
        while True:
            try:
                packet, (_, _, direction, *_) = self._packets.recvfrom(128)
            except TimeoutError:
                if self._ended.is_set():
                    return
                continue
            if direction == socket.PACKET_OUTGOING:
                self._note(packet)

    def end(self) -> None:
        """Once what was already sent is read; RuntimeError where a packet came by unseen."""
        self._ended.set()
        self.join()
        _, lost = struct.unpack("II", self._packets.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        if lost:
            raise RuntimeError(f"{lost} packets were not seen")

    def _note(self, packet: bytes) -> None:
        if packet[0] >> 4 == 4:
            protocol, start = packet[9], (packet[0] & 0x0F) * 4
            host = socket.inet_ntop(socket.AF_INET, packet[16:20])
        else:
            protocol, start = packet[6], 40
            host = socket.inet_ntop(socket.AF_INET6, packet[24:40])
        (port,) = struct.unpack_from("!H", packet, start + 2)
        (self.datagrams if protocol == _UDP else self.connections).append((host, port))


def _attach(packets: socket.socket, steps: Sequence[tuple[int, int, int, int]]) -> None:
    """Have the kernel drop what the filter does not keep: images would fill the socket's buffer."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(steps), ctypes.addressof(program)))


def main(report: str, *command: str) -> int:
    """Inside the new network: watch, run ``command``, write down what it sent."""
    for step in _EVERY_ADDRESS_IS_OURS:
        subprocess.run(step, check=True)
    watch = _Watch()
    watch.start()
    status = subprocess.run(command).returncode
    watch.end()
    Path(report).write_text(json.dumps({"connections": watch.connections, "datagrams": watch.datagrams}))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
