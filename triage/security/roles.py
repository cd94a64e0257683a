"""Roles of users. A module of its own: `triage --help` names the roles and needs no other code."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The rights of a user."""

    READER = "reader"  # view studies, mark them as read, disagree
    ADJUDICATOR = "adjudicator"  # also judge disagreements
    ADMIN = "admin"  # also requeue dead letters

    def may(self, needed: Role) -> bool:
        """Return True if this role includes ``needed``."""
        return _RANK[self] >= _RANK[needed]


_RANK = {Role.READER: 0, Role.ADJUDICATOR: 1, Role.ADMIN: 2}
