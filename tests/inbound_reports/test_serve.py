"""The role as a process: what was acknowledged outlives kill -9, and it says so where it has nothing to do."""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import Mock

import httpx
from hl7.client import MLLPClient

from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.report_sender import Answer, report
from tests.support.service import roles
from tests.support.studies import a_study
from tests.support.wait import wait_for
from triage.decision.records import decision_from
from triage.errors import EXIT_CANNOT_START
from triage.queue.score_queue import connect
from triage.service.supervisor import build
from triage.settings.load import load
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act, acts_of


def test_what_was_acknowledged_is_on_the_disk_whatever_is_killed_then(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    port, metrics = free_port(), free_port()
    settings = {"reports_port": str(port), "reports_metrics_port": str(metrics)}
    with roles(tmp_path, redis_server.url, tmp_path, **settings) as running, connect(redis_server.url, 5.0) as client:
        study = a_study(running.spool)
        index = IndexedWorklist(client)
        index.put_all(decision_from(each) for each in running.spool.decisions())
        index.end_building(index.begin_building())
        role = running.start("reports")
        wait_for(lambda: role.said("reports: MLLP on"), "the listener")
        with MLLPClient("127.0.0.1", port) as sender:
            assert Answer.of(sender.send_message(report().encode())).code == "AA"
        counted = httpx.get(f"http://127.0.0.1:{metrics}/metrics", trust_env=False).text
        assert 'cxr_triage_reports_total{outcome="read"} 1.0' in counted
        role.kill()
        assert [each.act for each in acts_of(running.spool, study)] == [Act.READ]
        assert index.page(None, 10, 4e9).entries == ()

        role = running.start("reports")
        wait_for(lambda: role.said("reports: MLLP on"), "the listener again")
        assert role.terminate() == 0


def test_a_process_that_waits_says_nothing_for_seconds(redis_server: RedisServer, tmp_path: Path) -> None:
    settings = {"reports_port": str(free_port()), "reports_metrics_port": str(free_port())}
    with roles(tmp_path, redis_server.url, tmp_path, **settings) as running:
        role = running.start("reports")
        wait_for(lambda: role.said("reports: MLLP on"), "the listener")
        before = role.lines()
        time.sleep(3.0)
        assert role.lines() == before
        assert role.terminate() == 0


def test_it_does_not_start_where_there_is_nothing_to_hear_of(redis_server: RedisServer, tmp_path: Path) -> None:
    with roles(tmp_path, redis_server.url, tmp_path) as running:
        role = running.start("reports")
        assert role.wait() == EXIT_CANNOT_START
        assert role.said("reports.port")


def test_triage_up_runs_it_where_the_settings_ask_for_it(tmp_path: Path) -> None:
    file = tmp_path / "triage.toml"
    ups = '[[channels.ups]]\nname = "ups"\nhost = "127.0.0.1"\nport = 104\ncalled_ae_title = "UPS"\n'
    for text, wanted in {"": False, "[reports]\nport = 2575\n": True, ups: False, ups + "look_s = 60\n": True}.items():
        file.write_text(text)
        names = {child.name for child in build(load(file, {}), {}, Mock()).children}
        assert ("reports 0" in names) is wanted, text
