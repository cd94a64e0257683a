"""The whole way: Orthanc routes arriving radiographs to us; the report is back in the same study, the ORU arrived."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.channels.mllp_listener import acknowledging, mllp_listener
from tests.channels.peers import Orthanc, free_port, orthanc
from tests.channels.studies import a_radiograph
from tests.model_folders import write_model
from tests.waiting import wait_for
from triage.dx import part10

PAGE = (Path(__file__).parents[2] / "docs" / "connect-your-pacs.md").read_text()


def shown(language: str) -> str:
    """What docs/connect-your-pacs.md tells people to give Orthanc."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


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
        wait_for(lambda: ready(worker) or process.poll() is not None, "the worker", timeout_s=120)
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
    script = tmp_path / "route.lua"
    script.write_text(shown("lua"))
    dicom_port, port = free_port(), free_port()
    settings = {**json.loads(shown("json")), "LuaScripts": [str(script)]}
    settings["DicomPort"] = dicom_port
    settings["DicomModalities"]["triage"][1:] = ["127.0.0.1", port]
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
                assert ris.fields("TQ1")[9].startswith("S")
            send(written(tmp_path, part10(second)), port)  # while the PACS is away, another modality sends to us
            wait_for(lambda: len(ris.received) == 2, "the second ORU")
            with orthanc(tmp_path / "pacs", dicom_port=dicom_port, **settings) as pacs:
                wait_for(lambda: reports(pacs, second.StudyInstanceUID), "the report after the outage")
                assert len(reports(pacs, second.StudyInstanceUID)) == 1
                assert len(reports(pacs, first.StudyInstanceUID)) == 1
                wait_for(lambda: maps(pacs, second.StudyInstanceUID), "the map after the outage")
                assert len(maps(pacs, first.StudyInstanceUID)) == 1
        assert len(ris.received) == 2


def send(path: Path, port: int) -> None:
    command = [sys.executable, "-m", "triage.cli", "send", str(path), "--to", f"127.0.0.1:{port}"]
    sent = subprocess.run(command, capture_output=True)
    assert sent.returncode == 0, sent.stderr


def written(folder: Path, content: bytes) -> Path:
    path = folder / "late.dcm"
    path.write_bytes(content)
    return path
