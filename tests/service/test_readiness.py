"""/readyz of real processes while Redis is dead: a process that cannot work is not ready."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import roles
from tests.support.wait import wait_for
from tests.support.whole_service import fetch
from triage.runtime.sockets import open_port


def free(count: int) -> list[int]:
    with ExitStack() as stack:
        opened = [stack.enter_context(open_port("127.0.0.1", 0, shared=False)) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in opened]


def test_a_worker_that_waits_at_a_silent_redis_says_so_though_its_wait_goes_on(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    write_model(tmp_path / "models", "tiny-adult", bias=-10)
    (port,) = free(1)
    with roles(tmp_path, redis_server.url, tmp_path / "models", worker_metrics_port=str(port)) as running:
        running.start("work")
        wait_for(lambda: fetch(port, "/readyz")[0] == 200, "the worker to be ready", 60.0)
        redis_server.stall()
        try:
            # In its own words, when its wait has ended a minute later, it would be: Redis does not answer.
            status, said = wait_for(lambda: _silent(fetch(port, "/readyz")), "the worker not to be ready", 60.0)
            assert status == 503 and said.rstrip().endswith("nothing is scored")
        finally:
            redis_server.resume()
        wait_for(lambda: fetch(port, "/readyz")[0] == 200, "the worker to be ready again", 60.0)


def _silent(answer: tuple[int, str]) -> tuple[int, str] | None:
    return answer if "Redis has not answered for" in answer[1] else None


def test_without_redis_nothing_that_needs_it_is_ready_and_with_it_all_is_again(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    write_model(tmp_path / "models", "tiny-adult", bias=-10)
    names = ("work", "sweep", "web", "reports")
    *found, reports_port = free(5)
    ports = dict(zip(names, found, strict=True))
    settings = {
        "worker_metrics_port": ports["work"],
        "sweep_metrics_port": ports["sweep"],
        "web_port": ports["web"],
        "reports_metrics_port": ports["reports"],
        "reports_port": reports_port,
        "redis_timeout_s": 1,
    }
    text = {name: str(value) for name, value in settings.items()}
    with roles(tmp_path, redis_server.url, tmp_path / "models", **text) as running:
        for name in names:
            running.start(name)
        for name, port in ports.items():
            wait_for(lambda port=port: fetch(port, "/readyz")[0] == 200, f"{name} to be ready", 60.0)
        redis_server.kill()
        for name, port in ports.items():
            wait_for(lambda port=port: fetch(port, "/readyz")[0] == 503, f"{name} to say that it is not ready", 60.0)
            assert "Redis does not answer" in fetch(port, "/readyz")[1]
        redis_server.start()
        for name, port in ports.items():
            wait_for(lambda port=port: fetch(port, "/readyz")[0] == 200, f"{name} to be ready again", 60.0)
