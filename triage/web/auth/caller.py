"""The caller of a request: a user with a role, and the study and query for the audit trail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope

from triage.security.roles import Role

__all__ = [
    "LOCAL",
    "Caller",
    "Role",
    "User",
    "call_before_act",
    "caller_of",
    "query_of",
    "set_caller",
    "set_query",
    "set_study",
    "study_of",
    "user_of",
]

_CALLER, _USER, _STUDY, _QUERY = "triage.caller", "triage.user", "triage.study", "triage.query"
_BEFORE_ACT = "triage.before_act"


@dataclass(frozen=True)
class User:
    """Name and role of an authenticated user."""

    name: str
    role: Role


LOCAL = User("local", Role.ADMIN)
"""The user on loopback, who does not sign in."""


@dataclass(frozen=True)
class Caller:
    """User and address of a request.

    During a streamed response ``still_valid`` is called: False ends the response. The response ends after ``stream_s``
    seconds in any case, and the client requests it again.
    """

    user: User
    address: str
    still_valid: Callable[[], bool] = lambda: True
    stream_s: float = math.inf


def set_caller(scope: Scope, caller: Caller) -> None:
    """Store the caller of a request."""
    scope[_CALLER] = caller
    scope[_USER] = caller.user


def caller_of(request: Request) -> Caller:
    """Return the caller. Raises HTTPException 401 on a route whose rule admits requests without one."""
    caller = request.scope.get(_CALLER)
    if caller is None:
        raise HTTPException(401, "sign in first")
    assert isinstance(caller, Caller)
    return caller


def user_of(request: Request) -> User:
    """Return the user of a request. Raises HTTPException 401 where there is none."""
    return caller_of(request).user


def set_study(request: Request, study_instance_uid: str) -> None:
    """Name the study of a request for the audit trail, where its address does not.

    Call it before anything is done to the study: the intended act is written to the audit trail here. It waits for the
    disk and raises AuditError if the trail cannot be written; the act must not be done then.
    """
    request.scope[_STUDY] = study_instance_uid
    record = request.scope.get(_BEFORE_ACT)
    if record is not None:
        record(study_instance_uid)


def call_before_act(scope: Scope, record: Callable[[str], None]) -> None:
    """Have ``set_study`` call ``record`` with the study that a request will change."""
    scope[_BEFORE_ACT] = record


def set_query(request: Request, query: str) -> None:
    """Store the query of a request for the audit trail, where its address does not hold it."""
    request.scope[_QUERY] = query


def query_of(scope: Scope) -> str:
    """Return the query that ``set_query`` stored; else an empty text."""
    return str(scope.get(_QUERY, ""))


def study_of(scope: Scope) -> str:
    """Return the Study Instance UID of a request; empty for none."""
    return str(scope.get(_STUDY) or scope.get("path_params", {}).get("study_instance_uid", ""))
