"""The listener over TLS: DCMTK as the peer, clients with and without certificates, silent peers, renewal."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from pynetdicom import AE

from tests.support.certificates import Authority, Certificate, authority, client_context
from tests.support.dicom_peer import DX, RawPeer, a_data_set, as_file, association, running_listener, store, with_meta
from tests.support.wait import wait_for
from triage.dicom.tls import ServerTLS, TLSFailure
from triage.errors import StartError
from triage.listener.settings import ListenerSettings
from triage.settings.load import SettingsError, load
from triage.spool.spool import Spool

STORESCU, ECHOSCU = "/usr/bin/storescu", "/usr/bin/echoscu"


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


@pytest.fixture
def ours(ca: Authority) -> Certificate:
    return ca.certificate("listener")


def settings(certificate: Certificate, **others: object) -> dict[str, object]:
    return {"tls_port": 0, "tls_certificate": certificate.path, "tls_key": certificate.key, **others}


def shaken(port: int, context: ssl.SSLContext) -> dict[str, object]:
    """The certificate that the listener shows."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        return dict(secure.getpeercert() or {})


def stored_with_tls(port: int, context: ssl.SSLContext) -> list[int]:
    entity = AE("MODALITY")
    entity.add_requested_context(DX)
    made = entity.associate("127.0.0.1", port, ae_title="CXR_TRIAGE", tls_args=(context, "127.0.0.1"))
    assert made.is_established
    try:
        return [int(made.send_c_store(with_meta(a_data_set(PixelData=bytes(range(256)) * 8192))).Status)]
    finally:
        made.release()


def dcmtk(command: str, port: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not Path(command).exists():
        pytest.skip("DCMTK: sudo apt-get install dcmtk")
    called = [command, "-aec", "CXR_TRIAGE", *map(str, arguments)]
    at = called.index("--") if "--" in called else len(called)
    called[at : at + 1] = ["127.0.0.1", str(port)]
    return subprocess.run(called, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("client_ca", [False, True])
def test_dcmtk_stores_over_tls(spool: Spool, tmp_path: Path, ca: Authority, ours: Certificate, client_ca: bool):
    file = as_file(a_data_set(PixelData=bytes(range(256)) * 4096), tmp_path / "image.dcm")
    theirs = ca.certificate("modality")
    with running_listener(spool, **settings(ours, tls_client_ca=ca.path if client_ca else None)) as listener:
        tls = ["+tls", theirs.key, theirs.path, "+cf", ca.path]
        sent = dcmtk(STORESCU, listener.ports[1], *tls, "--", file)
        assert sent.returncode == 0, sent.stderr
        wait_for(lambda: listener.counted("associations_open") == 0, "the association's end")

        assert len(listener.inbox) == 1
        assert listener.counted("associations_ended_total", how="released") == 1
        assert store(listener.port, a_data_set()) == [0x0000], "and the plain port goes on"


def test_a_client_without_a_certificate_is_told_and_counted(
    spool: Spool, tmp_path: Path, ca: Authority, ours: Certificate, caplog: pytest.LogCaptureFixture
):
    stranger = authority(tmp_path, "stranger").certificate("stranger_client")
    with running_listener(spool, **settings(ours, tls_client_ca=ca.path)) as listener:
        for with_what, failure in (
            (["+tla"], TLSFailure.NO_CERTIFICATE),
            (["+tls", stranger.key, stranger.path], TLSFailure.UNKNOWN_CA),
        ):
            refused = dcmtk(ECHOSCU, listener.ports[1], *with_what, "+cf", ca.path)
            assert refused.returncode != 0
            wait_for(lambda: listener.counted("tls_failures_total", reason=failure) == 1, failure)  # noqa: B023

    assert "it presents no certificate" in caplog.text
    assert listener.counted("associations_accepted_total", calling_ae_title="other") == 0


def test_what_speaks_no_tls_or_an_old_one_is_refused(
    spool: Spool, ca: Authority, ours: Certificate, caplog: pytest.LogCaptureFixture
):
    old = client_context(ca.path)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with running_listener(spool, **settings(ours)) as listener:
        with RawPeer(listener.ports[1]) as plain:
            assert plain.associate()[0] != 0x02
        with pytest.raises(ssl.SSLError):
            shaken(listener.ports[1], old)
        wait_for(lambda: listener.counted("tls_failures_total", reason=TLSFailure.NOT_TLS) == 1, "the plain peer")
        wait_for(lambda: listener.counted("tls_failures_total", reason=TLSFailure.NOTHING_COMMON) == 1, "the old one")
        with association(listener.port) as made:
            assert made.is_established


def test_peers_that_say_nothing_keep_nobody_out(
    spool: Spool, ca: Authority, ours: Certificate, monkeypatch: pytest.MonkeyPatch
):
    """Connections without a handshake, and some that stop in the middle of one: all wait in threads of their own."""
    monkeypatch.setattr("triage.listener.server._REQUEST_TIMEOUT_S", 3600.0)
    with running_listener(spool, max_associations=4, **settings(ours)) as listener, ExitStack() as stack:
        for _ in range(40):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", listener.ports[1])))
            silent.sendall(bytes.fromhex("1603010200"))  # the header of a ClientHello that never comes
        assert stored_with_tls(listener.ports[1], client_context(ca.path)) == [0x0000]
        assert store(listener.port, a_data_set()) == [0x0000]


def test_a_silent_peer_is_dropped(spool: Spool, ours: Certificate, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("triage.listener.server._REQUEST_TIMEOUT_S", 0.2)
    with running_listener(spool, **settings(ours)) as listener, RawPeer(listener.ports[1]) as silent:
        assert silent.receive() == (0, b"")
        wait_for(lambda: listener.counted("tls_failures_total", reason=TLSFailure.SILENT) == 1, "the count")


def test_silence_after_the_handshake_ends_an_association_too(spool: Spool, ca: Authority, ours: Certificate):
    context = client_context(ca.path)
    with running_listener(spool, network_timeout_s=0.2, **settings(ours)) as listener:
        entity = AE("MODALITY")
        entity.add_requested_context(DX)
        made = entity.associate("127.0.0.1", listener.ports[1], tls_args=(context, "127.0.0.1"))
        assert made.is_established
        wait_for(lambda: listener.counted("associations_ended_total", how="timed_out") == 1, "the end")
        wait_for(lambda: made.is_aborted, "the abort, encrypted")


def test_stopping_lets_associations_over_tls_finish(spool: Spool, ca: Authority, ours: Certificate):
    with running_listener(spool, **settings(ours)) as listener:
        entity = AE("MODALITY")
        entity.add_requested_context(DX)
        made = entity.associate("127.0.0.1", listener.ports[1], tls_args=(client_context(ca.path), "127.0.0.1"))
        listener.stop.set()
        assert made.send_c_store(with_meta(a_data_set())).Status == 0x0000
        made.release()

    assert len(listener.inbox) == 1
    assert listener.counted("associations_ended_total", how="released") == 1


def test_tls_only_opens_no_other_port(spool: Spool, ca: Authority, ours: Certificate):
    with running_listener(spool, **settings(ours, tls_only=True)) as listener:
        assert len(listener.ports) == 1
        assert stored_with_tls(listener.port, client_context(ca.path)) == [0x0000]


def test_a_renewed_certificate_serves_without_a_restart(
    spool: Spool, ca: Authority, ours: Certificate, caplog: pytest.LogCaptureFixture
):
    context = client_context(ca.path)
    with running_listener(spool, **settings(ours)) as listener:
        before = shaken(listener.ports[1], context)["serialNumber"]
        expires = listener.counted("tls_certificate_not_after_timestamp_seconds", use="listener")
        good = ours.path.read_bytes()
        ours.path.write_text("half of a")
        assert shaken(listener.ports[1], context)["serialNumber"] == before, "a broken one changes nothing"
        assert "the former one serves on" in caplog.text
        ours.path.write_bytes(good)
        ca.certificate("listener", days=90)
        assert shaken(listener.ports[1], context)["serialNumber"] != before
        later = listener.counted("tls_certificate_not_after_timestamp_seconds", use="listener")

    assert expires == pytest.approx(time.time() + 2 * 86400, abs=3600)
    assert later == pytest.approx(time.time() + 90 * 86400, abs=3600)


def let_in(port: int, ca: Authority, client: Certificate) -> bool:
    """Return whether a client with this certificate gets a response to C-ECHO."""
    return dcmtk(ECHOSCU, port, "+tls", client.key, client.path, "+cf", ca.path).returncode == 0


def test_a_revoked_certificate_is_refused_and_a_good_one_is_not(
    spool: Spool, tmp_path: Path, ca: Authority, ours: Certificate, caplog: pytest.LogCaptureFixture
):
    good, lost = ca.certificate("good"), ca.certificate("lost")
    crl = ca.revocation_list()
    with running_listener(spool, **settings(ours, tls_client_ca=ca.path, tls_client_crl=crl)) as listener:
        port = listener.ports[1]
        assert [let_in(port, ca, each) for each in (good, lost)] == [True, True]
        ca.revocation_list(lost)  # and no restart
        assert [let_in(port, ca, each) for each in (good, lost)] == [True, False]
        wait_for(lambda: listener.counted("tls_failures_total", reason="revoked") == 1, "the count")
        wait_for(lambda: "its authority has revoked its certificate" in caplog.text, "the line after the count")
        until = listener.counted("tls_crl_next_update_timestamp_seconds", use="listener")
        assert until == pytest.approx(time.time() + 7 * 86400, abs=3600)

        crl.write_text("half of a")
        assert [let_in(port, ca, each) for each in (good, lost)] == [True, False], "the former list holds"
        assert "has no certificate revocation list in PEM): the former one serves on" in caplog.text


def test_a_list_that_has_expired_or_is_another_s_lets_nobody_in_and_says_why(
    spool: Spool, tmp_path: Path, ca: Authority, ours: Certificate, caplog: pytest.LogCaptureFixture
):
    good, crl = ca.certificate("good"), ca.revocation_list(expired=True)
    with running_listener(spool, **settings(ours, tls_client_ca=ca.path, tls_client_crl=crl)) as listener:
        port = listener.ports[1]
        assert "ca.crl has expired: no client is let in over TLS until it is renewed" in caplog.text
        assert not let_in(port, ca, good)
        wait_for(lambda: listener.counted("tls_failures_total", reason="crl_expired") == 1, "the count")
        wait_for(lambda: "renew tls_client_crl" in caplog.text, "the line after the count")
        assert listener.counted("tls_crl_next_update_timestamp_seconds", use="listener") < time.time()
        assert store(listener.port, a_data_set()) == [0x0000], "the plain port goes on"

        crl.write_bytes(authority(tmp_path, "stranger").revocation_list().read_bytes())
        assert not let_in(port, ca, good)
        wait_for(lambda: listener.counted("tls_failures_total", reason="no_crl") == 1, "the count")
        ca.revocation_list()
        assert let_in(port, ca, good)


def test_files_that_cannot_be_used_stop_the_start_and_say_why(tmp_path: Path, ca: Authority, ours: Certificate):
    encrypted = tmp_path / "encrypted.key"
    command = ["openssl", "ec", "-in", str(ours.key), "-aes256", "-passout", "pass:secret", "-out", str(encrypted)]
    subprocess.run(command, check=True, capture_output=True)
    for certificate, key, words in (
        (tmp_path / "missing.pem", ours.key, "missing.pem: No such file"),
        (ours.path, ca.key, "do not belong together"),
        (ours.key, ours.key, "no PEM|do not belong together|no certificate"),
        (ours.path, encrypted, "without one"),
    ):
        with pytest.raises(StartError, match=words):
            ServerTLS(certificate, key)
    with pytest.raises(StartError, match="has no certificate revocation list in PEM"):
        ServerTLS(ours.path, ours.key, ca.path, ca.path)
    with pytest.raises(ValueError, match="tls_client_crl needs tls_client_ca"):
        ListenerSettings(tls_port=1, tls_certificate=ours.path, tls_key=ours.key, tls_client_crl=ca.path)


def test_settings_for_half_of_tls_are_refused(tmp_path: Path):
    for lines in ('tls_port = 2762\ntls_certificate = "a.pem"', "tls_only = true", 'tls_client_ca = "ca.pem"'):
        (tmp_path / "triage.toml").write_text(f"[listener]\n{lines}\n")
        with pytest.raises(SettingsError, match="tls_"):
            load(tmp_path / "triage.toml", {})
    (tmp_path / "triage.toml").write_text('[listener]\ntls_certificate = "a"\ntls_key = "b"\n')
    assert load(tmp_path / "triage.toml", {"TRIAGE_LISTENER_TLS_PORT": "2762"}).listener.tls_port == 2762


def test_the_log_says_which_port_is_encrypted(spool: Spool, ours: Certificate, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO), running_listener(spool, **settings(ours)) as listener:
        wait_for(lambda: len(listener.ports) == 2, "both ports")
    assert f"127.0.0.1:{listener.ports[1]} (TLS)" in caplog.text
