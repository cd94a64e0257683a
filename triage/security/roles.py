"""What a user may do. Apart from the users themselves: `triage --help` names the roles and needs nothing else."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What somebody may do."""

    READER = "reader"  # look at studies, mark them as read, say what they are
    ADMIN = "admin"  # and requeue what was given up

    def may(self, needed: Role) -> bool:
        """Whether this role covers another."""
        return self is Role.ADMIN or needed is Role.READER
