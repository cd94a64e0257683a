"""Roles of users. A module of its own: `triage --help` names the roles and needs no other code."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The rights of a user."""

    READER = "reader"  # view studies, mark them as read, label them
    ADMIN = "admin"  # also requeue dead letters

    def may(self, needed: Role) -> bool:
        """Return True if this role includes ``needed``."""
        return self is Role.ADMIN or needed is Role.READER
