"""Who asks: a name and a role on every request, and who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from starlette.exceptions import HTTPException
from starlette.requests import Request


class Role(StrEnum):
    """What somebody may do."""

    READER = "reader"  # look at studies, mark them as read, say what they are
    ADMIN = "admin"  # and requeue what was given up


@dataclass(frozen=True)
class User:
    """Somebody who asks."""

    name: str
    role: Role


NOBODY = (
    "patients' data are shown, and anything is changed, on loopback only, because there is no sign-in yet: set "
    "web.host to 127.0.0.1 and use the page on this machine or through a tunnel"
)
LOCAL = User("local", Role.ADMIN)
"""Whoever sits at this machine."""


def user_of(request: Request) -> User:
    """Who asks; HTTPException 403 where that is not known: off loopback, as there is no sign-in yet."""
    user = request.scope.get("triage.user")
    if user is None:
        raise HTTPException(403, NOBODY)
    assert isinstance(user, User)
    return user


def require_admin(request: Request) -> User:
    """Who asks, if that is an admin; HTTPException 403 otherwise."""
    user = user_of(request)
    if user.role is not Role.ADMIN:
        raise HTTPException(403, "this needs the role admin")
    return user
