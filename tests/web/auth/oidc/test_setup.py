"""Settings with which the service starts, and the errors for those with which it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from triage.errors import StartError
from triage.metrics.web import WebMetrics
from triage.settings.load import SettingsError, load
from triage.settings.sections.audit import AuditSettings
from triage.settings.sections.oidc import OidcSettings
from triage.settings.sections.sign_in import SignInSettings
from triage.spool.spool import Spool
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.setup import AccessSettings, access_control
from triage.web.auth.sign_in import NoLocalUsers

WHOLE = {
    "issuer": "https://id.hospital.example/realms/house",
    "client_id": "us",
    "page_address": "https://triage.hospital.example",
}


def start(
    spool: Spool, folder: Path, host: str = "127.0.0.1", hosts: tuple[str, ...] = (), **sign_in: object
) -> object:
    given = {"method": "oidc", "users_file": folder / "users.json", **sign_in}
    audit = AuditSettings(path=folder / "audit.xml")
    settings, metrics = SignInSettings.model_validate(given), WebMetrics(CollectorRegistry())
    oidc = OidcSettings.model_validate(WHOLE)
    return access_control(host, AccessSettings(settings, audit, oidc), spool, metrics, frozenset(hosts)).sign_in


def test_it_starts_without_asking_the_provider(spool: Spool, tmp_path: Path):
    found = start(spool, tmp_path, hosts=("127.0.0.1", "triage.hospital.example"))
    assert isinstance(found, ProvidedUsers)
    assert found.local == NoLocalUsers()


def test_without_the_extra_one_line_says_what_to_install(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "joserfc", None)
    for module in ("id_token", "provider"):
        monkeypatch.delitem(sys.modules, f"triage.web.auth.oidc.{module}", raising=False)
    with pytest.raises(StartError) as refused:
        start(spool, tmp_path)
    assert str(refused.value) == (
        "sign_in.method = oidc needs joserfc, which is not installed: pip install 'cxr-triage[oidc]'"
    )


def test_a_name_by_which_we_do_not_answer_is_said(spool: Spool, tmp_path: Path):
    with pytest.raises(StartError, match=r"triage\.hospital\.example.*web\.names"):
        start(spool, tmp_path, hosts=("127.0.0.1", "localhost"))


def test_off_loopback_sessions_do_not_cross_the_network_unread(spool: Spool, tmp_path: Path):
    with pytest.raises(StartError, match=r"sign_in\.trusted_proxies"):
        start(spool, tmp_path, host="0.0.0.0")
    assert start(spool, tmp_path, host="0.0.0.0", trusted_proxies=["192.0.2.1"])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"issuer": ""}, r"needs oidc\.issuer"),
        ({"client_id": "", "page_address": ""}, r"needs oidc\.client_id, oidc\.page_address"),
        ({"issuer": "http://id.hospital.example"}, r"oidc\.issuer: .*http is taken on loopback alone"),
        ({"issuer": "http://127.0.0.1.example"}, "loopback alone"),
        ({"issuer": "https://id.hospital.example/?a=b"}, "query"),
        ({"issuer": "id.hospital.example"}, "no https address"),
        ({"issuer": "https://me:secret@id.hospital.example"}, "no https address"),
        ({"page_address": "http://triage.hospital.example/"}, r"oidc\.page_address: .*loopback alone"),
        ({"page_address": "javascript:alert(1)"}, "no https address"),
        ({"scopes": '["profile"]'}, "needs openid"),
        ({"timeout_s": "0"}, "timeout_s"),
    ],
)
def test_settings_with_which_nobody_could_sign_in_safely_are_refused(tmp_path: Path, changed: dict[str, str], why: str):
    given = WHOLE | changed
    lines = [f"{name} = {value if value.startswith(('[', '0')) else repr(value)}" for name, value in given.items()]
    file = tmp_path / "triage.toml"
    file.write_text('[sign_in]\nmethod = "oidc"\n[oidc]\n' + "\n".join(lines))
    with pytest.raises(SettingsError, match=why):
        load(file, {})


def test_on_loopback_http_is_taken_and_the_page_has_a_folder():
    found = OidcSettings(issuer="http://[::1]:8080", page_address="http://localhost:8080/triage")
    assert found.page_address == "http://localhost:8080/triage/"
