"""The runbook's drill: a backup while studies come in, restored elsewhere, and the service started on it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.sender.test_send import storescp
from tests.support.dicom_peer import data_set_of
from tests.support.model_folders import write_model
from tests.support.service import a_chest
from tests.support.wait import wait_for
from tests.support.whole_service import Service
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState

CHANNEL = """
[[channels.sr]]
name = "pacs"
host = "127.0.0.1"
port = {port}
called_ae_title = "PACS"
delay_s = 0
"""


def sent(folder: Path, numbers: range) -> Path:
    folder.mkdir()
    for number in numbers:
        (folder / f"{number}.dcm").write_bytes(a_chest(number))
    return folder


def delivered(service: Service) -> dict[str, bytes]:
    """What was acknowledged, by study."""
    outbox, spool = Outbox(service.spool), service.spool
    return {
        uid: data_set_of((spool.study_folder(uid) / "deliveries" / f"pacs+{record.number:04d}.sent").read_bytes())
        for uid in spool.study_uids()
        for record in outbox.records(uid)
        if record.state is DeliveryState.DELIVERED
    }


def quiet(service: Service) -> bool:
    outbox = Outbox(service.spool)
    return not (any(service.spool.waiting()) or outbox.marked("pacs") or outbox.waiting("pacs"))


@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/usr/bin/storescp").exists(), reason="no storescp: apt-get install dcmtk")
def test_restored_elsewhere_the_list_is_the_same_and_nothing_is_delivered_twice(tmp_path: Path) -> None:
    write_model(tmp_path / "models")
    (tmp_path / "pacs").mkdir()
    with storescp(tmp_path / "pacs") as port:
        config = tmp_path / "triage.toml"
        config.write_text(CHANNEL.format(port=port))
        settings: dict[str, str | int] = {
            "config": str(config),
            "deliver_metrics_port": 0,
            "deliver_interval_s": "0.2",
            "sign_in_users_file": str(tmp_path / "users.json"),
            "audit_path": str(tmp_path / "audit" / "audit.xml"),
            "audit_always": "true",
        }
        with Service(tmp_path / "service", tmp_path / "models", **settings) as service:
            service.environment["TRIAGE_CONFIG"] = str(config)  # of its commands
            service.run("send", sent(tmp_path / "before", range(6)))
            wait_for(lambda: quiet(service), "the first studies to be delivered")
            earlier = service.worklist()
            more = sent(tmp_path / "more", range(6, 18))
            load = threading.Thread(target=service.run, args=("send", more))
            load.start()
            said = [service.run("backup", tmp_path / "backups").stdout for _ in range(2)]
            load.join()
            wait_for(lambda: quiet(service), "the others to be delivered")
            told, listed = delivered(service), service.worklist()
            assert service.stop() == 0
        assert all(" is whole: " in each for each in said)
        assert "is whole" in service.run("backup", tmp_path / "backups", "--verify").stdout

        restored = tmp_path / "restored"
        said_next = service.run("restore", tmp_path / "backups", restored).stdout
        assert f'spool.path = "{restored}/spool"' in said_next
        assert (restored / "triage.toml").read_text() == config.read_text()
        had = set(delivered(Service(tmp_path / "look", tmp_path, **{"spool_path": str(restored / "spool")})))
        (tmp_path / "pacs-then").mkdir()
        for path in (tmp_path / "pacs").iterdir():
            path.rename(tmp_path / "pacs-then" / path.name)
        settings |= {"spool_path": str(restored / "spool"), "audit_path": str(restored / "audit" / "audit.xml")}
        with Service(tmp_path / "elsewhere", restored / "models", **settings) as again:
            wait_for(lambda: quiet(again), "what was half-way to be delivered")
            found = again.worklist()
            now = delivered(again)
            assert again.stop() == 0
        assert "ERROR" not in again.log(), again.log()
        assert earlier.keys() <= found.keys() <= listed.keys()
        for uid, entry in found.items():
            assert [entry[key] for key in ("tag", "priority")] == [listed[uid][key] for key in ("tag", "priority")]
        for uid in earlier:
            assert found[uid] == listed[uid]
        assert now.keys() == found.keys()
        again_sent = [data_set_of(path.read_bytes()) for path in (tmp_path / "pacs").iterdir()]
        assert len(again_sent) == len(now.keys() - had)  # nothing of what was delivered
        assert all(again_sent.count(now[uid]) == 1 for uid in now.keys() - had)
        assert all(now[uid] == told[uid] for uid in had)
