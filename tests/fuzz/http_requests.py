"""What comes in at the web port: any bytes, in pieces, to the whole application, without a socket between."""

from __future__ import annotations

import asyncio
import logging
import re
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from tests.support.worklist_page import decided
from triage.decision.types import Tag
from triage.dicom.uid import uid_of
from triage.metrics.web import WebMetrics
from triage.settings.sections.audit import AuditSettings
from triage.settings.sections.sign_in import SignInSettings
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.web.api.ups_rs import routes as workitem_routes
from triage.web.app import Monitoring, RequestPolicy, client, create_app
from triage.web.auth.guard import AccessControl
from triage.web.auth.setup import AccessSettings, access_control
from triage.web.auth.sign_in import Loopback
from triage.web.http.middleware import LOOPBACK
from triage.web.http.serving import BoundedServer, server_of
from triage.worklist.index import IndexedWorklist
from triage.worklist.workitem_store import Workitems, workitem_uid

STUDY = uid_of("phantom", "study 1")
_ANSWERED_S = 0.05
"""Before the peer hangs up. Streams and bodies that do not come are waited for; most is answered much sooner."""
_ENDED_S = 10.0
_MOST_WRITTEN = 4 << 20
_DEFECT = re.compile(rb"^HTTP/1\.1 500", re.MULTILINE)


def http_requests(data: bytes) -> None:
    """Requests are answered or refused, none by an error of ours, and nothing goes on once the peer has gone.

    The first byte says in what pieces the rest comes, and whether a proxy signs people in.
    """
    _alarm().raised.clear()
    first = data[0] if data else 0
    piece = (1, 3, 100, 1 << 16)[first >> 1 & 3]
    rest = data[1:] if piece > 1 else data[1:2000]
    written = _loop().run_until_complete(_spoken(_server(bool(first & 1)), _pieces(rest, piece)))
    assert not _alarm().raised, _alarm().raised[0][-1500:]
    assert not _DEFECT.search(written), written[:300]
    assert len(written) <= _MOST_WRITTEN


async def _spoken(server: BoundedServer, pieces: Iterable[bytes]) -> bytes:
    """All that is answered to a peer that sends these, waits for an answer, and hangs up."""
    wire = _Wire()
    protocol: Any = server._protocol()
    protocol.connection_made(wire)
    for piece in pieces:
        if wire.is_closing():
            break
        protocol.data_received(piece)
    while (tasks := server.server_state.tasks) and not protocol.waits:
        _, pending = await asyncio.wait(set(tasks), timeout=_ANSWERED_S)
        if pending:
            break
    protocol.connection_lost(None)
    if tasks := set(server.server_state.tasks):
        _, pending = await asyncio.wait(tasks, timeout=_ENDED_S)
        assert not pending, "a request goes on though nobody waits for its answer"
    return bytes(wire.written)


class _Wire(asyncio.Transport):
    """The way to a peer that takes whatever is written."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8080), "peername": ("127.0.0.1", 40000)})
        self.written = bytearray()
        self._closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def pause_reading(self) -> None:
        """What is sent is there already."""

    resume_reading = pause_reading


def _pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


class _Alarm(logging.Handler):
    """Errors are defects of ours: whatever a peer sends is a warning, or nothing."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.raised: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.raised.append(self.format(record))


@cache
def _alarm() -> _Alarm:
    alarm = _Alarm()
    for name in ("triage", "uvicorn", "asyncio"):
        logging.getLogger(name).addHandler(alarm)
    return alarm


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _server(proxy: bool) -> BoundedServer:
    """The application without Redis: what needs it says so."""
    _alarm()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    server = server_of(_app(folder, proxy))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    return server


def _app(folder: Path, proxy: bool) -> ASGIApp:
    spool, registry = Spool.open(folder / "spool"), CollectorRegistry()
    assert decided(spool, 1, Tag.ABNORMAL).study_instance_uid == STUDY
    metrics = WebMetrics(registry)
    connection = client(f"unix://{folder}/none.sock", 1.0)
    sources = Sources(spool, connection, IndexedWorklist(connection), 0.0, time.time)
    access = _proxied(folder, spool) if proxy else AccessControl(Loopback())
    more = workitem_routes(sources, Workitems(spool, "CXR triage", low=False))
    return create_app(sources, RequestPolicy(LOOPBACK), more, access=access, monitoring=Monitoring(registry, metrics))


def _proxied(folder: Path, spool: Spool) -> AccessControl:
    settings = SignInSettings(
        method="proxy", trusted_proxies=("127.0.0.1",), user_header="x-user", role_header="x-role"
    )
    access = AccessSettings(settings, AuditSettings(path=folder / "audit.xml"))
    return access_control("127.0.0.1", access, spool, WebMetrics())


def requests() -> list[bytes]:
    """The first byte of each: in one piece or in several, through a proxy that signs people in or without."""
    study, item = STUDY.encode(), workitem_uid(STUDY, 1).encode()
    gets = [
        b"/", b"/healthz", b"/readyz", b"/metrics", b"/page/app.js", b"/api/status", b"/api/operations",
        b"/api/worklist?limit=10&tag=ABNORMAL&text=%20&cursor=eyJ4IjoxfQ", b"/api/read?limit=5",
        b"/api/worklist/" + study, b"/api/studies/" + study, b"/studies/" + study, b"/workitems/" + item,
        b"/api/studies/" + study + b"/images/1.2", b"/api/studies/" + study + b"/images/1.2/map", b"/api/session",
        b"/adjudication", b"/locked", b"/api/unread-high", b"/api/adjudication", b"/api/adjudication/studies/" + study,
        b"/api/adjudication/ties/0/0123456789abcdef",
        b"/workitems?00741000=SCHEDULED&ScheduledProcedureStepStartDateTime=2026-&includefield=all&limit=2",
    ]  # fmt: skip
    plain = [b"\x06" + _request(b"GET", path) for path in gets]
    bodies = [
        (b"POST", b"/api/studies/" + study + b"/reading", b'{"read": true}'),
        (b"POST", b"/api/studies/" + study + b"/label", b'{"label": true}'),
        (
            b"POST",
            b"/api/studies/" + study + b"/disagreements",
            b'{"against": "model", "other": "free air", "label": true, "text": "below the diaphragm"}',
        ),
        (b"POST", b"/api/studies/" + study + b"/disagreements/1/withdrawal", b"{}"),
        (
            b"POST",
            b"/api/adjudication/studies/" + study,
            b'{"finding": "other:free air", "label": null, "reason": "x"}',
        ),
        (b"POST", b"/api/adjudication/ties/0/0123456789abcdef", b'{"label": true, "reason": "x"}'),
        (b"POST", b"/api/session/lock", b"{}"),
        (b"POST", b"/api/requeue", b'{"key": "x"}'),
        (b"POST", b"/api/search", b'{"patient": "4711", "q": "", "tag": null, "limit": 5, "cursor": null}'),
        (b"POST", b"/api/list", b'{"text": "4711", "sort": {"column": "age"}, "filter": {"age_from": 18}}'),
        (b"POST", b"/api/preferences", b'{"columns": ["tag"], "sort": null, "filter": {"views": ["PA"]}}'),
    ]
    written = [b"\x07" + _request(method, path, body, b"application/json") for method, path, body in bodies]
    state = b'{"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": ["1.2"]}}'
    items = [(b"PUT", b"/state"), (b"POST", b""), (b"POST", b"/cancelrequest"), (b"POST", b"/subscribers/A")]
    works = [
        b"\x06" + _request(method, b"/workitems/" + item + path, state, b"application/dicom+json")
        for method, path in items
    ]
    chunked = _request(b"PUT", b"/workitems/" + item + b"/state", b"2\r\n{}\r\n0\r\n\r\n", b"application/dicom+json")
    chunked = chunked.replace(b"Content-Length: 12", b"Transfer-Encoding: chunked")
    pipelined = b"\x02" + _request(b"GET", b"/healthz") + _request(b"GET", b"/api/changes")
    return [
        *plain,
        *written,
        *works,
        b"\x04" + chunked,
        pipelined,
        b"\x04GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n",
    ]


def _request(method: bytes, path: bytes, body: bytes = b"", kind: bytes = b"") -> bytes:
    head = b"%s %s HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-User: ann\r\nX-Role: reader\r\n" % (method, path)
    if not body:
        return head + b"Cookie: triage=x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    origin = b"Origin: http://127.0.0.1:8080\r\n"
    return head + origin + b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind, len(body), body)
