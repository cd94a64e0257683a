"""Paging by a clock of the test, to a real mail server and a real webhook."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import CollectorRegistry

from tests.support.kill_at import once_at
from tests.support.lost_objects import LostSpool
from tests.support.mail_server import Mailbox, mail_server
from tests.support.ports import free_port
from tests.support.receivers import silent_port
from tests.support.studies import POLICY, a_radiograph, a_study, add_image, settle
from triage.decision.findings import FindingScore
from triage.decision.types import ModelResult, Tag
from triage.paging.pager import Pager
from triage.paging.status import PagingStatus
from triage.paging.store import PagingFiles, pages_of
from triage.service.paging import pager
from triage.settings.schema import Settings
from triage.spool.spool import Spool
from triage.worklist.contacts import ContactKind, record_contact
from triage.worklist.reader_acts import Act, Marking, Via, mark

MINUTE = 60.0
MODELS = Path(__file__).parents[2] / "models"
CARD = json.loads((MODELS / "rsna-adult" / "card.json").read_bytes())
ADULT, LEADING = CARD["model_sha256"], CARD["findings"][0]


def the_value(which: str, prevalence: float = 0.12) -> str:
    """The predictive value by the card's figures: value, low or high."""
    sensitivity, specificity = (LEADING["operating_points"][0][each][which] for each in ("sensitivity", "specificity"))
    positives = sensitivity * prevalence
    return f"{positives / (positives + (1 - specificity) * (1 - prevalence)):.2f}"


KNOWN = f"{the_value('value')} ({the_value('low')} to {the_value('high')})"


class NoIndex:
    """The index of the list, which paging does not ask."""

    is_of_store = False

    def read(self, *_: object) -> None: ...
    def unread(self, *_: object) -> None: ...


class Site:
    """A spool, a rota, and a clock."""

    def __init__(self, spool: Spool, box: Mailbox) -> None:
        self.spool, self.box, self.at = spool, box, time.time()
        self.settings: dict[str, Any] = {"mail_to": ["rota@hospital.example"]}
        self.registry = CollectorRegistry()
        self.models: dict[str, Any] = {"path": MODELS}
        self.port = box.port
        self._pager: Pager | None = None

    def start(self, **paging: Any) -> Pager:
        """Start paging, or start it again after its end."""
        self.settings |= paging
        self.registry = CollectorRegistry()
        settings = Settings.model_validate(
            {
                "paging": {"after_minutes": 10, "repeat_minutes": 30, **self.settings},
                "smtp": {
                    "host": "127.0.0.1",
                    "port": self.port,
                    "tls": "none",
                    "sender": "t@x.example",
                    "timeout_s": 2,
                },
                "models": self.models,
            }
        )
        self._pager = pager(settings, self.spool, self.registry, lambda: False, lambda: self.at)
        return self._pager

    def raised(self, **more: Any) -> str:
        """A new raised study, and the worker's mark."""
        changes = {"model_digest": ADULT, "operating_point": 0.5, "accession_number": "ACC-1", **more}
        return self.decided(a_study(self.spool, **changes))

    def decided(self, uid: str) -> str:
        """Have the decision of a study be made now, by the clock of the test."""
        record = self.spool.decision(uid)
        assert record is not None
        with self.spool.study_lock(uid):
            self.spool.write_decision(uid, {**record, "tagged_at": self.at})
        return self.marked(uid)

    def marked(self, uid: str) -> str:
        with self.spool.study_lock(uid):
            PagingFiles(self.spool).mark(uid)
        return uid

    def after(self, minutes: float) -> int:
        """Let the time pass, and return how many pages have arrived."""
        self.at += minutes * MINUTE
        assert self._pager is not None
        self._pager.round()
        return len(self.box.arrived)

    def act(self, uid: str, act: Act) -> None:
        mark(self.spool, NoIndex(), uid, Marking(act, self.at, "ann", Via.PAGE))  # type: ignore[arg-type]

    def contact(self, uid: str, kind: ContactKind) -> None:
        assert record_contact(self.spool, uid, kind, "ann", self.at)

    @property
    def status(self) -> PagingStatus:
        found = PagingFiles(self.spool).status()
        assert found is not None
        return found

    def gauge(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"cxr_triage_{name}", labels)


@pytest.fixture(scope="module")
def server() -> Iterator[Mailbox]:
    with mail_server(None, "plain") as box:
        yield box


@pytest.fixture
def site(spool: Spool, server: Mailbox) -> Site:
    server.arrived.clear()
    server.answer, server.holds = "250 taken", False
    return Site(spool, server)


def test_a_study_is_paged_until_it_is_read(site: Site):
    site.start()
    uid = site.raised()
    assert [site.after(0), site.after(9.9), site.after(0.2)] == [0, 0, 1]
    assert [site.after(29.8), site.after(0.3)] == [1, 2]
    site.act(uid, Act.READ)
    assert site.after(600) == 2
    assert site.status.watched == 0
    assert [(each.number, each.rota, each.routes) for each in pages_of(site.spool, uid)] == [
        (1, "reading", ("mail",)),
        (2, "reading", ("mail",)),
    ]
    site.act(uid, Act.UNREAD)
    site.marked(uid)  # as the web process does
    assert [site.after(29.5), site.after(1)] == [2, 3]
    assert "was put back on the list by ann" in site.box.texts[2]


def test_opened_in_time_is_not_paged_and_not_forgotten(site: Site):
    site.start()
    uid = site.raised()
    site.after(5)
    site.contact(uid, ContactKind.OPENED)
    assert [site.after(10), site.after(19.5), site.after(1)] == [0, 0, 1]
    assert "was opened by ann at" in site.box.texts[0]
    site.contact(uid, ContactKind.ACKNOWLEDGED)
    assert [site.after(29.5), site.after(1)] == [1, 2]
    assert "was acknowledged by ann at" in site.box.texts[1]


def test_what_is_not_raised_is_not_paged(site: Site):
    site.start()
    for tag in (Tag.NORMAL, Tag.NOT_ASSESSED):
        site.raised(tag=tag)
    site.raised(acquisition_date="20100101")
    uid = str(a_radiograph("1.2.3").StudyInstanceUID)
    add_image(site.spool, a_radiograph(uid), tag=Tag.ABNORMAL, probability=0.9)
    decision = settle(site.spool, uid, policy=POLICY)
    with site.spool.study_lock(uid):
        site.spool.write_decision(uid, {**decision.__dict__, "silent": True})
    site.marked(uid)
    assert site.after(100) == 0
    assert site.status.watched == 0 and PagingFiles(site.spool).marked() == []


def test_a_new_image_after_reading_begins_anew_with_its_full_time(site: Site):
    site.start()
    uid = site.raised()
    site.after(9)
    site.act(uid, Act.READ)
    add_image(site.spool, a_radiograph(uid), tag=Tag.ABNORMAL, probability=0.95)
    settle(site.spool, uid)
    site.decided(uid)
    assert [site.after(0), site.after(9), site.after(2)] == [0, 0, 1]


def test_a_page_says_the_finding_and_how_often_it_is_right_and_no_name(site: Site):
    site.models["prevalence"] = ["rsna-adult=0.12"]
    site.start(page_url="https://triage.example/")
    hostile = "ROE^JANE\r\nBcc: referrer@example.org"
    uid = site.raised(attributes={"PatientName": hostile})
    site.after(11)
    ((_, to, message),) = site.box.arrived
    text = message.get_content()
    assert to == ["rota@hospital.example"] and message["Bcc"] is None
    assert f"Finding: {LEADING['title']} by rsna-adult 1, score 0.91 (positive from 0.50)." in text
    assert f"Positive predictive value: {KNOWN} at this site's prevalence of 0.12" in text
    assert "approximate" in text and "no procedure for critical results" in text
    assert f"https://triage.example/studies/{uid}" in text and "ACC-1" in text
    assert "ROE" not in str(message) and "referrer@" not in str(message)

    site.models.pop("prevalence")
    site.start(identifies="patient_name")
    site.raised(attributes={"PatientName": hostile})
    site.after(11)
    ((_, to, message),) = site.box.arrived[1:2]
    assert "Patient: ROE^JANE Bcc: referrer@example.org" in message.get_content()
    assert (to, message["Bcc"]) == (["rota@hospital.example"], None)
    assert "Positive predictive value: not known" in message.get_content()


def test_a_page_is_sent_while_the_images_are_away_and_says_that_the_patient_is_not_known(site: Site):
    site.spool = lost = LostSpool.open(site.spool.root)
    site.start(identifies="patient_name")
    uid = site.raised()
    lost.lost = True
    site.after(11)
    (text,) = site.box.texts
    assert "Patient: not known now, as the images cannot be read" in text and "ACC-1" in text and uid in text
    lost.lost = False
    site.after(31)
    assert "Patient: DOE^JANE" in site.box.texts[1]


def a_finding(name: str, probability: float) -> FindingScore:
    return FindingScore(name, name.title(), None, probability, 0.5, positive=probability >= 0.5)


def test_each_finding_is_said_and_what_is_known_of_each(site: Site):
    site.models["prevalence"] = ["rsna-adult=0.12"]
    site.start()
    findings = (a_finding("abnormal", 0.91), a_finding("effusion", 0.7), a_finding("nodule", 0.2))
    result = ModelResult("rsna-adult 1", ADULT, Tag.ABNORMAL, 0.91, findings, operating_point=0.5)
    site.raised(results=(result,))
    site.after(11)
    (text,) = site.box.texts
    found = [line for line in text.splitlines() if line.startswith(("Finding", "Positive"))]
    assert [line.partition(" (")[0] for line in found][::2] == ["Finding: Abnormal", "Finding: Effusion"]
    assert KNOWN in found[1] and "not known" in found[3]
    assert found[2] == "Finding: Effusion (urgent) by rsna-adult 1, score 0.70 (positive from 0.50)."


def test_a_site_may_page_critical_studies_alone(site: Site):
    site.start(urgencies=["critical"])
    uid = site.raised()
    site.after(11)
    assert (site.status.watched, site.box.arrived) == (0, [])
    record = site.spool.decision(uid)
    assert record is not None
    site.spool.write_decision(uid, {**record, "urgency": "critical"})
    site.marked(uid)
    assert site.after(11) == 1


def test_a_cap_holds_pages_says_so_and_loses_none(site: Site):
    site.start(cap_per_hour=2)
    for _ in range(3):
        site.raised()
    assert site.after(11) == 2
    assert "The cap of 2 pages an hour is reached" in site.box.texts[1]
    assert "cap" not in site.box.texts[0]
    assert site.status.alarms(site.at) == ["The cap of 2 pages an hour is reached; waiting: 1 page."]
    assert site.gauge("pages_held") == 1
    site.start()  # the cap survives a restart
    assert [site.after(58), site.after(3)] == [2, 4]
    assert len({each["Message-ID"] for each in site.box.messages}) == 4
    first_pages = [each for each in site.box.texts if "Page 1 about" in each]
    assert len(first_pages) == 3  # the one that waited goes before repetitions


def test_pages_that_could_not_be_delivered_come_back_within_the_cap(site: Site):
    site.port = free_port()
    site.start(cap_per_hour=2)
    for _ in range(5):
        site.raised()
    site.after(11)
    assert (site.status.undelivered, site.status.held) == (2, 3)
    site.port = site.box.port
    site.start()
    assert [site.after(1), site.after(30), site.after(31), site.after(61)] == [2, 2, 4, 6]


def test_a_chat_is_paged_again_while_the_mail_server_is_away(site: Site, chat: tuple[str, list[Any]]):
    url, posted = chat
    site.port = free_port()
    site.start(chat_url=url)
    uid = site.raised()
    alarms = set()
    for _ in range(3):
        site.after(31)
        site.after(0)
        alarms.add(site.gauge("oldest_undelivered_page_timestamp_seconds"))
    assert len(posted) == 3 and site.status.undelivered == 1
    assert len(alarms) == 1  # it goes on, and does not begin anew with each page
    site.port = site.box.port
    site.start()
    assert site.after(1) == 1 and "Page 3 about" in site.box.texts[0]
    assert site.status.undelivered == 0
    assert [each.routes for each in pages_of(site.spool, uid)][:2] == [("chat",), ("chat",)]
    assert [site.after(31), site.status.undelivered, len(posted)] == [2, 0, 4]


def test_an_undelivered_page_is_an_alarm_until_it_arrives_or_the_study_is_read(site: Site):
    site.port = free_port()
    site.start()
    first, second = site.raised(), site.raised()
    assert site.after(11) == 0
    assert site.status.undelivered == 2 and site.gauge("pages_undelivered") == 2
    assert "2 pages could not be delivered (the mail server cannot be reached" in site.status.alarms(site.at)[0]
    assert site.gauge("oldest_undelivered_page_timestamp_seconds") == pytest.approx(site.at - MINUTE, abs=30)
    assert site.gauge("page_attempts_total", route="mail", outcome="failed") == 1  # the second did not wait for it
    site.act(first, Act.READ)
    site.after(1)
    assert site.status.undelivered == 1
    site.port = site.box.port
    site.start()
    assert [site.after(0.1), site.after(1), site.status.alarms(site.at)] == [1, 1, []]
    assert site.gauge("pages_total", rota="reading") == 1
    assert site.box.texts[0].count("you may have it already") <= 1
    site.act(second, Act.READ)


def test_a_reader_who_opens_the_study_of_a_page_on_its_way_ends_the_alarm(site: Site):
    site.port = free_port()
    site.start()
    uid = site.raised()
    site.after(11)
    assert site.status.undelivered == 1
    site.contact(uid, ContactKind.OPENED)
    site.after(5)
    assert site.status.undelivered == 0 and site.status.watched == 1


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        ("2026-11-29 21:59", False),
        ("2026-11-29 22:00", True),
        ("2026-11-30 00:00", True),
        ("2026-11-30 06:59", True),
        ("2026-11-30 07:00", False),
    ],
)
def test_quiet_hours_redirect_over_midnight(site: Site, moment: str, quiet: bool):
    zone = "Europe/Berlin"
    site.at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp() - 11 * MINUTE
    site.start(quiet_from="22:00", quiet_to="07:00", time_zone=zone, quiet_mail_to=["night@hospital.example"])
    site.raised()
    site.after(0)
    assert site.after(11) == 1
    assert site.box.arrived[0][1] == ["night@hospital.example" if quiet else "rota@hospital.example"]


def test_a_page_on_its_way_when_quiet_hours_begin_goes_to_the_quiet_rota(site: Site):
    zone = "Europe/Berlin"
    site.at = datetime(2026, 11, 29, 21, 48, tzinfo=ZoneInfo(zone)).timestamp()
    site.port = free_port()
    site.start(quiet_from="22:00", quiet_to="07:00", time_zone=zone, quiet_mail_to=["night@hospital.example"])
    site.raised()
    site.after(0)
    assert site.after(11) == 0
    site.port = site.box.port
    site.start()
    assert site.after(2) == 1
    assert site.box.arrived[0][1] == ["night@hospital.example"]
    assert site.status.undelivered == 0


@pytest.mark.parametrize("back", [2 * MINUTE, 3600.0, 10 * 24 * 3600.0])
def test_a_clock_that_is_set_back_delays_by_one_interval_at_most(site: Site, back: float):
    site.start()
    site.raised()
    site.after(5)
    site.at -= back
    assert [site.after(0), site.after(10.1)] == [0, 1]
    site.at -= back
    site.start()
    assert [site.after(0), site.after(30.1)] == [1, 2]
    assert site.after(7) == 2


def test_a_clock_that_was_ahead_holds_no_page_back(site: Site):
    right = site.at
    site.at = right + 400 * 24 * 3600.0
    site.start(cap_per_hour=1)
    site.raised()
    site.after(0)
    assert site.after(11) == 1
    site.at = right
    assert [site.after(0), site.after(61)] == [1, 2]


def test_paging_goes_on_with_a_full_disk(site: Site, monkeypatch: pytest.MonkeyPatch):
    site.start()
    site.raised()
    site.after(0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(Spool, "write", full)
        assert [site.after(11), site.after(5)] == [1, 1]
    site.after(1)
    site.start()
    assert site.after(1) == 1  # what could not be written was written later


@pytest.mark.parametrize("broken", ["decision.json", "reading.jsonl", "contacts.jsonl", "workitem.json"])
def test_a_study_that_cannot_be_read_is_paged_all_the_same(site: Site, broken: str):
    site.start()
    uid = site.raised()
    site.after(0)
    (site.spool.study_folder(uid) / broken).write_text("{]}")
    other = site.raised()
    assert site.after(11) == 2
    assert any(uid in each or "ACC-1" in each for each in site.box.texts) and other


def test_an_event_that_cannot_be_read_begins_anew(site: Site):
    site.start()
    uid = site.raised()
    site.after(0)
    file = site.spool.root / "paging" / "events" / f"{uid}.json"
    for content in ("", "[]", '{"since": NaN}', json.dumps({**json.loads(file.read_text()), "since": "x"})):
        file.write_text(content)
        site.start()
        site.after(0)
        assert site.status.watched == 1
    assert site.after(11) == 1


@pytest.fixture
def chat() -> Iterator[tuple[str, list[Any]]]:
    posted: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/secret-path", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mail_server_that_hangs_holds_no_chat_back(site: Site, chat: tuple[str, list[Any]]):
    url, posted = chat
    with silent_port() as port:
        site.port = port
        site.start(chat_url=url, chat_template='{"blocks": [{"text": "{text}", "p": "{ppv}"}], "n": 1, "x": "{ y }"}')
        for _ in range(3):
            site.raised(attributes={"AccessionNumber": 'A"}]\\'}, accession_number='A"}]\\')
        site.after(11)
    assert len(posted) == 3
    assert posted[0]["x"] == "{ y }" and 'Accession number: A"}]\\' in posted[0]["blocks"][0]["text"]
    assert posted[0]["blocks"][0]["p"].startswith("not known")
    assert site.status.undelivered == 3  # the mail of each is still an alarm
    site.port = site.box.port
    site.start()
    assert site.after(1) == 3
    assert len(posted) == 3 and site.status.undelivered == 0


def test_addresses_that_are_refused_are_shown(site: Site):
    site.start(mail_to=["rota@hospital.example", "gone@hospital.example"])
    site.box.refused = {"gone@hospital.example"}
    try:
        site.raised()
        assert site.after(11) == 1
    finally:
        site.box.refused = set()
    assert site.status.alarms(site.at) == ["The mail server refuses 1 of the rota's addresses."]
    assert site.gauge("page_addresses_refused") == 1
    assert site.after(29) == 1


def test_a_pager_that_does_not_run_is_an_alarm(site: Site):
    site.start()
    site.after(0)
    assert site.status.alarms(site.at + 60) == []
    assert site.status.alarms(site.at + 121) == ["Paging does not run: no page is sent."]
    assert site.after(10) == 0
    assert site.status.alarms(site.at) == []


@pytest.mark.parametrize(
    ("where", "when", "pages"),
    [
        ("triage.paging.store:PagingFiles.save", "before", 1),
        ("triage.paging.store:PagingFiles.save", "after", 1),
        ("triage.paging.store:PagingFiles.unmark", "before", 1),
        ("triage.paging.mail:MailRoute.send", "before", 1),
        ("triage.paging.mail:MailRoute.send", "after", 2),  # the one moment for which delivery is at least once
        ("triage.paging.store:PagingFiles.save_sent", "before", 1),
        ("triage.paging.store:PagingFiles.save_sent", "after", 1),
        ("triage.paging.store:PagingFiles.save_status", "before", 1),
    ],
)
def test_a_kill_at_any_moment_loses_no_page(site: Site, where: str, when: str, pages: int):
    site.raised()
    site.at += 11 * MINUTE
    if (child := os.fork()) == 0:
        once_at(when, where, lambda: os.kill(os.getpid(), signal.SIGKILL))
        site.start()
        site.after(0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    site.start()
    assert [site.after(0), site.after(1)] == [pages, pages]
    assert len({each["Message-ID"] for each in site.box.messages}) == 1
    assert ["you may have it already" in each for each in site.box.texts[1:]] == [True] * (pages - 1)
    site.start()
    assert site.after(1) == pages
