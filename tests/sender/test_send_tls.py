"""Sending over TLS: to DCMTK's storescp by name and authority, and to our own listener by the file that it serves."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread

from tests.channels.test_tls import dcmtk_scp
from tests.support.certificates import Authority, Certificate, authority
from tests.support.dicom_peer import running_listener
from tests.support.ports import free_port
from triage.cli import triage
from triage.errors import StartError
from triage.listener.address import own_listener
from triage.listener.settings import ListenerSettings
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.sender.send import send
from triage.spool.spool import Spool

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _left_by_pynetdicom() -> Iterator[None]:
    """Collected while the filter above holds, and not in another test."""
    yield
    gc.collect()


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.dcm"
    path.write_bytes(as_dicom(draw(1, rows=96, columns=64), PhantomSubject()))
    return path


def sent(image: Path, *arguments: object, **environment: object) -> Result:
    """`triage send`, to its end."""
    variables = {f"TRIAGE_{name}".upper(): str(value) for name, value in environment.items()}
    return CliRunner().invoke(triage, ["send", str(image), *map(str, arguments)], env=variables)


def settings(port: int, certificate: Certificate, client_ca: Path | None = None) -> ListenerSettings:
    return ListenerSettings(
        tls_port=port,
        tls_only=True,
        tls_certificate=certificate.path,
        tls_key=certificate.key,
        tls_client_ca=client_ca,
    )


@pytest.mark.parametrize("asks", [False, True])
def test_storescp_gets_it_over_tls(tmp_path: Path, ca: Authority, image: Path, asks: bool) -> None:
    pacs, ours = ca.certificate("pacs"), ca.certificate("ours")
    asking = ["+cf", ca.path] if asks else ["-ic"]
    with dcmtk_scp(tmp_path / "pacs_folder", "+tls", pacs.key, pacs.path, *asking) as port:
        to = ["--to", f"127.0.0.1:{port}", "--called-ae", "PACS", "--tls", "--tls-ca-file", ca.path]
        shown = ["--tls-certificate", ours.path, "--tls-key", ours.key]
        done = sent(image, *to, *shown)
        assert (done.exit_code, "1 of 1 files stored" in done.output) == (0, True), done.output
        (kept,) = (tmp_path / "pacs_folder").iterdir()
        assert dcmread(kept).SOPInstanceUID == dcmread(image).SOPInstanceUID
        kept.unlink()
        if asks:
            refused = sent(image, *to)
            assert refused.exit_code == 1
            assert "or asks for one that we were not given" in refused.output
            by_setting = sent(image, *to, client_tls_certificate=ours.path, client_tls_key=ours.key)
            assert by_setting.exit_code == 0, by_setting.output
        missing = sent(image, *to[:-1], tmp_path / "missing.pem")
        assert (missing.exit_code, "missing.pem" in missing.output) == (1, True)
        misnamed = sent(image, *to, *shown, "--tls-server-name", "pacs.hospital.example")
        assert misnamed.exit_code == 1
        assert "made out to another name" in misnamed.output and "--tls-server-name" in misnamed.output


def test_our_own_listener_is_known_by_its_file_and_by_nothing_else(
    spool: Spool, tmp_path: Path, ca: Authority, image: Path
) -> None:
    served = ca.certificate("listener", host="DNS:triage.hospital.example")
    same_authority = ca.certificate("other", host="IP:127.0.0.1")
    served.path.write_text(served.path.read_text() + ca.path.read_text())  # with its authority behind, as many are
    tls = {"tls_port": 0, "tls_only": True, "tls_certificate": served.path, "tls_key": served.key}
    with running_listener(spool, **tls) as listener:
        here = settings(listener.port, served)
        assert [each.error for each in send([image], own_listener(here, None, "SENDER"))] == [""]
        assert len(listener.inbox) == 1

        (outcome,) = send([image], own_listener(settings(listener.port, same_authority), None, "SENDER"))
        assert not outcome.reached
        assert "no TLS with CXR_TRIAGE" in outcome.error
        assert "it has to serve the certificate that listener.tls_certificate names here" in outcome.error

        (outcome,) = send([image], own_listener(settings(listener.port, Certificate(image, image)), None, "SENDER"))
        assert "has no certificate in PEM" in outcome.error

        environment = {"listener_tls_port": listener.port, "listener_tls_only": "true"}
        files = {"listener_tls_certificate": served.path, "listener_tls_key": served.key}
        assert sent(image, **environment, **files).exit_code == 0


def test_a_listener_that_asks_for_a_certificate_gets_that_of_the_settings(
    spool: Spool, ca: Authority, image: Path
) -> None:
    served, ours = ca.certificate("listener"), ca.certificate("client")
    tls = {"tls_port": 0, "tls_certificate": served.path, "tls_key": served.key, "tls_client_ca": ca.path}
    with running_listener(spool, **tls) as listener:
        here = settings(listener.ports[1], served, ca.path)
        with pytest.raises(StartError, match=r"set client\.tls_certificate"):
            own_listener(here, None, "SENDER")
        assert [each.error for each in send([image], own_listener(here, (ours.path, ours.key), "SENDER"))] == [""]

        both = {f"listener_{name}": value for name, value in tls.items()} | {"listener_tls_port": listener.ports[1]}
        plain = sent(image, **both, listener_port=listener.port)
        assert plain.exit_code == 0, plain.output  # where there are both ports, the plain one is taken
        assert listener.counted("tls_failures_total", reason="no_certificate") == 0
        told = sent(image, "--tls", **both, listener_port=listener.port)
        assert (told.exit_code, "set client.tls_certificate" in told.output) == (78, True)
        shown = sent(image, "--tls", "--tls-certificate", ours.path, "--tls-key", ours.key, **both)
        assert shown.exit_code == 0, shown.output


def test_options_that_say_half_are_refused(tmp_path: Path, ca: Authority, image: Path) -> None:
    ours, to = ca.certificate("ours"), ["--to", f"127.0.0.1:{free_port()}"]
    for arguments, words in (
        ([*to, "--tls-ca-file", ca.path], "need --tls"),
        ([*to, "--tls", "--tls-certificate", ours.path], "need each other"),
        (["--tls-ca-file", ca.path], "need --to"),
        (["--tls"], "tls_port is not set"),
        (["--to", "somewhere"], "use HOST:PORT"),
    ):
        done = sent(image, *arguments)
        assert done.exit_code == 78
        assert words in done.output
