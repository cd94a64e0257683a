"""A sender of report messages, independent of our code: HL7's own MLLP client, and the server that it speaks to."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hl7.client import MLLPClient
from prometheus_client import CollectorRegistry

from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_for
from triage.decision.records import decision_from
from triage.inbound_reports.early_store import EarlyReports
from triage.inbound_reports.receiver import ReportReceiver
from triage.inbound_reports.serve import Lifecycle, run
from triage.metrics.reports import ReportMetrics
from triage.queue.score_queue import connect
from triage.service.reports import early_store, report_policy
from triage.settings.sections.reports import ReportsSettings
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist


@dataclass
class Station:
    """A running listener with its worklist."""

    port: int
    spool: Spool
    index: IndexedWorklist
    registry: CollectorRegistry
    memory: EarlyReports
    stop: threading.Event

    def match(self) -> int:
        """What the process does every few seconds: how many studies left the list by remembered reports."""
        return self.memory.match()

    def listed(self) -> set[str]:
        return {each.study_instance_uid for each in self.index.page(None, 1000, 4e9).entries}

    def index_all(self) -> None:
        self.index.put_all(decision_from(each) for each in self.spool.decisions())

    def counted(self, outcome: str) -> float:
        return self.registry.get_sample_value("cxr_triage_reports_total", {"outcome": outcome}) or 0.0

    def connections(self) -> float:
        return self.registry.get_sample_value("cxr_triage_report_connections") or 0.0

    def no_tls(self, failure: str) -> float:
        return self.registry.get_sample_value("cxr_triage_tls_failures_total", {"reason": failure}) or 0.0

    def send(self, message: str, encoding: str = "utf-8") -> Answer:
        with MLLPClient("127.0.0.1", self.port) as client:
            return Answer.of(client.send_message(message.encode(encoding)))


@dataclass(frozen=True)
class Answer:
    """An acknowledgement."""

    code: str
    about: str
    text: str
    segments: dict[str, list[str]]

    @classmethod
    def of(cls, framed: bytes) -> Answer:
        assert framed[:1] == b"\x0b" and framed[-2:] == b"\x1c\r"
        lines = framed[1:-2].decode("ascii").strip("\r").split("\r")
        segments = {line[:3]: line.split("|") for line in lines}
        said = segments["MSA"]
        return cls(said[1], said[2], said[3], segments)


@contextmanager
def station(redis: RedisServer, spool: Spool, own: Any = frozenset(), **settings: Any) -> Iterator[Station]:
    """A listener on a free port, with all studies of the spool on the worklist."""
    registry = CollectorRegistry()
    metrics = ReportMetrics(registry)
    chosen = ReportsSettings(port=free_port(), **settings)
    stop = threading.Event()
    ports: list[int] = []
    with connect(redis.url, 5.0) as client:
        index = IndexedWorklist(client)
        index.put_all(decision_from(each) for each in spool.decisions())
        index.end_building(index.begin_building())
        memory = early_store(chosen, spool, index, metrics)
        receiver = ReportReceiver(spool, index, report_policy(chosen, own), metrics, memory=memory)
        thread = threading.Thread(
            target=run,
            args=(
                chosen,
                receiver,
                metrics,
                [],
                Lifecycle(stop.is_set, lambda seconds: stop.wait(seconds), listening=ports.append),
            ),
        )
        thread.start()
        try:
            wait_for(lambda: ports, "the listener")
            yield Station(ports[0], spool, index, registry, memory, stop)
        finally:
            stop.set()
            thread.join()


def report(
    control_id: str = "1",
    *,
    accession: str = "ACC-1",
    place: int = 18,
    status: str = "F",
    patient: str = "P-1",
    sender: str = "RIS|HOSPITAL",
    uid: str = "",
    **other: str,
) -> str:
    """An ORU^R01 as a RIS sends it. ``other``: msh18, msh15, msh11, obr22, obr32, obr4, name, zds, msh9."""
    msh = [
        "MSH",
        "^~\\&",
        *sender.split("|"),
        "CXR_TRIAGE",
        "",
        "20260301101500+0000",
        "",
        other.get("msh9", "ORU^R01"),
    ]
    msh += [
        control_id,
        other.get("msh11", "P"),
        "2.5.1",
        "",
        "",
        other.get("msh15", ""),
        "",
        "",
        other.get("msh18", ""),
    ]
    obr = [""] * 33
    obr[0], obr[1], obr[4] = "OBR", "1", other.get("obr4", "36643-5^XR Chest 2 Views^LN")
    obr[place], obr[25], obr[22] = accession, status, other.get("obr22", "")
    obr[32] = other.get("obr32", "")
    pid = ["PID", "1", "", f"{patient}^^^HOSPITAL^MR" if patient else "", "", other.get("name", "ROE^JANE")]
    lines = ["|".join(msh), "|".join(pid), "|".join(obr), "OBX|1|TX|18782-3^Study observation^LN||No finding.||||||F"]
    if uid:
        lines.append(f"OBX|2|ST|110180^Study Instance UID^DCM||{uid}||||||F")
    if zds := other.get("zds"):
        lines.append(f"ZDS|{zds}^RIS^Application^DICOM")
    return "\r".join(lines) + "\r"


def order(control_id: str, control: str, status: str, accession: str = "ACC-1") -> str:
    """An ORM^O01."""
    return "\r".join(
        [
            f"MSH|^~\\&|RIS|HOSPITAL|CXR_TRIAGE||20260301101500||ORM^O01|{control_id}|P|2.3",
            "PID|1||P-1^^^HOSPITAL^MR",
            f"ORC|{control}|PL-1|{accession}^RIS||{status}",
            "OBR|1|PL-1||36643-5^XR Chest^LN\r",
        ]
    )


def plain(port: int, context: ssl.SSLContext | None = None) -> Any:
    """A client of plain sockets."""
    import socket

    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    return context.wrap_socket(connection, server_hostname="localhost") if context else connection
