"""The whole way: Orthanc routes arriving radiographs to us; the report is back in the same study, the ORU arrived."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.support.certificates import authority
from tests.support.dicom_peer import running_listener
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.receivers import Orthanc, listens, orthanc
from tests.support.studies import a_radiograph
from tests.support.wait import wait_for
from triage.channels.registry import channel_of
from triage.channels.sr.settings import SRDestination
from triage.dicom.dx_image import part10
from triage.spool.spool import Spool

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "connect-your-pacs.md").read_text()


def shown(language: str) -> str:
    """What docs/how-to/connect-your-pacs.md tells people to give Orthanc."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


def command(containing: str) -> str:
    """A command line that the page gives people, the one with ``containing``."""
    (found,) = (each for each in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if containing in each)
    return str(found)


def routing(folder: Path, port: int) -> dict[str, Any]:
    """Orthanc's configuration as the page has it, with our port and the script in a file."""
    script = folder / "route.lua"
    script.write_text(shown("lua"))
    settings: dict[str, Any] = {**json.loads(shown("json")), "LuaScripts": [str(script)]}
    del settings["DicomPort"]
    settings["DicomModalities"]["triage"][1:] = ["127.0.0.1", port]
    return settings


def run_at(pacs: Orthanc, line: str) -> None:
    """Run a command line of the page on the machine of the PACS."""
    here = line.replace("localhost:8042", f"127.0.0.1:{pacs.http_port}")
    done = subprocess.run(["sh", "-e", "-c", here], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def failures(pacs: Orthanc) -> list[dict[str, Any]]:
    jobs = [pacs.get(f"/jobs/{each}") for each in pacs.get("/jobs")]
    return [each for each in jobs if each["State"] == "Failure"]


@contextmanager
def the_service(folder: Path, port: int, settings: str) -> Iterator[None]:
    """``triage up`` with ``settings``, from when it can work; ``port`` is its DICOM port."""
    worker = free_port()
    config = folder / "triage.toml"
    config.write_text(
        f'[spool]\npath = "{folder}/spool"\nhigh_water = 1.0\nmin_free_bytes = 0\n'
        f'[redis]\nsocket_path = "{folder}/r.sock"\n[models]\npath = "{folder}/models"\n'
        f"[listener]\nport = {port}\nmetrics_port = {free_port()}\n[web]\nport = {free_port()}\n"
        f"[worker]\nmetrics_port = {worker}\ndecode_processes = 1\n[sweep]\nmetrics_port = {free_port()}\n"
        f"[deliver]\nmetrics_port = {free_port()}\n{settings}"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
    process = subprocess.Popen([sys.executable, "-m", "triage.cli", "--config", str(config), "up"], env=environment)
    try:
        begun = "the worker and the listener"
        wait_for(lambda: (ready(worker) and listens(port)) or process.poll() is not None, begun, timeout_s=120)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def ready(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200)
    except OSError:
        return False


def reports(pacs: Orthanc, study: str) -> list[str]:
    return made(pacs, study, "SR")


def maps(pacs: Orthanc, study: str) -> list[str]:
    return made(pacs, study, "OT")


def made(pacs: Orthanc, study: str, modality: str) -> list[str]:
    found = pacs.find("Series", StudyInstanceUID=study, Modality=modality)
    return [instance for series in found for instance in series["Instances"]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_study_goes_round_and_an_outage_of_the_pacs_loses_and_doubles_nothing(tmp_path: Path):
    write_model(tmp_path / "models", bias=10.0, cam=True)  # everything is abnormal
    dicom_port, port = free_port(), free_port()
    settings = routing(tmp_path, port)
    with mllp_listener(acknowledging("AA")) as ris:
        channels = (
            f'[[channels.sr]]\nname = "pacs"\nhost = "127.0.0.1"\nport = {dicom_port}\ncalled_ae_title = "PACS"\n'
            f"delay_s = 0.0\nfirst_interval_s = 0.2\nlongest_interval_s = 1.0\n"
            f'[[channels.secondary_capture]]\nname = "maps"\nhost = "127.0.0.1"\nport = {dicom_port}\n'
            f'called_ae_title = "PACS"\ndelay_s = 0.0\nfirst_interval_s = 0.2\nlongest_interval_s = 1.0\n'
            f'[[channels.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {ris.port}\n'
        )
        with the_service(tmp_path, port, channels):
            first, second = (a_radiograph(f"1.2.826.0.1.3680043.8.498.{number}") for number in (1, 2))
            with orthanc(tmp_path / "pacs", dicom_port=dicom_port, **settings) as pacs:
                pacs.post("/instances", part10(first))
                (report,) = wait_for(lambda: reports(pacs, first.StudyInstanceUID), "the report", timeout_s=120)
                stored = dcmread(BytesIO(pacs.get(f"/instances/{report}/file")))
                assert stored.AccessionNumber == first.AccessionNumber
                (taken,) = wait_for(lambda: maps(pacs, first.StudyInstanceUID), "the activation map", timeout_s=120)
                picture = dcmread(BytesIO(pacs.get(f"/instances/{taken}/file")))
                assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
                wait_for(lambda: ris.received, "the ORU")
                assert ris.fields("OBX|1|")[5].startswith("ABNORMAL")
                assert ris.fields("TQ1")[9].startswith("A")
            send(written(tmp_path, part10(second)), port)  # while the PACS is away, another modality sends to us
            wait_for(lambda: len(ris.received) == 2, "the second ORU")
            with orthanc(tmp_path / "pacs", dicom_port=dicom_port, **settings) as pacs:
                wait_for(lambda: reports(pacs, second.StudyInstanceUID), "the report after the outage")
                assert len(reports(pacs, second.StudyInstanceUID)) == 1
                assert len(reports(pacs, first.StudyInstanceUID)) == 1
                wait_for(lambda: maps(pacs, second.StudyInstanceUID), "the map after the outage")
                assert len(maps(pacs, first.StudyInstanceUID)) == 1
        assert len(ris.received) == 2


@pytest.mark.parametrize("containing", ["/resubmit", "/tools/find"])
def test_what_orthanc_could_not_send_is_sent_after_an_outage_of_ours(spool: Spool, tmp_path: Path, containing: str):
    """By each of the two ways that the page has, after a restart of Orthanc too."""
    if shutil.which("jq") is None:
        pytest.skip("jq: sudo apt-get install jq")
    port = free_port()
    settings = routing(tmp_path, port)
    with orthanc(tmp_path / "pacs", **settings) as pacs:
        for number in (1, 2):
            pacs.post("/instances", part10(a_radiograph(f"1.2.826.0.1.3680043.8.498.{number}", StudyDate="20260302")))
        wait_for(lambda: len(failures(pacs)) == 2, "what Orthanc could not send")
    with orthanc(tmp_path / "pacs", **settings) as pacs, running_listener(spool, port=port) as ours:
        assert pacs.post("/modalities/triage/echo", b"{}") == {}
        run_at(pacs, command(containing))
        wait_for(lambda: len(ours.inbox) == 2, "what was kept")
        if containing == "/resubmit":
            wait_for(lambda: not failures(pacs), "the jobs to be done")


def test_orthanc_and_we_speak_tls_with_certificates_on_both_sides(spool: Spool, tmp_path: Path):
    ca = authority(tmp_path)
    mine, theirs = ca.certificate("listener"), ca.certificate("pacs")
    encrypted = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.path),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": str(ca.path),
    }
    assert all(name in PAGE for name in encrypted)
    tls = {"tls_port": 0, "tls_only": True, "tls_certificate": mine.path, "tls_key": mine.key, "tls_client_ca": ca.path}
    with running_listener(spool, **tls) as ours:
        settings = {**routing(tmp_path, 0), **encrypted}
        settings["DicomModalities"] = {
            "triage": {"AET": "CXR_TRIAGE", "Host": "127.0.0.1", "Port": ours.port, "UseDicomTls": True}
        }
        with orthanc(tmp_path / "pacs", **settings) as pacs:
            pacs.post("/instances", part10(a_radiograph("1.2.826.0.1.3680043.8.498.1")))
            wait_for(lambda: len(ours.inbox) == 1, "the radiograph")
            destination = SRDestination(
                name="pacs",
                host="127.0.0.1",
                port=pacs.dicom_port,
                called_ae_title="PACS",
                tls=True,
                tls_ca_file=ca.path,
                tls_certificate=mine.path,
                tls_key=mine.key,
            )
            assert "C-ECHO: succeeded." in channel_of(destination).check()


def send(path: Path, port: int) -> None:
    command = [sys.executable, "-m", "triage.cli", "send", str(path), "--to", f"127.0.0.1:{port}"]
    sent = subprocess.run(command, capture_output=True)
    assert sent.returncode == 0, sent.stderr


def written(folder: Path, content: bytes) -> Path:
    path = folder / "late.dcm"
    path.write_bytes(content)
    return path
