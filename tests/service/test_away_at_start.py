"""Processes that start while the database of a shared store is away: they wait, say for what, and end when told to."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.model_folders import write_model
from tests.support.ports import free_port, free_ports
from tests.support.service import Role, Roles
from tests.support.wait import wait_for
from tests.support.whole_service import fetch

PORT_OF = {
    "deliver": "deliver_metrics_port",
    "listen": "listener_metrics_port",
    "reports": "reports_metrics_port",
    "sweep": "sweep_metrics_port",
    "web": "web_port",
    "work": "worker_metrics_port",
}


def processes(folder: Path, database: int, **settings: object) -> Roles:
    """Processes of one host, with a database that is at a port of this machine, or is not."""
    values = {
        "store_kind": "postgres+s3",
        "store_scratch": folder / "scratch",
        "postgres_host": "127.0.0.1",
        "postgres_port": database,
        "postgres_database": "radiology",
        "postgres_user": "triage",
        "postgres_tls": "false",
        "s3_endpoint": f"http://127.0.0.1:{free_port()}",
        "s3_bucket": "radiographs",
        "s3_access_key": "key",
        "s3_secret_key": "secret",
        "reports_port": free_port(),
        "listener_port": free_port(),
        **settings,
    }
    texts = {f"TRIAGE_{name.upper()}": str(value) for name, value in values.items()}
    return Roles(folder, f"redis://127.0.0.1:{free_port()}/0", folder / "models", texts)


@pytest.mark.parametrize("name", sorted(PORT_OF))
def test_a_process_waits_and_names_the_database_and_what_to_do(name: str, tmp_path: Path) -> None:
    database, port = free_port(), free_port()
    running = processes(tmp_path, database, **{PORT_OF[name]: port})
    try:
        role = running.start(name)
        where = f"waiting for postgresql://127.0.0.1:{database}/radiology: the database cannot be reached"
        wait_for(lambda: role.said(where), "it to say what it waits for", 120.0)
        assert role.said("or correct postgres.host and postgres.port")
        status, words = wait_for(lambda: answer(port, "/readyz"), "its port to be open")
        assert status == 503 and words.startswith(where)
        assert fetch(port, "/healthz") == (200, "alive\n")
        assert fetch(port, "/api/worklist")[0] == (503 if name == "web" else 404)
        assert role.process.poll() is None
        assert role.terminate() == 0
        assert not role.said("Traceback")
    finally:
        running.end()


def answer(port: int, path: str) -> tuple[int, str]:
    """The status and the text; nothing while no one answers."""
    found = fetch(port, path)
    return found if found[0] else ()  # type: ignore[return-value]


def test_up_starts_all_of_them_and_ends_in_order(tmp_path: Path) -> None:
    write_model(tmp_path / "models", "tiny-adult")
    ports = dict(zip(PORT_OF.values(), range(free_ports(len(PORT_OF)), 1 << 16), strict=False))
    running = processes(tmp_path, free_port(), **ports)
    try:
        up = running.start("up")
        wait_for(lambda: up.said("Each process starts, and waits for it"), "`up` to go on", 120.0)
        names = ("listen", "reports", "sweep", "web", "work")
        wait_for(lambda: all(up.said(f"{name}: waiting for postgresql") for name in names), "all to wait", 240.0)
        assert up.process.poll() is None
        assert up.terminate(240.0) == 0
    finally:
        end(up)
        running.end()


def end(up: Role) -> None:
    """Have it stop its processes, where the test ended before."""
    if up.process.poll() is None:
        up.process.send_signal(signal.SIGTERM)
        up.process.wait(240)
