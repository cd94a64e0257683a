"""Name and role of a user from the claims of the provider. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from triage.security.roles import Role
from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem
from triage.web.auth.role_mapping import RoleMapping
from triage.web.auth.sign_in import is_name

_LONGEST_NAME = 128  # of a user principal name at Microsoft's: 113


@dataclass(frozen=True)
class ProviderIdentity:
    """A user known to the provider. ``subject`` is the provider's permanent name (claim sub)."""

    name: str
    role: Role
    subject: str


@dataclass(frozen=True)
class ClaimMapping:
    """Claims that hold the name and the roles of a user, and the meaning of the roles here."""

    name_claim: str
    role_claim: str
    roles: RoleMapping

    def stamp(self, issuer: str, client_id: str) -> str:
        """Return a digest of all settings that a role depends on; a change of them ends the sessions."""
        sources = [issuer, client_id, self.name_claim, self.role_claim]
        return sha256(json.dumps([sources, *map(sorted, self._roles)]).encode()).hexdigest()

    @property
    def _roles(self) -> tuple[frozenset[str], ...]:
        return self.roles.reader, self.roles.adjudicator, self.roles.admin

    def is_whole(self, claims: Mapping[str, object]) -> bool:
        """Return True if both claims are present, with whatever value."""
        return claim(claims, self.name_claim) is not None and claim(claims, self.role_claim) is not None

    def identity(self, claims: Mapping[str, object]) -> ProviderIdentity:
        """Return the user. Raises NotSignedInError for one without a name or without a role here."""
        name, subject = claim(claims, self.name_claim), str(claims["sub"])
        if not isinstance(name, str) or not is_name(name, _LONGEST_NAME):
            raise NotSignedInError(
                SignInProblem.NO_NAME,
                f"the claim {self.name_claim} is missing or no name (oidc.name_claim)",
                "",
                subject,
            )
        given = _texts(claim(claims, self.role_claim))
        role = self.roles.role(given)
        if role is not None:
            return ProviderIdentity(name, role, subject)
        raise NotSignedInError(
            SignInProblem.NO_ROLE,
            f"the claim {self.role_claim} {_described(given)} (oidc.role_claim, sign_in.reader_roles, "
            "adjudicator_roles, admin_roles)",
            name,
            subject,
        )


def claim(claims: Mapping[str, object], name: str) -> object:
    """Return the claim of that name; else, by the dots in the name, a nested one. None for none."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: object) -> frozenset[str]:
    """Return the role names of a claim: a text, or the texts of a list."""
    if isinstance(value, str):
        return frozenset([value])
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()


def _described(given: frozenset[str]) -> str:
    return f"has {len(given)} roles, and none that is known here" if given else "is missing or has no role as text"
