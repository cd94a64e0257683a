"""A UPS manager on a real socket: it keeps workitems and answers as PS3.4 annex CC asks, or as a test wants."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    Verification,
)

from tests.support.ports import free_port

PUSH, PULL = UnifiedProcedureStepPush, UnifiedProcedureStepPull


@dataclass
class Manager:
    """Its workitems by UID, and what it was asked. ``create_status``, ``set_status``, ``cancel_status``: its answer to
    N-CREATE, N-SET and a request to cancel if that is to be one of its own.

    ``abort``: it aborts instead of answering an N-CREATE, once it has kept the workitem if ``keep``.
    """

    port: int
    create_status: int = 0x0000
    set_status: int = 0x0000
    cancel_status: int = 0x0000
    abort: bool = False
    keep: bool = True
    shows: bool = True
    workitems: dict[str, Dataset] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)

    def create(self, event: Any) -> tuple[int, Dataset | None]:
        uid = str(event.request.AffectedSOPInstanceUID)
        self._note(event, "create")
        if self.create_status:
            return self.create_status, None
        if uid in self.workitems:
            return 0x0111, None
        if self.keep:
            self.workitems[uid] = event.attribute_list
        if self.abort:
            event.assoc.abort()
        return 0x0000, None

    def set(self, event: Any) -> tuple[int, Dataset | None]:
        uid = str(event.request.RequestedSOPInstanceUID)
        self._note(event, "set")
        if self.set_status:
            return self.set_status, None
        if uid not in self.workitems:
            return 0xC307, None
        there = self.workitems[uid]
        if there.ProcedureStepState == "IN PROGRESS":
            return 0xC301, None
        if there.ProcedureStepState != "SCHEDULED":
            return 0xC300, None
        assert "TransactionUID" not in event.modification_list
        there.update(event.modification_list)
        return 0x0000, None

    def act(self, event: Any) -> tuple[int, Dataset | None]:
        """Request UPS Cancel (PS3.4 CC.2.2)."""
        uid = str(event.request.RequestedSOPInstanceUID)
        self.asked.append("cancel")
        assert event.request.ActionTypeID == 2
        if self.cancel_status:
            return self.cancel_status, None
        if uid not in self.workitems:
            return 0xC307, None
        there = self.workitems[uid]
        if there.ProcedureStepState != "SCHEDULED":
            return {"CANCELED": 0xB304, "COMPLETED": 0xC311, "IN PROGRESS": 0xC313}[there.ProcedureStepState], None
        there.ProcedureStepState = "CANCELED"
        there.update(event.action_information)
        return 0x0000, None

    def get(self, event: Any) -> tuple[int, Dataset | None]:
        self._note(event, "get")
        there = self.workitems.get(str(event.request.RequestedSOPInstanceUID))
        if there is None or not self.shows:
            return 0xC307, None
        return 0x0000, Dataset({tag: there[tag] for tag in event.attribute_identifiers if tag in there})

    def _note(self, event: Any, what: str) -> None:
        request = event.request
        sop_class = getattr(request, "AffectedSOPClassUID", None) or getattr(request, "RequestedSOPClassUID", None)
        assert sop_class == PUSH, "the class of every workitem is UPS Push (PS3.4 CC.3.1)"
        self.asked.append(what)
        self.contexts.append(str(event.context.abstract_syntax))


@contextmanager
def ups_manager(
    sop_classes: Sequence[str] = (PUSH, PULL), tls: ssl.SSLContext | None = None, **options: Any
) -> Iterator[Manager]:
    """A running manager that takes ``sop_classes``, over TLS if it has a context."""
    manager = Manager(free_port(), **options)
    entity = AE("MANAGER")
    for sop_class in (*sop_classes, Verification):
        entity.add_supported_context(sop_class)
    handlers = [(evt.EVT_N_CREATE, manager.create), (evt.EVT_N_SET, manager.set), (evt.EVT_N_GET, manager.get)]
    handlers.append((evt.EVT_N_ACTION, manager.act))
    address = ("127.0.0.1", manager.port)
    server = entity.start_server(address, block=False, evt_handlers=handlers, ssl_context=tls)
    try:
        yield manager
    finally:
        server.shutdown()
