"""Name and role of a user from the claims of a provider."""

from __future__ import annotations

from typing import Any

import pytest

from triage.security.roles import Role
from triage.web.auth.oidc.claims import ClaimMapping
from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem
from triage.web.auth.role_mapping import RoleMapping

ROLES = frozenset(["radiology"]), frozenset(["pacs-admins"])


def read(claims: dict[str, Any], name: str = "name", role: str = "roles") -> tuple[str, Role]:
    person = ClaimMapping(name, role, RoleMapping(*ROLES)).identity({"sub": "1", **claims})
    assert person.subject == "1"
    return person.name, person.role


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        ("radiology", Role.READER),
        (["other", "radiology"], Role.READER),
        (["radiology", "pacs-admins"], Role.ADMIN),
        ([1, None, ["pacs-admins"], {"a": "pacs-admins"}, "radiology"], Role.READER),
    ],
)
def test_a_text_or_the_texts_of_a_list_are_roles(roles: Any, role: Role):
    assert read({"name": "ann", "roles": roles}) == ("ann", role)


@pytest.mark.parametrize(
    "roles", [None, "", "Radiology", "radiology,pacs-admins", [], {"radiology": True}, 7, True, [["radiology"]]]
)
def test_who_has_no_role_is_refused(roles: Any):
    with pytest.raises(NotSignedInError) as refused:
        read({"name": "ann", "roles": roles})
    assert (refused.value.problem, refused.value.name, refused.value.subject) == (SignInProblem.NO_ROLE, "ann", "1")
    assert "oidc.role_claim" in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [None, 7, True, ["ann"], {"ann": 1}, "", " ", "local", "a" * 129, "ann\nbob", "ann\u202ebob", "\ud800", "ann\x00"],
)
def test_a_name_that_is_none_is_refused(name: Any):
    with pytest.raises(NotSignedInError) as refused:
        read({"name": name, "roles": "radiology"})
    assert refused.value.problem is SignInProblem.NO_NAME


def test_claims_lie_within_others_or_have_dots_in_their_names():
    assert read({"name": "ann", "realm_access": {"roles": ["radiology"]}}, role="realm_access.roles")[1] is Role.READER
    named = {"name": "ann", "https://h.example/roles": "pacs-admins"}
    assert read(named, role="https://h.example/roles")[1] is Role.ADMIN
    for within in ("text", [1], None, {"roles": {}}):
        with pytest.raises(NotSignedInError):
            read({"name": "ann", "realm_access": within}, role="realm_access.roles")


def test_all_that_a_role_rests_on_is_in_the_stamp():
    stamps = {
        ClaimMapping(name, role, RoleMapping(*roles)).stamp(issuer, client)
        for name, role, roles, issuer, client in (
            ("name", "roles", ROLES, "https://a", "us"),
            ("sub", "roles", ROLES, "https://a", "us"),
            ("name", "groups", ROLES, "https://a", "us"),
            ("name", "roles", ROLES[::-1], "https://a", "us"),
            ("name", "roles", ROLES, "https://b", "us"),
            ("name", "roles", ROLES, "https://a", "them"),
        )
    }
    assert len(stamps) == 6
