"""Studies that DCMTK sends through HAProxy to two hosts while these are restarted or killed, and what a PACS got."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread

from tests.support.dicom_senders import storescu
from tests.support.service import a_chest, read_bytes
from tests.support.tcp_proxy import ADDRESS
from tests.support.wait import wait_for
from tests.support.whole_service import Service

_AT_LEAST = 3
"""Studies that are sent between two steps."""


@dataclass
class Sender:
    """Sends one study after another by DCMTK, and remembers each answer."""

    port: int
    folder: Path
    first: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        number = self.first
        while not self._ended.is_set():
            number += 1
            content = a_chest(number)
            file = self.folder / f"{number}.dcm"
            file.write_bytes(content)
            self.answers[str(read_bytes(content).StudyInstanceUID)] = storescu(self.port, file)

    def send_some(self) -> None:
        """Wait until a few more were sent."""
        before = len(self.answers)
        wait_for(lambda: len(self.answers) >= before + _AT_LEAST, "studies to be sent", 120.0)

    @contextmanager
    def sending(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(120)


def telling(redis_url: str, pacs: int) -> dict[str, Any]:
    """The settings of a host behind HAProxy that delivers to a PACS."""
    return {
        "redis_url": redis_url,
        "listener_drain_s": 4,
        "listener_proxy_protocol_from": f"{ADDRESS}/32",
        "deliver_metrics_port": 0,
        "deliver_interval_s": 0.2,
        "channels__sr__pacs__host": "127.0.0.1",
        "channels__sr__pacs__port": pacs,
        "channels__sr__pacs__called_ae_title": "PACS",
        "channels__sr__pacs__delay_s": 0,
        "channels__sr__pacs__enabled": "true",
    }


def balancer(services: Sequence[Service], port: int) -> str:
    """The rules of deploy/haproxy, with the addresses of a test."""
    example = (Path(__file__).parents[2] / "deploy/haproxy/cxr-triage.cfg").read_text()
    rules = example[: example.index("    server listener1")].replace("bind :11112", f"bind 127.0.0.1:{port}")
    lines = [
        f"    server listener{number} 127.0.0.1:{each.dicom_port} port {each.listener_ports[0]}\n"
        for number, each in enumerate(services)
    ]
    return rules + f"    source {ADDRESS}\n" + "".join(lines)


def told(received: list[bytes]) -> set[str]:
    """The studies of the reports that a PACS got."""
    return {str(dcmread(BytesIO(each), force=True).StudyInstanceUID) for each in list(received)}
