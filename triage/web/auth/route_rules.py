"""Rules of the routes: the required role and the audit of each. A route without a rule is refused at start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from triage.security.audit_message import SCHEME, CodedValue
from triage.security.audit_trail import CLAIM_ENDED, REQUEUED
from triage.security.roles import Role


class Trace(Enum):
    """The kind of record that the audit trail gets of a request."""

    NOTHING = auto()
    VIEW = auto()  # of the study that the address, or the handler with ``set_study``, names
    SEARCH = auto()  # if the query string selects more than a part of the list


@dataclass(frozen=True)
class Rule:
    """Rule of a route. ``needs``: lowest role, None for everybody; ``act``: code of a change of a study."""

    needs: Role | None
    trace: Trace = Trace.NOTHING
    act: CodedValue | None = None


OPEN = Rule(None)
"""Pages and files without data, health, metrics, and the sign-in itself."""

READ = Rule(Role.READER)
VIEW = Rule(Role.READER, Trace.VIEW)
SEARCH = Rule(Role.READER, Trace.SEARCH)
ADJUDICATE = Rule(Role.ADJUDICATOR)
"""Cases without patients."""


def act(needs: Role, code: str, meaning: str) -> Rule:
    """Return the rule of a route that changes a study."""
    return Rule(needs, act=CodedValue(code, SCHEME, meaning))


RULES = {
    "GET /": OPEN,
    "GET /studies/{study_instance_uid}": OPEN,
    "GET /operations": OPEN,
    "GET /adjudication": OPEN,
    "GET /locked": OPEN,
    "GET /favicon.ico": OPEN,
    "GET /page/{name}": OPEN,
    "GET /sign-in": OPEN,
    "POST /sign-in": OPEN,
    "GET /sign-in/begin": OPEN,
    "GET /sign-in/callback": OPEN,
    "POST /api/sign-out": READ,
    "GET /api/session": READ,
    "POST /api/session/lock": READ,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
    "GET /api/worklist": SEARCH,
    "POST /api/search": SEARCH,
    "POST /api/list": SEARCH,
    "GET /api/list/choices": READ,
    "GET /api/preferences": READ,
    "POST /api/preferences": READ,
    "GET /api/read": READ,
    "GET /api/worklist/{study_instance_uid}": VIEW,
    "GET /api/changes": READ,
    "GET /api/open": READ,
    "POST /api/shown": READ,
    "GET /api/status": READ,
    "GET /api/operations": READ,
    "GET /api/attention": READ,
    "GET /api/unread-high": OPEN,
    "GET /icon/{unread}": OPEN,
    "GET /api/studies/{study_instance_uid}": VIEW,
    "GET /api/studies/{study_instance_uid}/images/{name}": VIEW,
    "GET /api/studies/{study_instance_uid}/images/{name}/preview": VIEW,
    "GET /api/studies/{study_instance_uid}/images/{name}/map": VIEW,
    "GET /api/studies/{study_instance_uid}/patient": VIEW,
    "GET /api/models/{model_digest}": READ,
    "POST /api/studies/{study_instance_uid}/reading": act(Role.READER, "READING", "Marked as read, or as not read"),
    "POST /api/studies/{study_instance_uid}/presence": READ,
    "GET /api/studies/{study_instance_uid}/standing": READ,
    "POST /api/studies/{study_instance_uid}/claim": act(Role.READER, "CLAIM", "The workitem of a study was claimed"),
    "POST /api/studies/{study_instance_uid}/release": Rule(Role.READER, act=CLAIM_ENDED),
    "POST /api/studies/{study_instance_uid}/label": act(Role.READER, "LABEL", "What a reader says the study is"),
    "POST /api/studies/{study_instance_uid}/acknowledgement": act(Role.READER, "PAGE-ACK", "A page was acknowledged"),
    "POST /api/studies/{study_instance_uid}/disagreements": act(Role.READER, "DISAGREE", "A reader disagrees"),
    "POST /api/studies/{study_instance_uid}/disagreements/{number}/withdrawal": act(
        Role.READER, "DISAGREE-WITHDRAW", "A disagreement was withdrawn"
    ),
    "GET /api/adjudication": ADJUDICATE,
    "GET /api/adjudication/studies/{study_instance_uid}": Rule(Role.ADJUDICATOR, Trace.VIEW),
    "POST /api/adjudication/studies/{study_instance_uid}": act(Role.ADJUDICATOR, "JUDGE", "A disagreement was judged"),
    "GET /api/adjudication/ties/{study}/{case}": ADJUDICATE,
    "GET /api/adjudication/ties/{study}/{case}/image": ADJUDICATE,
    "POST /api/adjudication/ties/{study}/{case}": act(Role.ADJUDICATOR, "JUDGE-TIE", "A reader study's tie was judged"),
    "POST /api/requeue": Rule(Role.ADMIN, act=REQUEUED),
    "GET /workitems": SEARCH,
    "GET /workitems/{workitem}": VIEW,
    "POST /workitems/{workitem}": act(Role.READER, "WORKITEM", "A workitem was updated"),
    "POST /workitems/{workitem}/subscribers/{subscriber:path}": READ,
    "DELETE /workitems/{workitem}/subscribers/{subscriber:path}": READ,
    "PUT /workitems/{workitem}/state": act(Role.READER, "WORKITEM-STATE", "A workitem changed its state"),
    "POST /workitems/{workitem}/cancelrequest": act(Role.READER, "WORKITEM-CANCEL", "A workitem was cancelled"),
}
PARTS = frozenset({"limit", "cursor", "tag", "offset", "includefield", "fuzzymatching"})
"""Query parameters that search for no patient: they select a part of the list and its form."""
