"""README's "Point your PACS at it", step by step, with its own settings file."""

from __future__ import annotations

from pathlib import Path

from tests.support.dicom_senders import run, storescu
from tests.support.real_radiographs import Sent
from tests.support.whole_service import AE_TITLE, Service
from tests.test_docs import TEXTS, blocks

LEFT_TO_THE_FILE = ("SPOOL_PATH", "REDIS_SOCKET_PATH", "MODELS_PATH", "SPOOL_HIGH_WATER", "SPOOL_MIN_FREE_BYTES")


def test_a_pacs_administrator_gets_there(tmp_path: Path, models: Path, chests: list[Sent]) -> None:
    (text,) = blocks(TEXTS["README.md"], "toml")
    text = text.replace("/var/lib/cxr-triage", str(tmp_path)).replace("/opt/cxr-triage/models", str(models))
    file = tmp_path / "triage.toml"
    file.write_text(text)
    service = Service(tmp_path, models, listener_host="127.0.0.1")  # the file's 0.0.0.0 is not for tests
    for name in LEFT_TO_THE_FILE:
        del service.environment[f"TRIAGE_{name}"]
    service.environment["TRIAGE_CONFIG"] = str(file)
    with service:
        shown = service.run("up", "--print-config").stdout
        assert f'path = "{tmp_path}/spool"' in shown
        for calling, status in (("MY_PACS", 0), ("SOMEBODY", 1)):
            done = run("echoscu", "-aet", calling, "-aec", AE_TITLE, "127.0.0.1", service.dicom_port)
            assert done.returncode == status, done.stderr
        assert f"{len(chests)} of {len(chests)} files stored" in service.run("send", chests[0].path.parent).stdout
        assert "(Success)" in storescu(service.dicom_port, chests[-1].path, calling="MY_PACS")
        service.environment["TRIAGE_SPOOL_PATH"] = f"{tmp_path}/spool"  # for us to look into it
        entries = service.tagged(*(each.study for each in chests))
        assert next(iter(entries)) in service.run("worklist").stdout
        assert entries[chests[-1].study]["tag"] in service.run("explain", chests[-1].study).stdout
