"""What a used service leaves behind: files and folders that nobody but its owner can read."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import httpx
import pytest

from tests.support.dicom_peer import DX, RawPeer
from tests.support.wait import wait_for
from tests.support.whole_service import TRIAGE, Service
from triage.phantom.samples import write_phantoms

PASSWORD = "twelve little radiologists"


@pytest.fixture
def everybody_s_umask() -> object:
    before = os.umask(0)
    yield None
    os.umask(before)


@pytest.mark.usefixtures("everybody_s_umask")
def test_a_used_service_leaves_nothing_that_others_can_read(tmp_path: Path, models: Path) -> None:
    var = tmp_path / "deep" / "var"
    config = tmp_path / "triage.toml"
    config.write_text(
        '[[channels.webhook]]\nname = "hook"\nurl = "http://127.0.0.1:9/x"\nsecret = "sixteen characters"\n'
    )
    with Service(
        tmp_path / "logs",
        models,
        spool_path=str(var / "data" / "spool"),
        redis_socket_path=str(Path(tempfile.mkdtemp(prefix="cxr-")) / "redis" / "redis.sock"),
        sign_in_method="users",
        sign_in_users_file=str(var / "people" / "users.json"),
        audit_path=str(var / "audit" / "audit.xml"),
        web_activation_map="true",
        web_ups="true",
        listener_validation_ae_title="VALIDATION",
        deliver_metrics_port=0,
        config=str(config),
    ) as service:
        redis = Path(service.environment["TRIAGE_REDIS_SOCKET_PATH"]).parent
        _add_user(service)
        samples = [each.path for each in write_phantoms(tmp_path / "samples")]
        service.run("send", *samples)
        service.run("canary", check=False)
        _send_garbage(service)
        with httpx.Client(base_url=f"http://127.0.0.1:{service.web_port}", trust_env=False, timeout=60) as ask:
            signed = ask.post("/sign-in", data={"name": "ann", "password": PASSWORD}, follow_redirects=False)
            assert signed.status_code == 303
            ask.headers["Cookie"] = signed.headers["set-cookie"].partition(";")[0]
            entries = wait_for(lambda: ask.get("/api/worklist").json()["entries"], "a tagged study")
            uid = entries[0]["study_instance_uid"]
            assert ask.post(f"/api/studies/{uid}/reading", json={"read": True}).status_code == 200
            assert ask.post(f"/api/studies/{uid}/label", json={"label": True}).status_code == 200
            assert ask.get(f"/api/studies/{uid}").status_code == 200
        open_ = [*_readable_by_others(var), *_readable_by_others(redis)]
        assert len(list(service.spool.quarantined.iterdir())) == 2
    assert [str(path) for path in open_] == []
    assert [str(path) for path in _readable_by_others(var)] == []
    kinds = {path.parent.name for path in var.rglob("*") if path.is_file()}
    assert {"sessions", "people", "audit", "quarantine"} <= kinds


def _add_user(service: Service) -> None:
    subprocess.run(
        [TRIAGE, "user", "add", "ann", "--role", "admin"],
        input=f"{PASSWORD}\n",
        text=True,
        env=service.environment,
        check=True,
        capture_output=True,
    )


def _send_garbage(service: Service) -> None:
    """A C-STORE whose data set is nothing."""
    with RawPeer(service.dicom_port) as peer:
        peer.associate()
        peer.send_store(DX, "1.2.3", b"\xff" * 300)
        assert peer.status() == 0xC000


def _readable_by_others(folder: Path) -> list[Path]:
    wrong = []
    for path in [folder, *sorted(folder.rglob("*"))]:
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077:
            wrong.append(path)
    return wrong
