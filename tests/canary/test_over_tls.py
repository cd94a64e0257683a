"""The canary of a listener that speaks TLS only, with and without certificates of clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.canary_service import Site, passed, site, stuck
from tests.support.certificates import Authority, Certificate, authority
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from triage.settings.load import SettingsError, load
from triage.settings.schema import Settings

ALL = {"stored", "queued", "scored", "decided", "delivered:pacs", "delivered:ris"}


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


def tls_only(certificate: Certificate, client_ca: Path | None = None) -> dict[str, str]:
    """The listener's certificate is made out to the name that its senders know, which is not loopback's."""
    return {
        "listener_tls_port": str(free_port()),
        "listener_tls_only": "true",
        "listener_tls_certificate": str(certificate.path),
        "listener_tls_key": str(certificate.key),
        "listener_tls_client_ca": str(client_ca or ""),
    }


def hospital(ca: Authority) -> Certificate:
    return ca.certificate("listener", host="DNS:triage.hospital.example")


def test_it_comes_out_without_any_certificate_of_its_own(
    tmp_path: Path, ca: Authority, redis_server: RedisServer
) -> None:
    with site(tmp_path / "site", redis_server.url, **tls_only(hospital(ca))) as ours:
        ours.start("work", "deliver", "listen")
        done = ours.fly()
        assert done.returncode == 0, done.stdout + done.stderr + ours.logs()
        assert set(passed(done)) == ALL
        assert ours.left() == []


def said_without(ours: Site, **environment: str) -> str:
    ours.roles.settings |= environment
    done = ours.fly()
    assert done.returncode == 78, done.stdout
    return done.stderr


def test_where_clients_need_one_it_says_so_and_shows_that_of_the_settings(
    tmp_path: Path, ca: Authority, redis_server: RedisServer
) -> None:
    own, stranger = ca.certificate("client"), authority(tmp_path, "other").certificate("stranger")
    with site(tmp_path / "site", redis_server.url, **tls_only(hospital(ca), ca.path)) as ours:
        assert "set client.tls_certificate and client.tls_key" in said_without(ours)

        ours.roles.settings |= {"TRIAGE_CLIENT_TLS_CERTIFICATE": str(stranger.path)}
        ours.roles.settings |= {"TRIAGE_CLIENT_TLS_KEY": str(stranger.key)}
        ours.start("work", "deliver", "listen")
        failed = stuck(ours.fly())
        assert failed.keys() == {"stored"}
        assert "refuses our certificate" in failed["stored"]
        assert "client.tls_certificate has to be of an authority in listener.tls_client_ca" in failed["stored"]

        ours.roles.settings |= {"TRIAGE_CLIENT_TLS_CERTIFICATE": str(own.path)}
        ours.roles.settings |= {"TRIAGE_CLIENT_TLS_KEY": str(own.key)}
        done = ours.fly()
        assert done.returncode == 0, done.stdout + done.stderr + ours.logs()
        assert set(passed(done)) == ALL


def test_a_schedule_that_the_listener_would_refuse_is_refused_with_the_settings(tmp_path: Path) -> None:
    listener = {"tls_port": 2762, "tls_only": True, "tls_certificate": "a.pem", "tls_key": "a.key"}
    pacs = {"name": "pacs", "host": "pacs", "port": 104, "called_ae_title": "PACS", "tls": True}
    shown = {"tls_certificate": "pacs.pem", "tls_key": "pacs.key"}
    canary = {"interval_minutes": 5}

    assert Settings.model_validate({"listener": listener, "canary": canary}).client_certificate is None
    asking = {"listener": {**listener, "tls_client_ca": "ca.pem"}, "canary": canary}
    (tmp_path / "triage.toml").write_text(
        '[listener]\ntls_port = 2762\ntls_only = true\ntls_certificate = "a"\ntls_key = "b"\ntls_client_ca = "c"\n'
        "[canary]\ninterval_minutes = 5\n"
    )
    with pytest.raises(SettingsError, match=r"set client\.tls_certificate and client\.tls_key"):
        load(tmp_path / "triage.toml", {})
    with pytest.raises(SettingsError, match="tls_certificate and tls_key need each other"):
        load(None, {"TRIAGE_CLIENT_TLS_CERTIFICATE": "c.pem"})

    of_pacs = Settings.model_validate({**asking, "channels": {"sr": [{**pacs, **shown}]}})
    assert of_pacs.client_certificate == (Path("pacs.pem"), Path("pacs.key"))
    own = {"client": {"tls_certificate": "c.pem", "tls_key": "c.key"}}
    assert Settings.model_validate({**asking, **own}).client_certificate == (Path("c.pem"), Path("c.key"))
    other = {**pacs, "name": "other", "tls_certificate": "o.pem", "tls_key": "o.key"}
    with pytest.raises(ValueError, match=r"client\.tls_certificate"):
        Settings.model_validate({**asking, "channels": {"sr": [{**pacs, **shown}, other]}})
