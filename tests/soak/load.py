"""The load: senders as they should be, and strangers as they should not."""

from __future__ import annotations

import random
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import dcmread

from tests.fuzz.mutation import mutated
from tests.fuzz.targets import conversations
from tests.support.dicom_peer import DX, RawPeer, a_data_set, encoded, store
from tests.support.service import a_chest
from tests.support.whole_service import Service, fetch


@dataclass
class Load:
    """What was sent to ``service``, and acknowledged. Threads run until ``stop`` is set."""

    service: Service
    seconds_between: float
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    strangers: int = 0
    pages: int = 0
    failed_pages: int = 0

    def start(self) -> list[threading.Thread]:
        """One thread for each kind."""
        kinds: list[tuple[Callable[[], None], float]] = [
            (self._send, self.seconds_between),
            (self._stranger, 0.5),
            (self._hold, 20.0),
            (self._read, 2.0),
        ]
        threads = [threading.Thread(target=self._repeat, args=kind, daemon=True) for kind in kinds]
        for thread in threads:
            thread.start()
        return threads

    def _repeat(self, act: Callable[[], None], seconds: float) -> None:
        while not self.stop.wait(seconds):
            with suppress(OSError):
                act()

    def _send(self) -> None:
        """A study of one phantom; each tenth is what no model can score."""
        number = len(self.acknowledged) + self.refused
        subject = {"age": ""} if number % 10 == 9 else {}
        dataset = dcmread(BytesIO(a_chest(number, study=f"soak {time.time_ns()}", accession=f"S{number}", **subject)))
        if store(self.service.dicom_port, dataset, calling="SOAK") == [0x0000]:
            self.acknowledged.append(str(dataset.StudyInstanceUID))
        else:
            self.refused += 1

    def _stranger(self) -> None:
        """A conversation that is mutated, a half-open connection, another protocol, or an object that is none."""
        kind = random.randrange(4)
        self.strangers += 1
        with RawPeer(self.service.dicom_port) as peer:
            peer.socket.settimeout(5)
            if kind == 0:
                (data,) = mutated(conversations(), 1, random.randrange(1 << 30))
                peer.socket.sendall(data)
            elif kind == 1:
                peer.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
            elif kind == 2:
                peer.associate()
                peer.send_store(DX, "1.2.3", b"nonsense" * 100)
                peer.status()
            else:
                peer.associate()
                peer.send_store(DX, "1.2.3.4", encoded(a_data_set())[:50] + bytes(1000))

    def _hold(self) -> None:
        """Associations of one byte, for a while."""
        held = []
        try:
            for _ in range(10):
                peer = RawPeer(self.service.dicom_port)
                held.append(peer)
                peer.associate()
                peer.socket.sendall(struct.pack(">B", 4))
            self.stop.wait(10)
        finally:
            for peer in held:
                peer.socket.close()

    def _read(self) -> None:
        """A reader's page."""
        status, _ = fetch(self.service.web_port, "/api/worklist?limit=50")
        self.pages += 1
        self.failed_pages += status != 200
