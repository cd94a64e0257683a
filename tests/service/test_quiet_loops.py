"""Every process of the service is a loop, and a loop that goes round too fast fills the disk with its log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import Role, Roles, roles
from tests.support.wait import wait_for

READY = {
    "listen": "listening",
    "work": "working with",
    "sweep": "sweep:",
    "deliver": "delivering",
    "reports": "reports: MLLP on",
    "web": "web: http",
}
WATCHED_S = 4.0
MOST_WAKE_UPS = 5 * WATCHED_S
"""Of one process that has nothing to do, all its threads together."""
MOST_IN_TROUBLE = 3 * WATCHED_S
"""Lines of one process whose Redis is gone: it tries again, and says so, not oftener than some times a second."""


@pytest.fixture
def running(tmp_path: Path, redis_server: RedisServer) -> Iterator[Roles]:
    write_model(tmp_path / "models", "tiny-adult")
    config = tmp_path / "triage.toml"
    config.write_text(
        f'[[channels.webhook]]\nname = "hook"\nurl = "http://127.0.0.1:{free_port()}/"\nsecret = "{"s" * 16}"\n'
    )
    ports = ("listener_port", "reports_port", "reports_metrics_port", "deliver_metrics_port", "web_port")
    settings = {name: str(free_port()) for name in ports} | {"config": str(config)}
    with roles(tmp_path, redis_server.url, tmp_path / "models", **settings) as made:
        yield made


def lines_while_watched(started: dict[str, Role]) -> dict[str, int]:
    before = {name: len(role.lines()) for name, role in started.items()}
    time.sleep(WATCHED_S)
    return {name: len(role.lines()) - before[name] for name, role in started.items()}


def wake_ups(role: Role) -> int:
    """How often the threads of a process have given up the processor to wait, so far."""
    texts = [each.read_text() for each in Path(f"/proc/{role.pid}/task").glob("*/status")]
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts)


def test_a_service_that_waits_is_silent_and_one_in_trouble_does_not_flood_its_log(
    running: Roles, redis_server: RedisServer
) -> None:
    started = {name: running.start(name) for name in READY}
    for name, said in READY.items():
        wait_for(lambda name=name, said=said: started[name].said(said), f"{name} to be ready")  # type: ignore[misc]
    lines_while_watched(started)  # what is said of the start
    before = {name: wake_ups(role) for name, role in started.items()}
    assert lines_while_watched(started) == dict.fromkeys(READY, 0)
    woken = {name: wake_ups(role) - before[name] for name, role in started.items()}
    del woken["sweep"]  # which has something to do every second here
    assert max(woken.values()) <= MOST_WAKE_UPS, woken

    redis_server.kill()
    found = lines_while_watched(started)
    assert max(found.values()) <= MOST_IN_TROUBLE, found
    assert [name for name, role in started.items() if role.process.poll() is not None] == []
