"""``triage up``: the embedded Redis, the supervisor, and how everything ends."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from tests.support.dicom_peer import store
from tests.support.model_folders import write_model
from tests.support.service import Role, Roles, a_chest, assert_one_result_each, is_done, read_bytes, receive, roles
from tests.support.wait import wait_for
from triage.errors import EXIT_CANNOT_START, EXIT_LEAD_LOST, EXIT_TRY_AGAIN, StartError
from triage.runtime.sockets import open_port
from triage.service.embedded_redis import command, embedded_url
from triage.service.single_instance import single_instance
from triage.service.supervisor import Child
from triage.spool.spool import Spool


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult", bias=-10)
    return folder


@pytest.fixture
def socket_path() -> Iterator[Path]:
    # Not below pytest's tmp_path: a Unix socket's path is limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="cxr-up-"))
    yield folder / "redis" / "redis.sock"
    shutil.rmtree(folder)


@pytest.fixture
def running(tmp_path: Path, socket_path: Path, models: Path) -> Iterator[Roles]:
    ports = [_free_port(), _free_port()]
    settings = {"redis_socket_path": str(socket_path), "listener_port": str(ports[0]), "web_port": str(ports[1])}
    with roles(tmp_path, embedded_url(socket_path), models, **settings) as running:
        running.settings["TRIAGE_REDIS_URL"] = ""
        yield running


def _free_port() -> int:
    with open_port("127.0.0.1", 0, shared=False) as free:
        number: int = free.getsockname()[1]
    return number


def children(up: Role) -> dict[str, psutil.Process]:
    """The supervised processes by what they are."""
    found: dict[str, psutil.Process] = {}
    for process in psutil.Process(up.pid).children():
        try:
            words = [word for word in process.cmdline() if word]
        except psutil.Error:
            continue
        if words:
            found["redis" if "redis" in words[0] else words[1]] = process
    return found


ROLES = {"redis", "work", "sweep", "web", "listen"}


def test_a_child_that_is_killed_is_started_again_and_the_service_goes_on(running: Roles, socket_path: Path) -> None:
    up = running.start("up")
    port = int(running.settings["TRIAGE_LISTENER_PORT"])
    wait_for(lambda: up.said("listening as"), "the service")
    assert children(up).keys() == ROLES
    files = [a_chest(number) for number in range(len(ROLES) + 1)]
    assert store(port, read_bytes(files[0])) == [0x0000]

    for number, name in enumerate(sorted(ROLES), start=1):
        before = children(up)[name].pid
        os.kill(before, signal.SIGKILL)
        again = lambda name=name, before=before: name in (now := children(up)) and now[name].pid != before  # noqa: E731
        wait_for(again, f"{name} to be started again")
        wait_for(lambda: _stores(port), "the listener")
        assert store(port, read_bytes(files[number])) == [0x0000]

    wait_for(lambda: is_done(running.spool), "every object")
    wait_for(socket_path.exists, "the embedded Redis")
    instances = [receive(running.spool, file) for file in files]
    assert_one_result_each(running.spool, running.redis_url, instances)
    assert children(up).keys() == ROLES

    family = psutil.Process(up.pid).children(recursive=True)
    assert up.terminate() == 0
    wait_for(lambda: not any(map(_runs, family)), "the decode processes, which end after their worker")


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _stores(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_the_embedded_redis_is_private_and_ends_with_a_supervisor_that_is_killed(
    running: Roles, socket_path: Path
) -> None:
    up = running.start("up")
    wait_for(lambda: up.said("listening as"), "the service")
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
    assert not stat.S_IMODE(socket_path.stat().st_mode) & 0o077
    redis = children(up)["redis"]
    assert not redis.net_connections("inet")
    with Redis.from_url(running.redis_url) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}

    second = running.start("up")
    assert second.wait() == EXIT_CANNOT_START
    assert second.said("another `triage up` runs")

    family = psutil.Process(up.pid).children(recursive=True)
    up.kill()
    wait_for(lambda: not any(map(_runs, family)), "all processes to end")


def test_a_folder_that_others_can_enter_is_no_place_for_the_socket(socket_path: Path) -> None:
    socket_path.parent.mkdir(mode=0o755)
    socket_path.parent.chmod(0o755)
    with pytest.raises(StartError, match="chmod 0700"):
        command(socket_path)
    with pytest.raises(StartError, match="TRIAGE_REDIS_SOCKET_PATH"):
        embedded_url(Path("/" + "x" * 120))


def test_settings_with_which_a_process_cannot_start_end_the_service_at_once(running: Roles, tmp_path: Path) -> None:
    running.settings["TRIAGE_MODELS_PATH"] = str(tmp_path / "nowhere")
    up = running.start("up")
    assert up.wait() == EXIT_CANNOT_START
    assert up.said("work 0 cannot start")


def a_child(source: str) -> Child:
    return Child("child", [sys.executable, "-c", source])


def watched(child: Child, until: str) -> None:
    """Watch ``child`` until its process has ended or is there."""

    def looked() -> bool:
        child.watch()
        return (child.process is None) == (until == "ended")

    wait_for(looked, f"the child to be {until}")


def pauses(child: Child, times: int) -> list[float]:
    """The pause after each of so many ends of ``child``, each of which is not waited for."""
    found = []
    for _ in range(times):
        child.start_at = 0.0
        watched(child, "there")
        watched(child, "ended")
        found.append(child.delay_s)
    return found


def test_a_child_that_ends_again_and_again_is_started_with_growing_pauses() -> None:
    child = a_child("raise SystemExit(1)")
    assert pauses(child, 7) == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    child.watch()
    assert child.process is None  # it is not due
    assert child.start_at > time.monotonic()


def test_what_cannot_start_again_does_not_take_the_others_down() -> None:
    child = a_child("import os; os.kill(os.getpid(), 9)")
    watched(child, "there")
    watched(child, "ended")
    child.command[-1] = f"raise SystemExit({EXIT_CANNOT_START})"
    child.start_at = 0.0
    watched(child, "there")
    watched(child, "ended")
    assert child.start_at > 0

    fresh = a_child(f"raise SystemExit({EXIT_CANNOT_START})")
    watched(fresh, "there")
    with pytest.raises(StartError, match="child cannot start"):
        watched(fresh, "ended")


def test_a_program_that_is_not_there_is_tried_again() -> None:
    child = Child("child", ["/nowhere/at-all"])
    child.watch()
    assert child.process is None
    assert child.start_at > time.monotonic()


def test_a_child_gets_one_sigterm_and_then_its_time() -> None:
    source = """
import signal, sys
count = []
signal.signal(signal.SIGTERM, lambda *_: (count.append(1), signal.setitimer(signal.ITIMER_REAL, 0.5)))
signal.signal(signal.SIGALRM, lambda *_: sys.exit(10 + len(count)))
print("ready", flush=True)
while True:
    signal.pause()
"""
    child = a_child(source)
    child.start()
    process = child.process
    assert process is not None
    wait_for(lambda: _ignores_default(process.pid), "the child's handlers")
    child.terminate()
    child.wait(60.0)
    assert process.returncode == 11


def _ignores_default(pid: int) -> bool:
    """Return whether the process has a handler of its own for SIGALRM, the second it installs."""
    caught = next(
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")
    )
    return bool(int(caught, 16) >> (signal.SIGALRM - 1) & 1)


def test_only_one_supervisor_holds_a_spool(spool: Spool) -> None:
    with single_instance(spool, "up"), pytest.raises(StartError, match="another"), single_instance(spool, "up"):
        pass
    with single_instance(spool, "up"):
        pass


def test_one_that_another_host_leads_instead_of_is_started_again_at_once_and_as_often_as_that_happens() -> None:
    child = a_child(f"raise SystemExit({EXIT_LEAD_LOST})")
    for _ in range(3):
        watched(child, "there")
        child.started_at -= 60.0  # it led for a while
        watched(child, "ended")
        assert child.start_at <= time.monotonic() and child.delay_s == 1.0
    assert child.ran_before


def test_one_that_ends_soon_as_an_engine_is_away_is_tried_again_with_pauses_and_the_others_go_on() -> None:
    child = a_child(f"raise SystemExit({EXIT_TRY_AGAIN})")
    assert pauses(child, 3) == [2.0, 4.0, 8.0]
