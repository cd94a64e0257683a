"""The log of the whole service as JSON: every line of every process, and one study followed through it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.receivers import store_scp
from tests.support.studies import a_radiograph
from tests.support.wait import wait_for
from tests.support.whole_service import TRIAGE, Service
from triage.dicom.dx_image import part10

STUDY = "1.2.826.0.1.3680043.8.498.1"


def test_a_study_is_followed_from_its_association_to_the_receipt_of_each_delivery(tmp_path: Path) -> None:
    write_model(tmp_path / "models")
    config, image = tmp_path / "triage.toml", tmp_path / "image.dcm"
    with store_scp() as pacs, mllp_listener(acknowledging("AA")) as ris:
        config.write_text(
            f'[deliver]\nmetrics_port = {free_port()}\n[log]\nformat = "json"\n'
            f'[[channels.sr]]\nname = "pacs"\nhost = "127.0.0.1"\nport = {pacs.port}\ncalled_ae_title = "PACS"\n'
            f'[[channels.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {ris.port}\n'
        )
        with Service(tmp_path / "service", tmp_path / "models", config=config) as service:
            image.write_bytes(part10(a_radiograph(STUDY)))
            service.run("--config", config, "send", image)
            wait_for(lambda: len(pacs.received) + len(ris.received) == 2, "both deliveries", 120.0)
            wait_for(lambda: service.log().count("was delivered") == 2, "both receipts", 30.0)
            page = service.run("--config", config, "explain", STUDY).stdout
            service.stop()
            lines: list[dict[str, Any]] = [json.loads(line) for line in service.log().splitlines()]
    assert {"up", "listen", "work", "sweep", "web", "deliver"} == {each["process"] for each in lines}
    about = [each for each in lines if each.get("study") == STUDY]
    stored, tagged, *delivered = about
    association = stored["association"]
    assert f"association {association}" in page
    assert stored["message"].startswith("stored: object")
    assert tagged["message"].startswith(f"study {STUDY} is tagged")
    assert {each["destination"] for each in delivered} == {"pacs", "ris"}
    assert all(each["association"] == association for each in about)
    (to_ris,) = (each for each in delivered if each["destination"] == "ris")
    assert to_ris["sent_as"] == ris.fields("MSH")[9]
    ended = [each["message"] for each in lines if each.get("association") == association and "study" not in each]
    assert any("association with" in message and "released" in message for message in ended)


def test_a_process_that_cannot_start_says_so_in_json(tmp_path: Path) -> None:
    for environment in ({"TRIAGE_SPOOL_PATH": "/dev/null/spool"}, {"TRIAGE_LISTENER_PROT": "1"}):
        ran = subprocess.run(
            [TRIAGE, "listen"],
            env={"PATH": "/usr/bin:/bin", "TRIAGE_LOG_FORMAT": "json", **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 78
        assert json.loads(ran.stderr.splitlines()[-1])["level"] == "CRITICAL", ran.stderr
        assert all(json.loads(line)["process"] == "listen" for line in ran.stderr.splitlines())
