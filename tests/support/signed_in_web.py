"""The web process with sign-in: local users or a reverse proxy, and an audit trail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.support.redis_server import RedisServer
from tests.support.worklist_page import served
from triage.adjudication.rules import AdjudicationRules
from triage.metrics.web import WebMetrics
from triage.security import passwords
from triage.security.passwords import ScryptCost, hash_password
from triage.settings.sections.audit import AuditSettings
from triage.settings.sections.oidc import OidcSettings
from triage.settings.sections.sign_in import SignInSettings
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.web.app import known_hosts
from triage.web.auth.places import AccessPlaces
from triage.web.auth.setup import AccessSettings, access_control

READER, ADMIN = ("ann", "twelve little radiologists"), ("bob", "one administrator at 3 a.m.")
JUDGE = ("cleo", "a second opinion of all")
COOKIE = "__Host-triage"


@dataclass(frozen=True)
class SignedInWeb:
    """A served web process, and its folder."""

    address: str
    sources: Sources
    registry: CollectorRegistry
    folder: Path

    @property
    def audit(self) -> Path:
        return self.folder / "audit" / "audit.xml"

    @property
    def sessions(self) -> list[Path]:
        return list((self.folder / "sessions").glob("*.json"))

    def ask(self, credentials: tuple[str, str] | None = None, **headers: str) -> httpx.Client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Client(base_url=self.address, auth=credentials, headers=named, trust_env=False, timeout=60)

    def cookie(self, name: str = READER[0], password: str = READER[1]) -> str:
        """Return the cookie that a browser gets at sign-in."""
        with self.ask() as ask:
            answer = ask.post("/sign-in", data={"name": name, "password": password, "next": "/"})
        assert answer.status_code == 303, answer.text
        return answer.headers["set-cookie"].partition(";")[0]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"cxr_triage_{name}_total", labels) or 0.0


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use parameters of scrypt with which the server in this process compares passwords in no time."""
    make_passwords_quick(monkeypatch)


def make_passwords_quick(patch: pytest.MonkeyPatch) -> None:
    """Do what the fixture ``quick_passwords`` does for as long as ``patch`` holds."""
    quick = ScryptCost(8, 8, 1)
    patch.setattr(passwords, "COST", quick)
    patch.setattr(passwords, "UNKNOWN", hash_password("", quick))


@lru_cache
def _kept(password: str, cost: ScryptCost) -> str:
    return str(hash_password(password, cost))


def write_users(folder: Path, cost: ScryptCost | None = None) -> Path:
    """Write a file with a reader, an admin and an adjudicator."""
    path = folder / "users.json"
    users = [
        {"name": name, "role": role, "password": _kept(password, cost or passwords.COST), "stamp": f"{number}"}
        for number, (role, (name, password)) in enumerate(
            {"reader": READER, "admin": ADMIN, "adjudicator": JUDGE}.items()
        )
    ]
    path.write_text(json.dumps({"version": 1, "users": users}))
    path.chmod(0o600)
    return path


@contextmanager
def signed_in_web(
    redis: RedisServer, spool: Spool, folder: Path, *, audit: dict[str, Any] | None = None, called: str = "",
    oidc: dict[str, Any] | None = None, adjudication: AdjudicationRules | None = None,
    idle_lock_minutes: float = 0.0, places: AccessPlaces | None = None, **sign_in: Any,
) -> Iterator[SignedInWeb]:  # fmt: skip
    """Serve the web process with the settings of ``sign_in``; by default with the users of ``write_users``.

    ``called``: a host name in addition to those of loopback; ``oidc``: settings of an identity provider; ``places``:
    of users, sessions and audit trail, where they are not files.
    """
    registry = CollectorRegistry()
    given = {"method": "users", "users_file": write_users(folder), **sign_in}
    path = folder / "audit" / "audit.xml"
    settings = AuditSettings(**{"path": path, **(audit or {})})
    access = AccessSettings(SignInSettings(**given), settings, OidcSettings(**(oidc or {})), idle_lock_minutes, places)
    control = access_control("127.0.0.1", access, spool, WebMetrics(registry))
    with served(
        redis, spool, known_hosts("127.0.0.1", [called] if called else []), control, ups=True, adjudication=adjudication
    ) as (
        address,
        sources,
    ):
        sources.worklist.end_building(sources.worklist.begin_building())
        yield SignedInWeb(address, sources, registry, folder)
