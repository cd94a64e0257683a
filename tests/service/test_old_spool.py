"""An installation of an earlier release that was killed in the middle of its work: opened and finished by this one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.channels.test_webhook import SECRET, Server, web_server
from tests.sender.test_send import storescp
from tests.support.dicom_peer import data_set_of
from tests.support.mllp_listener import Listener, acknowledging, mllp_listener
from tests.support.old_release import OldInstallation, unpacked, write_models
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import is_done, roles
from tests.support.wait import wait_for
from tests.support.whole_service import Service
from tests.web.api.test_ups_rs import performed, state, update
from triage.queue.score_queue import PRIORS, QUEUE, connect
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import acts_of

NEW = ("unannounced", "half-written", "half-filed", "queued", "queued-child", "queued-youth", "early")
"""Studies that no destination has a result of yet."""
PRIOR = ("prior", "prior-too")
GIVEN_UP = ("given-up", "given-up-child")
LISTED = {"delivered", "labelled", "unread", "claimed", "refused", *GIVEN_UP, *PRIOR, *NEW} - {"early"}
TAGS = {"refused": "ABNORMAL", "queued-child": "ABNORMAL", "queued-youth": "NOT_ASSESSED"}
TAGS |= dict.fromkeys(GIVEN_UP, "NOT_ASSESSED")
LATER = {"given-up": "NORMAL", "given-up-child": "ABNORMAL"}

CHANNELS = """
[[channels.sr]]
name = "pacs"
host = "127.0.0.1"
port = {pacs}
called_ae_title = "PACS"
delay_s = 0
[[channels.sr]]
name = "archive"
host = "127.0.0.1"
port = {archive}
called_ae_title = "ARCHIVE"
delay_s = 0
[[channels.hl7]]
name = "ris"
host = "127.0.0.1"
port = {ris}
[[channels.webhook]]
name = "hook"
url = "http://127.0.0.1:{hook}/results"
secret = "{secret}"
"""


@dataclass(frozen=True)
class Receivers:
    """Receivers of results: DCMTK's receiver writes into ``pacs`` and ``archive`` what it gets, bit by bit."""

    pacs: Path
    archive: Path
    ris: Listener
    hook: Server
    ports: dict[str, int]

    def reports(self, folder: Path) -> list[bytes]:
        return [data_set_of(path.read_bytes()) for path in folder.iterdir()]

    def told(self) -> list[str]:
        """The accession numbers of the messages that the RIS got."""
        return sorted(self.ris.fields("OBR", number)[18].lower() for number in range(len(self.ris.received)))


@contextmanager
def receivers(folder: Path) -> Iterator[Receivers]:
    with ExitStack() as stack:
        folders = [folder / "pacs", folder / "archive"]
        for each in folders:
            each.mkdir()
        pacs, archive = (stack.enter_context(storescp(each)) for each in folders)
        ris = stack.enter_context(mllp_listener(acknowledging("AA")))
        hook = stack.enter_context(web_server(200))
        ports = {"pacs": pacs, "archive": archive, "ris": ris.port, "hook": int(hook.server_address[1])}
        yield Receivers(*folders, ris, hook, ports)


@dataclass(frozen=True)
class Found:
    """The old installation with this release on it."""

    old: OldInstallation
    service: Service
    redis: RedisServer

    def ask(self) -> httpx.Client:
        """Return a client with the session of a reader that began with the old release."""
        address, cookie = f"http://127.0.0.1:{self.service.web_port}", {"Cookie": self.old.about["cookie"]}
        return httpx.Client(base_url=address, headers=cookie, trust_env=False, timeout=60)

    def study(self, name: str) -> dict[str, Any]:
        with self.ask() as ask:
            return dict(ask.get(f"/api/studies/{self.old.studies[name]}").raise_for_status().json())

    def listed(self) -> set[str]:
        with self.ask() as ask:
            entries = ask.get("/api/worklist?limit=500").raise_for_status().json()["entries"]
        names = {uid: name for name, uid in self.old.studies.items()}
        return {names[each["study_instance_uid"]] for each in entries}

    def until_scored(self) -> None:
        wait_for(lambda: is_done(self.old.spool), "every object to be scored", 120.0)

    def until_delivered(self, *destinations: str) -> None:
        outbox = self.old.outbox
        for name in destinations:
            wait_for(
                lambda name=name: not (outbox.marked(name) or outbox.waiting(name)),  # type: ignore[misc]
                f"every result for {name} to be delivered",
            )


@pytest.fixture(params=["Redis kept", "Redis empty"])
def redis(request: pytest.FixtureRequest, old: OldInstallation) -> Iterator[RedisServer]:
    server = RedisServer()
    if request.param == "Redis kept":
        old.give_redis_to(server)
    with server:
        yield server


@pytest.fixture
def old(tmp_path: Path) -> OldInstallation:
    return unpacked(tmp_path / "old")


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Receivers]:
    with receivers(tmp_path) as running:
        yield running


@pytest.fixture
def found(tmp_path: Path, old: OldInstallation, redis: RedisServer, peers: Receivers) -> Found:
    """Not started."""
    write_models(tmp_path / "models")
    (tmp_path / "triage.toml").write_text(CHANNELS.format(secret=SECRET, **peers.ports))
    settings = {
        "config": str(tmp_path / "triage.toml"),
        "spool_path": str(old.folder / "spool"),
        "spool_retention_days": 0,  # whenever this runs
        "redis_url": redis.url,
        "decision_prior_after_days": 30,
        "deliver_metrics_port": 0,
        "deliver_interval_s": 0.1,
        "reports_port": free_port(),
        "reports_metrics_port": 0,
        "web_ups": "true",
        "sign_in_method": "users",
        "sign_in_users_file": str(old.users_file),
        "sign_in_idle_minutes": 1e9,  # whenever this runs
        "sign_in_longest_hours": 1e9,
        "audit_path": str(old.audit),
    }
    return Found(old, Service(tmp_path / "service", tmp_path / "models", **settings), redis)


@pytest.mark.timeout(600)
def test_what_an_earlier_release_began_is_finished(found: Found, peers: Receivers) -> None:
    old, service = found.old, found.service
    pacs, hook, audit = old.waiting("pacs"), old.waiting("hook"), old.audit.read_bytes()
    marked = {uid for _, uid in old.outbox.marked("archive")}
    assert (len(pacs), len(hook), len(marked)) == (8, 10, 11)
    assert old.outbox.pause("pacs")[0] > 0
    refused = undelivered(old)
    with service:
        found.until_scored()
        found.until_delivered("pacs", "archive", "ris")
        assert_one_result_each(found, old.about["inbox"], TAGS)
        assert_the_switches_hold(found, peers, hook)
        assert_delivered_once(peers, pacs, marked)
        assert_what_readers_did_counts(found)
        assert_dead_letters_are_tried_again(found, peers, refused)
        assert_the_hook_gets_what_waited(found, peers, hook)
        assert_the_workitem_is_completed_by_whom_it_is_claimed(found)
        assert_a_late_study_was_reported_before_it_came(found)
        assert service.run("canary").returncode == 0
        assert old.audit.read_bytes().startswith(audit)
        assert len(list(old.spool.quarantined.glob("*.dcm"))) == 1
        assert service.stop() == 0
    assert "ERROR" not in service.log(), service.log()


def undelivered(old: OldInstallation) -> bytes:
    """The message that the RIS refused."""
    (path,) = (old.spool.root / "undeliverable" / "ris").iterdir()
    return path.read_bytes()


def assert_one_result_each(found: Found, keys: list[str], tags: dict[str, str]) -> None:
    """Every object is filed with one assessment; every study has one current result, that the index has too."""
    spool = found.old.spool
    for instance in map(ReceivedInstance.from_key, keys):
        assert spool.find(instance) == spool.filed_path(instance)
        assessed = spool.assessments(instance.study_instance_uid)
        assert [each["content_digest"] for each in assessed].count(instance.content_digest) == 1
    with connect(found.redis.url, 5.0) as client:
        index = IndexedWorklist(client)
        wait_for(index.is_built, "the index")
        for name, uid in found.old.studies.items():
            if name == "late":
                continue
            current, entry = spool.decision(uid), index.get(uid)
            assert current is not None and entry is not None, name
            assert current["tag"] == tags.get(name, "NORMAL"), name
            assert current["revision"] == entry.revision == spool.history(uid)[-1]["revision"], name


def assert_the_switches_hold(found: Found, peers: Receivers, hook: list[bytes]) -> None:
    said = found.service.run("model").stdout.splitlines()
    assert [line.split()[0] for line in said if "switched off" in line] == ["tiny-youth"]
    (image,) = found.old.spool.assessments(found.old.studies["queued-youth"])
    assert (image["reasons"], image["probability"]) == (["model_disabled"], None)
    assert peers.hook.received == []
    assert found.old.waiting("hook")[: len(hook)] == hook


def assert_delivered_once(peers: Receivers, pacs: list[bytes], marked: set[str]) -> None:
    """Messages that the old release built go out as those bytes; those that it delivered do not go out again."""
    got = peers.reports(peers.pacs)
    assert all(got.count(data_set_of(payload)) == 1 for payload in pacs)
    assert len(got) == len(pacs) + len(NEW) + len(PRIOR)
    archived = b"".join(peers.reports(peers.archive))
    assert all(uid.encode() in archived for uid in marked)
    assert peers.told() == sorted(NEW)


def assert_what_readers_did_counts(found: Found) -> None:
    wait_for(lambda: "early" not in found.listed(), "the report that came before its study")
    assert found.listed() == LISTED
    acts = {name: [str(each.act) for each in acts_of(found.old.spool, uid)] for name, uid in found.old.studies.items()}
    assert {name: what for name, what in acts.items() if what} == {
        "expired": ["expired"],
        "read": ["read"],
        "labelled": ["label"],
        "unread": ["read", "unread"],
        "reported": ["read"],
        "early": ["read"],
    }
    labelled = found.study("labelled")
    assert (labelled["label"], labelled["acts"][0]["who"]) == (1, found.old.about["reader"][0])
    name, password = found.old.about["reader"]
    with found.ask() as ask:
        del ask.headers["Cookie"]  # her session would end
        assert ask.post("/sign-in", data={"name": name, "password": password, "next": "/"}).status_code == 303


def assert_dead_letters_are_tried_again(found: Found, peers: Receivers, refused: bytes) -> None:
    old, told = found.old, found.service.run("dead-letters").stdout
    unbuilt = [f"pacs/{old.studies[name]}" for name in GIVEN_UP]
    assert all(f"--requeue {key}\n" in told for key in [*old.about["dead"], *unbuilt])
    assert told.count("--requeue") == 5
    found.service.run("dead-letters", "--requeue-all")
    found.until_scored()
    found.until_delivered("pacs", "archive", "ris")
    assert_one_result_each(found, old.about["dead"], TAGS | LATER)
    assert found.service.run("dead-letters").stdout == "no dead letters\n"
    assert peers.ris.received.count(refused) == 1
    assert peers.told() == sorted([*NEW, *GIVEN_UP, "refused"])


def assert_the_hook_gets_what_waited(found: Found, peers: Receivers, hook: list[bytes]) -> None:
    found.service.run("channel", "hook", "--enable")
    found.until_delivered("hook")
    bodies = [body for *_, body in peers.hook.received]
    superseded = set(GIVEN_UP)  # never sent, and newer results took their places
    kept = [body for body in hook if not any(found.old.studies[name].encode() in body for name in superseded)]
    assert len(kept) == len(hook) - len(superseded)
    assert all(bodies.count(body) == 1 for body in kept)


def assert_the_workitem_is_completed_by_whom_it_is_claimed(found: Found) -> None:
    workitem, transaction = found.old.about["workitem"], found.old.about["transaction_uid"]
    with found.ask() as ask:
        assert state(ask, workitem, "COMPLETED", "2.25.1").status_code == 400
        assert update(ask, workitem, performed(transaction)).status_code == 200
        assert state(ask, workitem, "COMPLETED", transaction).status_code == 200
    assert found.listed() == LISTED - {"claimed"}


def assert_a_late_study_was_reported_before_it_came(found: Found) -> None:
    found.service.run("send", found.old.folder / "late.dcm")
    uid = found.old.studies["late"]
    wait_for(lambda: [str(each.act) for each in acts_of(found.old.spool, uid)] == ["read"], "the early report")
    assert found.listed() == LISTED - {"claimed"}


def test_the_jobs_of_an_earlier_release_are_run_and_not_refused(old: OldInstallation, tmp_path: Path) -> None:
    server, port = RedisServer(), free_port()
    old.give_redis_to(server)
    write_models(tmp_path / "models")
    settings = {"worker_metrics_port": str(port), "decision_prior_after_days": "30", "spool_retention_days": "0"}
    with server, server.client() as client, roles(old.folder, server.url, tmp_path / "models", **settings) as running:
        queued = [job.decode() for name in (QUEUE, PRIORS) for job in client.lrange(f"rq:queue:{name}", 0, -1)]
        assert len(queued) == 7
        for job in queued:
            assert b"triage.jobs.score" in zlib.decompress(client.hget(f"rq:job:{job}", "data"))
        running.start("work")
        wait_for(lambda: is_done(old.spool) and is_done(Spool(old.spool.root / "canary")), "the worker")
        counted = samples(port)
        # Nothing is queued anew but what had no job, and what killed workers had taken.
        assert counted["sweep_requeued_total", ("lost_job",)] == 1
        assert counted["sweep_requeued_total", ("dead_worker",)] == 3
        assert counted["jobs_taken_total", (QUEUE,)] == 8
        assert counted["jobs_taken_total", (PRIORS,)] == 2
        assert counted["jobs_refused_total", ()] == 0
        assert not client.exists(f"rq:failed:{QUEUE}")


def samples(port: int) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return what a process counted, by name and labels."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return {
        (each.name.removeprefix("cxr_triage_"), tuple(each.labels.values())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }
