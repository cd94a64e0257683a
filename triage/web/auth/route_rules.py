"""Who may ask for what, and what the audit trail hears of it: a line for every route. A route without one is refused
at start.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from triage.security.audit_message import SCHEME, CodedValue
from triage.security.audit_trail import REQUEUED
from triage.security.roles import Role


class Trace(Enum):
    """What is written down of a request."""

    NOTHING = auto()
    LOOK = auto()  # at the study that the address, or the handler by ``concerns``, names
    SEARCH = auto()  # where there is more in the query string than which part of the list is wanted


@dataclass(frozen=True)
class Rule:
    """``needs``: the least role; None lets everybody in. What is done to a study has an ``act``."""

    needs: Role | None
    trace: Trace = Trace.NOTHING
    act: CodedValue | None = None


OPEN = Rule(None)
"""Pages and files without any data, health, metrics, and the door itself."""

READ = Rule(Role.READER)
LOOK = Rule(Role.READER, Trace.LOOK)
SEARCH = Rule(Role.READER, Trace.SEARCH)


def act(needs: Role, code: str, meaning: str) -> Rule:
    """Something is done to a study."""
    return Rule(needs, act=CodedValue(code, SCHEME, meaning))


RULES = {
    "GET /": OPEN,
    "GET /studies/{study_instance_uid}": OPEN,
    "GET /operations": OPEN,
    "GET /favicon.ico": OPEN,
    "GET /page/{name}": OPEN,
    "GET /sign-in": OPEN,
    "POST /sign-in": OPEN,
    "GET /sign-in/begin": OPEN,
    "GET /sign-in/callback": OPEN,
    "POST /api/sign-out": READ,
    "GET /api/session": READ,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
    "GET /api/worklist": SEARCH,
    "POST /api/search": SEARCH,
    "GET /api/read": READ,
    "GET /api/worklist/{study_instance_uid}": LOOK,
    "GET /api/changes": READ,
    "GET /api/status": READ,
    "GET /api/operations": READ,
    "GET /api/studies/{study_instance_uid}": LOOK,
    "GET /api/studies/{study_instance_uid}/images/{name}": LOOK,
    "GET /api/studies/{study_instance_uid}/images/{name}/map": LOOK,
    "POST /api/studies/{study_instance_uid}/reading": act(Role.READER, "READING", "Marked as read, or as not read"),
    "POST /api/studies/{study_instance_uid}/label": act(Role.READER, "LABEL", "What a reader says the study is"),
    "POST /api/requeue": Rule(Role.ADMIN, act=REQUEUED),
    "GET /workitems": SEARCH,
    "GET /workitems/{workitem}": LOOK,
    "POST /workitems/{workitem}": act(Role.READER, "WORKITEM", "A workitem was updated"),
    "POST /workitems/{workitem}/subscribers/{subscriber:path}": READ,
    "DELETE /workitems/{workitem}/subscribers/{subscriber:path}": READ,
    "PUT /workitems/{workitem}/state": act(Role.READER, "WORKITEM-STATE", "A workitem changed its state"),
    "POST /workitems/{workitem}/cancelrequest": act(Role.READER, "WORKITEM-CANCEL", "A workitem was cancelled"),
}
PARTS = frozenset({"limit", "cursor", "tag", "offset", "includefield", "fuzzymatching"})
"""Query parameters that search nobody: which part of the list is wanted, and in what form."""
