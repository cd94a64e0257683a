"""Roles here from the names of roles or groups at an identity provider or a reverse proxy. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from triage.security.roles import Role


@dataclass(frozen=True)
class RoleMapping:
    """Names of foreign roles that make a user a reader, an adjudicator or an admin here."""

    reader: frozenset[str]
    admin: frozenset[str]
    adjudicator: frozenset[str] = frozenset()

    def role(self, names: AbstractSet[str]) -> Role | None:
        """Return the highest role that one of ``names`` gives, or None."""
        if names & self.admin:
            return Role.ADMIN
        if names & self.adjudicator:
            return Role.ADJUDICATOR
        return Role.READER if names & self.reader else None
