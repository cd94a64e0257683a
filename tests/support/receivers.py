"""Real receivers on free ports of 127.0.0.1, ended by process id or from the thread that started them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from tests.support.ports import free_port
from tests.support.wait import wait_for

ORTHANC = "/usr/sbin/Orthanc"


@dataclass
class StoreSCP:
    """What a pynetdicom SCP got, and the statuses that it answers, the last one for ever after."""

    port: int
    statuses: list[int] = field(default_factory=lambda: [0x0000])
    received: list[bytes] = field(default_factory=list)
    before_answer: Callable[[Any], None] = lambda event: None

    def answer(self, event: Any) -> int:
        self.received.append(event.request.DataSet.getvalue())
        self.before_answer(event)
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextmanager
def store_scp(*statuses: int, contexts: Any = None, port: int = 0, **options: Any) -> Iterator[StoreSCP]:
    """An SCP that stores and answers ``statuses`` in turn. ``options``: host, before_answer, require_called_aet."""
    scp = StoreSCP(port or free_port(), list(statuses) or [0x0000])
    if "before_answer" in options:
        scp.before_answer = options["before_answer"]
    entity = AE("PACS")
    entity.supported_contexts = AllStoragePresentationContexts if contexts is None else contexts
    entity.add_supported_context(Verification)
    entity.require_called_aet = options.get("require_called_aet", False)
    address = (options.get("host", "127.0.0.1"), scp.port)
    server = entity.start_server(address, block=False, evt_handlers=[(evt.EVT_C_STORE, scp.answer)])
    try:
        yield scp
    finally:
        server.shutdown()


@dataclass
class Orthanc:
    """A running Orthanc."""

    dicom_port: int
    http_port: int
    process: subprocess.Popen[bytes] | None = None

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content[:1] in b"[{" else content

    def post(self, path: str, content: bytes) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", content, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def find(self, level: str, **query: str) -> list[dict[str, Any]]:
        asked = {"Level": level, "Query": query, "Expand": True}
        found = self.post("/tools/find", json.dumps(asked).encode())
        assert isinstance(found, list)
        return found


@contextmanager
def orthanc(folder: Path, **settings: Any) -> Iterator[Orthanc]:
    """An Orthanc with its storage in ``folder``; start it again there and it has what it had."""
    if shutil.which(ORTHANC) is None:
        pytest.skip("Orthanc: sudo apt-get install orthanc")
    running = Orthanc(settings.pop("dicom_port", None) or free_port(), free_port())
    folder.mkdir(exist_ok=True)
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "Name": "PACS",
                "DicomAet": "PACS",
                "DicomPort": running.dicom_port,
                "HttpPort": running.http_port,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "index"),
                "Plugins": [],
                **settings,
            }
        )
    )
    log = (folder / "log").open("ab")
    running.process = subprocess.Popen([ORTHANC, str(configuration)], stdout=log, stderr=log)
    try:
        wait_for(lambda: listens(running.http_port) and listens(running.dicom_port), "Orthanc")
        yield running
    finally:
        running.process.terminate()
        running.process.wait(60)
        log.close()


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[socket.socket] = []
        stop = threading.Event()
        thread = threading.Thread(target=_take, args=(listening, taken, stop))
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            stop.set()
            thread.join()
            for each in taken:
                each.close()


def _take(listening: socket.socket, taken: list[socket.socket], stop: threading.Event) -> None:
    listening.settimeout(0.1)
    while not stop.is_set():
        try:
            taken.append(listening.accept()[0])
        except TimeoutError:
            continue


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        time.sleep(0.1)
        return False
    return True
