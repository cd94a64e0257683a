"""Results over TLS: to DCMTK's storescp and to peers with good and bad certificates; what a failure is said to be."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pynetdicom import AE, AllStoragePresentationContexts
from pynetdicom.sop_class import Verification

from tests.channels.test_ups import a_deliverer as a_ups_deliverer
from tests.channels.test_ups import only, states
from tests.delivery.test_deliverer import Clock
from tests.support.certificates import Authority, Certificate, authority, server_context
from tests.support.ports import free_port
from tests.support.receivers import listens, silent_port, store_scp
from tests.support.studies import a_study
from tests.support.ups_manager import ups_manager
from tests.support.wait import wait_for
from triage.channels.registry import channel_of
from triage.channels.sr.settings import SRDestination
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.errors import UnreachableError
from triage.metrics.delivery import DeliveryMetrics
from triage.spool.spool import Spool

STORESCP = "/usr/bin/storescp"

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


@contextmanager
def dcmtk_scp(folder: Path, *tls: str | Path) -> Iterator[int]:
    """A storescp with TLS that keeps what it gets in ``folder``: its port."""
    if not Path(STORESCP).exists():
        pytest.skip("DCMTK: sudo apt-get install dcmtk")
    folder.mkdir()
    port = free_port()
    process = subprocess.Popen([STORESCP, *map(str, tls), "-od", str(folder), str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port), "storescp")
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def scp(context: ssl.SSLContext | None) -> Iterator[int]:
    """A PACS that takes reports, over TLS if it has a context: its port."""
    entity = AE("PACS")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context(Verification)
    port = free_port()
    server = entity.start_server(("127.0.0.1", port), block=False, ssl_context=context)
    try:
        yield port
    finally:
        server.shutdown()


def destination(port: int, **settings: Any) -> SRDestination:
    values = {"name": "pacs", "host": "127.0.0.1", "port": port, "called_ae_title": "PACS", "timeout_s": 20.0}
    return SRDestination(**{**values, "tls": True, **settings})


def tried(port: int, **settings: Any) -> str:
    """What `triage test-destination` finds."""
    try:
        return "\n".join(channel_of(destination(port, **settings)).check())
    except UnreachableError as error:
        return str(error)


def shown(certificate: Certificate) -> dict[str, Path]:
    return {"tls_certificate": certificate.path, "tls_key": certificate.key}


def test_a_report_reaches_dcmtk_over_tls_with_certificates_on_both_sides(spool: Spool, tmp_path: Path, ca: Authority):
    theirs, mine = ca.certificate("pacs"), ca.certificate("triage")
    folder = tmp_path / "received"
    with dcmtk_scp(folder, "+tls", theirs.key, theirs.path, "+cf", ca.path, "-rc") as port:
        found = tried(port, tls_ca_file=ca.path, **shown(mine))
        assert "C-ECHO: succeeded" in found
        assert "over TLSv1." in found
        deliverer = a_deliverer(spool, destination(port, tls_ca_file=ca.path, delay_s=0.0, **shown(mine)))
        study = a_study(spool, "pacs")
        deliverer.round()

    assert [each.state for each in deliverer.outbox.records(study)] == [DeliveryState.DELIVERED]
    assert len(list(folder.iterdir())) == 1


def a_deliverer(spool: Spool, to: SRDestination) -> Any:
    outbox = Outbox(spool)
    outbox.prepare([to.name])
    return Deliverer(spool, outbox, to, channel_of(to), DeliveryMetrics(CollectorRegistry()), now=Clock())


def test_what_is_wrong_with_the_peers_certificate_is_said(tmp_path: Path, ca: Authority):
    stranger = authority(tmp_path, "stranger")
    for certificate, words in (
        (ca.certificate("expired", days=-1), "has expired"),
        (ca.certificate("elsewhere", host="DNS:pacs.example"), "made out to another name"),
        (stranger.certificate("unknown"), "signed by no authority that we were given"),
    ):
        with scp(server_context(certificate)) as port:
            assert words in tried(port, tls_ca_file=ca.path)
    with scp(server_context(ca.certificate("named", host="DNS:pacs.example"))) as port:
        assert "C-ECHO: succeeded" in tried(port, tls_ca_file=ca.path, tls_server_name="pacs.example")


def test_a_peer_that_asks_for_our_certificate_says_so(tmp_path: Path, ca: Authority):
    stranger = authority(tmp_path, "stranger").certificate("stranger_client")
    with scp(server_context(ca.certificate("pacs"), ca.path)) as port:
        assert "C-ECHO: succeeded" in tried(port, tls_ca_file=ca.path, **shown(ca.certificate("triage")))
        for wrong in ({}, shown(stranger)):
            assert "it refuses our certificate, or asks for one" in tried(port, tls_ca_file=ca.path, **wrong)


def test_a_peer_without_tls_and_nobody_are_told_apart(ca: Authority):
    with store_scp() as plain:
        assert "it does not speak TLS on this port" in tried(plain.port, tls_ca_file=ca.path)
    with silent_port() as silent:
        assert "it did not finish the handshake in time" in tried(silent, tls_ca_file=ca.path, timeout_s=1.0)
    assert "cannot connect" in tried(free_port(), tls_ca_file=ca.path)


def test_files_of_ours_that_are_missing_are_named(tmp_path: Path):
    assert "tls_ca_file" in tried(1, tls_ca_file=tmp_path / "missing.pem")


def test_what_cannot_be_sent_for_want_of_tls_is_kept(spool: Spool, ca: Authority):
    study = a_study(spool, "pacs")
    port = free_port()
    deliverer = a_deliverer(spool, destination(port, tls_ca_file=ca.path, delay_s=0.0))
    entity = AE("PACS")
    entity.supported_contexts = AllStoragePresentationContexts
    server = entity.start_server(
        ("127.0.0.1", port), block=False, ssl_context=server_context(ca.certificate("expired", days=-1))
    )
    try:
        deliverer.round()
    finally:
        server.shutdown()

    assert [each.state for each in deliverer.outbox.records(study)] == [DeliveryState.WAITING]
    assert "has expired" in deliverer.outbox.pause("pacs")[2]


def test_a_workitem_is_created_over_tls(spool: Spool, ca: Authority):
    study = a_study(spool, "ups")
    with ups_manager(tls=server_context(ca.certificate("manager"))) as manager:
        deliverer = a_ups_deliverer(spool, manager.port, tls=True, tls_ca_file=ca.path)
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert only(manager).StudyInstanceUID == study


@pytest.mark.parametrize(
    "settings", [{"tls": False, "tls_ca_file": "ca.pem"}, {"tls_certificate": "a.pem"}, {"tls_key": "a.key"}]
)
def test_settings_for_half_of_tls_are_refused(settings: dict[str, Any]):
    with pytest.raises(ValueError, match="tls_"):
        destination(1, **settings)
