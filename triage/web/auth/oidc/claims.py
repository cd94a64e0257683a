"""Who somebody is by the claims of the provider, and what he or she may do. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from triage.security.roles import Role
from triage.web.auth.oidc.errors import NotSignedInError, Wrong
from triage.web.auth.sign_in import is_name

_LONGEST_NAME = 128  # of a user principal name at Microsoft's: 113


@dataclass(frozen=True)
class Person:
    """Somebody whom the provider knows. ``subject`` is the provider's own, lasting name (the claim sub)."""

    name: str
    role: Role
    subject: str


@dataclass(frozen=True)
class ClaimNames:
    """Which claims say who it is and what he or she may do."""

    name_claim: str
    role_claim: str
    reader_roles: frozenset[str]
    admin_roles: frozenset[str]

    def stamp(self, issuer: str, client_id: str) -> str:
        """Changes with all that a role rests on: a session that was begun under other settings ends."""
        rests_on = [issuer, client_id, self.name_claim, self.role_claim]
        return sha256(json.dumps([rests_on, sorted(self.reader_roles), sorted(self.admin_roles)]).encode()).hexdigest()

    def is_whole(self, claims: Mapping[str, Any]) -> bool:
        """Whether what is needed is there at all, whatever it is."""
        return claim(claims, self.name_claim) is not None and claim(claims, self.role_claim) is not None

    def person(self, claims: Mapping[str, Any]) -> Person:
        """Raises NotSignedInError for who has no name, or no role here."""
        name, subject = claim(claims, self.name_claim), str(claims["sub"])
        if not isinstance(name, str) or not is_name(name, _LONGEST_NAME):
            raise NotSignedInError(
                Wrong.NO_NAME, f"the claim {self.name_claim} is not there, or no name (oidc.name_claim)", "", subject
            )
        given = _texts(claim(claims, self.role_claim))
        if given & self.admin_roles:
            return Person(name, Role.ADMIN, subject)
        if given & self.reader_roles:
            return Person(name, Role.READER, subject)
        raise NotSignedInError(
            Wrong.NO_ROLE,
            f"the claim {self.role_claim} {_found(given)} (oidc.role_claim, sign_in.reader_roles, admin_roles)",
            name,
            subject,
        )


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that very name; else, by its dots, one within others. None for none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: object) -> frozenset[str]:
    """A text is one role; of a list its texts are. All else is none."""
    if isinstance(value, str):
        return frozenset([value])
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()


def _found(given: frozenset[str]) -> str:
    return f"has {len(given)} roles, and none of ours" if given else "is not there, or has no role as text"
