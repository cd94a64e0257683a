"""`triage up` with a schedule: canaries come out at Orthanc, again and again, and the worklist never shows one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.receivers import Orthanc, orthanc
from tests.support.wait import wait_for
from tests.support.whole_service import fetch
from triage.canary.study import PATIENT_ID

SWEEP, WEB = free_port(), free_port()


@contextmanager
def the_service(folder: Path, pacs: int) -> Iterator[None]:
    """``triage up``, sending a canary every second."""
    write_model(folder / "models")
    config = folder / "triage.toml"
    config.write_text(
        f'[spool]\npath = "{folder}/spool"\nhigh_water = 1.0\nmin_free_bytes = 0\n'
        f'[redis]\nsocket_path = "{folder}/r.sock"\n[models]\npath = "{folder}/models"\n'
        f"[listener]\nport = {free_port()}\nmetrics_port = {free_port()}\n[web]\nport = {WEB}\n"
        f"[worker]\nmetrics_port = {free_port()}\ndecode_processes = 1\n[sweep]\nmetrics_port = {SWEEP}\n"
        f"[deliver]\nmetrics_port = {free_port()}\n[canary]\ninterval_minutes = 0.02\n"
        f'[[channels.sr]]\nname = "pacs"\nhost = "127.0.0.1"\nport = {pacs}\ncalled_ae_title = "PACS"\ncanary = true\n'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
    process = subprocess.Popen([sys.executable, "-m", "triage.cli", "--config", str(config), "up"], env=environment)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def canaries(pacs: Orthanc) -> list[dict[str, Any]]:
    return pacs.find("Study", PatientID=PATIENT_ID)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_canaries_come_out_at_a_pacs_and_show_on_no_list(tmp_path: Path) -> None:
    with orthanc(tmp_path / "pacs") as pacs, the_service(tmp_path, pacs.dicom_port):
        wait_for(lambda: "canary_duration_seconds_count 2.0" in fetch(SWEEP, "/metrics")[1], "two of them", 180.0)
        studies = canaries(pacs)
        assert len(studies) >= 2
        (series,) = pacs.find("Series", StudyInstanceUID=studies[0]["MainDicomTags"]["StudyInstanceUID"])
        report = dcmread(BytesIO(pacs.get(f"/instances/{series['Instances'][0]}/file")))
        assert (report.Modality, report.QualityControlSubject) == ("SR", "YES")
        _, metrics = fetch(SWEEP, "/metrics")
        (last,) = [line for line in metrics.splitlines() if line.startswith("cxr_triage_canary_last_success_timestamp")]
        assert float(last.split()[-1]) > 1.7e9
        status, body = fetch(WEB, "/api/worklist")
        assert (status, json.loads(body)["entries"]) == (200, [])
        operations = json.loads(fetch(WEB, "/api/operations")[1])
        told = {name: operations[name] for name in ("inbox_objects", "tagged_last_hour", "worklist_studies")}
        assert told == {"inbox_objects": 0, "tagged_last_hour": 0, "worklist_studies": 0}
