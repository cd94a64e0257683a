"""Who asks: a name and a role on every request, and who may do what."""

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
    "admit",
    "before_an_act",
    "caller_of",
    "concerns",
    "looks_for",
    "query_of",
    "study_of",
    "user_of",
]

_CALLER, _USER, _STUDY, _QUERY = "triage.caller", "triage.user", "triage.study", "triage.query"
_INTEND = "triage.intend"


@dataclass(frozen=True)
class User:
    """Somebody who asks."""

    name: str
    role: Role


LOCAL = User("local", Role.ADMIN)
"""Whoever sits at this machine."""


@dataclass(frozen=True)
class Caller:
    """Who asks, and from where. ``still`` is asked while an answer goes on: whether it may. Such an answer ends after
    ``stream_s`` seconds in any case, and is asked for again.
    """

    user: User
    address: str
    still: Callable[[], bool] = lambda: True
    stream_s: float = math.inf


def admit(scope: Scope, caller: Caller) -> None:
    """Put on a request who asks."""
    scope[_CALLER] = caller
    scope[_USER] = caller.user


def caller_of(request: Request) -> Caller:
    """Who asks; HTTPException 401 where nobody was admitted: the route has no rule that asks who."""
    caller = request.scope.get(_CALLER)
    if caller is None:
        raise HTTPException(401, "sign in first")
    assert isinstance(caller, Caller)
    return caller


def user_of(request: Request) -> User:
    """Who asks; HTTPException 401 where that is not known."""
    return caller_of(request).user


def concerns(request: Request, study_instance_uid: str) -> None:
    """Say which study a request is about, for the audit trail, where the address does not.

    Before anything is done to it: what is about to be done is written down here. Waits for the disk, and raises what
    keeps the trail from being written; nothing may be done then.
    """
    request.scope[_STUDY] = study_instance_uid
    intend = request.scope.get(_INTEND)
    if intend is not None:
        intend(study_instance_uid)


def before_an_act(scope: Scope, intend: Callable[[str], None]) -> None:
    """Have ``concerns`` tell of the study that a request is to change."""
    scope[_INTEND] = intend


def looks_for(request: Request, query: str) -> None:
    """Say what a request searches for, for the audit trail, where the address does not."""
    request.scope[_QUERY] = query


def query_of(scope: Scope) -> str:
    """What a request that says so searches for; else empty."""
    return str(scope.get(_QUERY, ""))


def study_of(scope: Scope) -> str:
    """Which study a request is about; empty for none."""
    return str(scope.get(_STUDY) or scope.get("path_params", {}).get("study_instance_uid", ""))
