"""The audit trail of views, searches, sign-ins and acts, and the behaviour when it cannot be written."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from click.testing import CliRunner, Result

from tests.support import audit_schema as schema
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive
from tests.support.signed_in_web import ADMIN, READER, SignedInWeb, quick_passwords, signed_in_web, write_users
from tests.support.worklist_page import tagged
from tests.web.api.test_ups_rs import complete
from triage.adjudication.acts import Objection, disagree
from triage.adjudication.journal import Contradicted
from triage.adjudication.rules import AdjudicationRules
from triage.cli import triage as cli
from triage.security.audit_file import AuditFile
from triage.security.audit_message import (
    LOGIN,
    SCHEME,
    AuditEvent,
    AuditSource,
    AuditSubject,
    Participant,
)
from triage.security.audit_trail import AuditTrail, trail_of
from triage.spool.spool import Spool
from triage.web.auth.audit import RecentEvents
from triage.web.auth.route_rules import RULES
from triage.worklist import reader_acts as reading
from triage.worklist.workitem_store import workitem_uid

pytestmark = pytest.mark.usefixtures(quick_passwords.__name__)
ROOT = Path(__file__).parents[2]
ACCESSED, QUERY, ALERT, AUTHENTICATION, EXPORT = "110103", "110112", "110113", "110114", "110106"


def of(home: SignedInWeb, event: str) -> list[Element]:
    """The messages of one event."""
    return [each for each in schema.messages(home.audit) if schema.event(each)[0] == event]


def a_trail(folder: Path, rotate_at_bytes: int = 1 << 20) -> AuditTrail:
    return trail_of(AuditFile(folder / "audit.xml", rotate_at_bytes), AuditSource("test", "triage test"))


@pytest.fixture
def home(redis_server: RedisServer, spool: Spool, tmp_path: Path):
    study = spool.root / "study"
    study.mkdir()
    (study / "unresolved.csv").write_text("image,patient,why,reader_zoe,reader_yan\n1.png,p,tie 1:1,1,0\n")
    rules = AdjudicationRules(reader_studies=(study,))
    with signed_in_web(redis_server, spool, tmp_path, adjudication=rules) as found:
        yield found


def test_a_look_at_a_study_is_written_once_for_an_opening_with_the_patient_s_id(home: SignedInWeb) -> None:
    study = tagged(home.sources.spool, home.sources.worklist, 1)
    uid = study.study_instance_uid
    with home.ask(READER) as ann, home.ask(ADMIN) as bob:
        detail = ann.get(f"/api/studies/{uid}").json()
        image = f"/api/studies/{uid}/images/{detail['objects'][0]['name']}"
        assert [ann.get(image).status_code for _ in range(3)] == [200] * 3
        assert len(of(home, ACCESSED)) == 1
        assert bob.get(image).status_code == 200
        assert ann.get("/api/studies/1.2.999").status_code == 404
    ours, other, missing = of(home, ACCESSED)
    assert schema.event(ours) == (ACCESSED, "R", "0")
    assert schema.who(ours) == ("ann", "127.0.0.1")
    assert schema.objects(ours) == {"110180": uid, "2": "PHANTOM"}
    assert "CHEST" not in home.audit.read_text()  # PHANTOM^CHEST is the patient's name
    assert schema.who(other)[0] == "bob"
    assert (schema.event(missing)[2], schema.objects(missing)) == ("4", {"110180": "1.2.999", "2": "<none>"})
    assert home.audit.stat().st_mode & 0o777 == 0o600


def test_a_search_is_written_and_the_list_as_it_stands_is_not(home: SignedInWeb) -> None:
    with home.ask(READER) as ann:
        for _ in range(2):
            ann.get("/api/worklist", params={"limit": 5, "tag": "NORMAL"})
            ann.get("/api/worklist", params={"q": "ACC-0001 & <b>"})
        ann.get("/workitems", params={"PatientID": "4711", "limit": "2"})
        ann.get("/workitems")
    first, second = of(home, QUERY)
    assert schema.event(first) == (QUERY, "E", "0")
    assert (schema.objects(first), schema.query(first)) == ({"10": "/api/worklist"}, "q=ACC-0001+%26+%3Cb%3E")
    assert (schema.objects(second), schema.query(second)) == ({"10": "/workitems"}, "PatientID=4711&limit=2")


def test_a_search_for_a_patient_is_written_though_no_address_says_it(home: SignedInWeb) -> None:
    with home.ask(READER) as ann:
        assert ann.post("/api/search", json={"text": "no such patient"}).status_code == 200
        assert ann.post("/api/search", json={"patient": "roe", "tag": "NORMAL"}).status_code == 200
    first, second = of(home, QUERY)
    assert (schema.objects(first), schema.query(first)) == ({"10": "/api/search"}, "text=no+such+patient")
    assert schema.query(second) == "patient=roe&tag=NORMAL"


def test_sign_ins_and_outs_are_written_those_that_fail_too(home: SignedInWeb) -> None:
    cookie = home.cookie()
    with home.ask(Cookie=cookie) as ask:
        ask.post("/sign-in", data={"name": "mallory\u0001\n<x>", "password": "guess"})
        ask.post("/api/sign-out", json={})
    told = [(schema.kind(each), schema.event(each)[2], *schema.who(each)) for each in of(home, AUTHENTICATION)]
    assert told == [
        ("110122", "0", "ann", "127.0.0.1"),
        ("110122", "4", "mallory\ufffd\n<x>", "127.0.0.1"),
        ("110123", "0", "ann", "127.0.0.1"),
    ]


def test_a_proxy_s_header_from_elsewhere_is_written(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    with signed_in_web(redis_server, spool, tmp_path, method="proxy", trusted_proxies=("192.0.2.1",)) as home:
        with home.ask(X_Remote_User="carol") as ask:
            for _ in range(3):  # once in five minutes, or a stranger could fill the disk
                ask.get("/api/session")
        (message,) = of(home, AUTHENTICATION)
        assert (schema.event(message)[2], schema.who(message)) == ("8", ("carol", "127.0.0.1"))


def test_acts_are_written_with_what_was_done_and_whether_it_could_be(home: SignedInWeb) -> None:
    spool = home.sources.spool
    uid = tagged(spool, home.sources.worklist, 1).study_instance_uid
    dead = receive(spool, a_chest(7))
    spool.bury(dead, {"error": "x", "tries": 3, "buried_at": 1e9})
    with home.ask(READER) as ann, home.ask(ADMIN) as bob:
        assert ann.post(f"/api/studies/{uid}/reading", json={"read": True}).status_code == 200
        assert ann.post(f"/api/studies/{uid}/label", json={"label": "perhaps"}).status_code == 400
        workitem = f"/workitems/{workitem_uid(uid, 1)}"
        state = {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": ["1.2.3"]}}
        headers = {"Content-Type": "application/dicom+json"}
        assert ann.put(f"{workitem}/state", json=state, headers=headers).status_code == 200
        assert ann.get(workitem).status_code == 200
        assert ann.post("/api/requeue", json={"key": dead.key}).status_code == 403
        assert bob.post("/api/requeue", json={"key": dead.key}).status_code == 200
    told = [(schema.event(each)[1:], schema.kind(each), schema.objects(each)["110180"]) for each in of(home, ACCESSED)]
    assert told == [
        (("U", "0"), "INTENT-READING", uid),
        (("U", "0"), "READING", uid),
        (("U", "0"), "INTENT-LABEL", uid),
        (("U", "4"), "LABEL", uid),
        (("U", "0"), "INTENT-WORKITEM-STATE", uid),
        (("U", "0"), "WORKITEM-STATE", uid),
        (("R", "0"), "", uid),
        (("U", "0"), "INTENT-REQUEUE", dead.study_instance_uid),
        (("U", "0"), "REQUEUE", dead.study_instance_uid),
    ]
    (refused,) = of(home, ALERT)
    assert (schema.event(refused)[1:], schema.kind(refused), schema.who(refused)[0]) == (("E", "4"), "110132", "ann")


def test_what_cannot_be_written_is_not_shown_and_the_list_still_is(home: SignedInWeb, caplog: pytest.LogCaptureFixture):
    spool = home.sources.spool
    study = tagged(spool, home.sources.worklist, 1)
    cookie = home.cookie()
    home.audit.unlink()
    home.audit.mkdir()
    with home.ask(Cookie=cookie) as ask:
        for path in (f"/api/studies/{study.study_instance_uid}", "/api/worklist?q=ACC", "/workitems?PatientID=4711"):
            answer = ask.get(path)
            assert (answer.status_code, "not shown" in answer.json()["error"]) == (503, True)
            assert "PHANTOM" not in answer.text
        assert len(ask.get("/api/worklist").json()["entries"]) == 1
        done = ask.post(f"/api/studies/{study.study_instance_uid}/reading", json={"read": True})
        assert (done.status_code, "it is not done" in done.json()["error"]) == (503, True)
        assert reading.acts_of(spool, study.study_instance_uid) == []
        assert home.count("audit_messages", outcome="failed") == 4
        assert ask.post("/api/sign-out", json={}).status_code == 200  # the door itself stays usable
        home.cookie()
    assert "cannot be written" in caplog.text
    assert study.study_instance_uid not in caplog.text


def test_nothing_is_done_of_which_it_cannot_be_written_that_it_will_be(home: SignedInWeb) -> None:
    spool = home.sources.spool
    uid = tagged(spool, home.sources.worklist, 1).study_instance_uid
    dead = receive(spool, a_chest(7))
    spool.bury(dead, {"error": "x", "tries": 3, "buried_at": 1e9})
    workitem, cookie = f"/workitems/{workitem_uid(uid, 1)}", home.cookie(*ADMIN)
    claim = {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": ["1.2.3"]}}
    update = {"00404011": {"vr": "DT", "Value": ["20300101"]}}
    stated = {"against": "model", "label": True, "text": "so"}
    disagree(spool, uid, Objection("zoe", 1.0, reading.Via.PAGE, Contradicted.REPORT, "", 1, "so"))
    judged = {"label": False, "reason": "so"}
    acts: dict[str, tuple[str, str, dict[str, Any]]] = {
        "POST /api/studies/{study_instance_uid}/reading": ("POST", f"/api/studies/{uid}/reading", {"read": True}),
        "POST /api/studies/{study_instance_uid}/label": ("POST", f"/api/studies/{uid}/label", {"label": True}),
        "POST /api/studies/{study_instance_uid}/acknowledgement": ("POST", f"/api/studies/{uid}/acknowledgement", {}),
        "POST /api/studies/{study_instance_uid}/claim": ("POST", f"/api/studies/{uid}/claim", {}),
        "POST /api/studies/{study_instance_uid}/release": (
            "POST",
            f"/api/studies/{uid}/release",
            {"reason": "gone home"},
        ),
        "POST /api/studies/{study_instance_uid}/disagreements": ("POST", f"/api/studies/{uid}/disagreements", stated),
        "POST /api/studies/{study_instance_uid}/disagreements/{number}/withdrawal": (
            "POST",
            f"/api/studies/{uid}/disagreements/1/withdrawal",
            {},
        ),
        "POST /api/adjudication/studies/{study_instance_uid}": ("POST", f"/api/adjudication/studies/{uid}", judged),
        "POST /api/adjudication/ties/{study}/{case}": ("POST", a_tie(home), {"label": True, "reason": "so"}),
        "POST /api/requeue": ("POST", "/api/requeue", {"key": dead.key}),
        "POST /workitems/{workitem}": ("POST", workitem, update),
        "PUT /workitems/{workitem}/state": ("PUT", f"{workitem}/state", claim),
        "POST /workitems/{workitem}/cancelrequest": ("POST", f"{workitem}/cancelrequest", {}),
    }
    assert acts.keys() == {name for name, rule in RULES.items() if rule.act is not None}
    before = everything(spool.root)
    home.audit.unlink()
    home.audit.mkdir()
    with home.ask(Cookie=cookie) as ask:
        for method, path, content in acts.values():
            kind = "application/dicom+json" if path.startswith("/workitems") else "application/json"
            answer = ask.request(method, path, content=json.dumps(content), headers={"Content-Type": kind})
            assert (answer.status_code, "it is not done" in answer.json()["error"]) == (503, True), path
    assert everything(spool.root) == before


def a_tie(home: SignedInWeb) -> str:
    """The address of a tie in the reader study of the fixture's settings."""
    with home.ask(ADMIN) as ask:
        (tie,) = ask.get("/api/adjudication").json()["ties"]
    return f"/api/adjudication/ties/{tie['study']}/{tie['case']}"


def everything(folder: Path) -> dict[str, bytes]:
    """The files of a folder, but locks."""
    files = [path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_workitem_was_completed_by_who_signed_in_whomever_it_names(home: SignedInWeb) -> None:
    uid = tagged(home.sources.spool, home.sources.worklist, 1).study_instance_uid
    with home.ask(READER) as ann:
        assert complete(ann, workitem_uid(uid, 1), "1.2.3", "Other^Reader").status_code == 200
    (step,) = reading.acts_of(home.sources.spool, uid)
    assert (step.who, step.through) == ("ann", "ups")


def test_what_came_of_an_act_that_is_done_keeps_nobody_from_his_answer(home: SignedInWeb) -> None:
    spool = home.sources.spool
    uid = tagged(spool, home.sources.worklist, 1).study_instance_uid
    cookie, marked = home.cookie(), reading.mark

    def full_then(*arguments: Any, **others: Any) -> Any:
        step = marked(*arguments, **others)
        home.audit.rename(home.audit.with_suffix(".kept"))
        home.audit.mkdir()
        return step

    with pytest.MonkeyPatch.context() as patched, home.ask(Cookie=cookie) as ask:
        patched.setattr(reading, "mark", full_then)
        assert ask.post(f"/api/studies/{uid}/reading", json={"read": True}).status_code == 200
    assert reading.leaving_act(reading.acts_of(spool, uid)) is not None
    assert [schema.kind(each) for each in schema.messages(home.audit.with_suffix(".kept"))][-1] == "INTENT-READING"
    assert home.count("audit_messages", outcome="failed") == 1


def test_a_site_may_choose_to_show_it_all_the_same(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    with signed_in_web(redis_server, spool, tmp_path, audit={"required": False}) as home, home.ask(READER) as ask:
        study = tagged(spool, home.sources.worklist, 1)
        home.audit.unlink()
        home.audit.mkdir()
        assert ask.get(f"/api/studies/{study.study_instance_uid}").status_code == 200
        assert home.count("audit_messages", outcome="failed") >= 1


def test_on_loopback_it_is_written_if_a_site_says_so(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    study = tagged_alone = None
    for always in (False, True):
        with (
            signed_in_web(redis_server, spool, tmp_path, method="", audit={"always": always}) as home,
            home.ask() as ask,
        ):
            study = study or tagged(spool, home.sources.worklist, 1)
            assert ask.get(f"/api/studies/{study.study_instance_uid}").status_code == 200
            tagged_alone = of(home, ACCESSED)
            assert len(tagged_alone) == int(always)
    assert schema.who(tagged_alone[0]) == ("local", "127.0.0.1")


def test_processes_write_to_one_file_which_moves_aside_when_it_is_large(tmp_path: Path) -> None:
    trails = [a_trail(tmp_path, rotate_at_bytes=4096) for _ in range(4)]

    def write(number: int) -> None:
        message = trails[number % 4].messages.accessed(
            AuditEvent(1e9, Participant("ann", "::1")), AuditSubject("1.2", "4711")
        )
        trails[number % 4].write(message)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(60)))
    files = list(tmp_path.glob("audit*.xml"))
    assert len(files) > 3
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert sum(len(schema.messages(path)) for path in files) == 60


def test_a_line_that_a_power_failure_cut_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "audit.xml").write_text("<AuditMess")
    written = a_trail(tmp_path)
    written.write(written.messages.authentication(AuditEvent(1e9, Participant("a")), LOGIN))
    cut, whole = (tmp_path / "audit.xml").read_text().splitlines()
    assert cut == "<AuditMess"
    schema.checked(whole)


def test_an_opening_lasts_five_minutes() -> None:
    now = [0.0]
    recent = RecentEvents(lambda: now[0])
    assert not recent.contains("a")
    recent.add("a")
    now[0] = 299.0
    assert recent.contains("a")
    assert not recent.contains("b")
    now[0] = 301.0
    assert not recent.contains("a")


def run(folder: Path, spool: Spool, *arguments: str, typed: str = "") -> Result:
    """A command with the settings of the service that ``house`` starts in that folder."""
    settings = {
        "TRIAGE_SPOOL_PATH": str(spool.root),
        "TRIAGE_REDIS_URL": "unix:///nowhere",
        "TRIAGE_SIGN_IN_METHOD": "users",
        "TRIAGE_SIGN_IN_USERS_FILE": str(folder / "users.json"),
        "TRIAGE_AUDIT_PATH": str(folder / "audit" / "audit.xml"),
    }
    return CliRunner().invoke(cli, arguments, input=typed, env=settings)


def test_users_are_made_and_changed_by_command_and_each_change_is_written(spool: Spool, tmp_path: Path) -> None:
    secret, other = "a password of some words", "and another of some words"
    assert run(tmp_path, spool, "user", "list").stdout == ""
    added = run(tmp_path, spool, "user", "add", "ann", "--role", "reader", typed=f"{secret}\n")
    assert (added.exit_code, added.stdout) == (0, "ann may sign in as reader\n")
    file = tmp_path / "users.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert secret not in file.read_text()
    for arguments, typed, wrong in (
        (("add", "ANN", "--role", "admin"), secret, "already"),
        (("add", "local", "--role", "reader"), secret, "no user name"),
        (("add", "bob", "--role", "reader"), "short", "12 characters"),
        (("add", "bob", "--role", "reader"), "", "12 characters"),
        (("password", "carol"), secret, "no user"),
        (("remove", "carol"), "", "no user"),
    ):
        refused = run(tmp_path, spool, "user", *arguments, typed=typed)
        assert (refused.exit_code, wrong in refused.stderr) == (1, True), arguments
    assert run(tmp_path, spool, "user", "password", "ann", typed=other).exit_code == 0
    assert run(tmp_path, spool, "user", "role", "ann", "admin").exit_code == 0
    assert run(tmp_path, spool, "user", "list").stdout == "admin   ann\n"
    assert run(tmp_path, spool, "user", "remove", "ann").exit_code == 0
    written = schema.messages(tmp_path / "audit" / "audit.xml")
    # Of each change two, and two of each that was begun and refused.
    assert [(schema.event(each), schema.kind(each)) for each in written] == [((ALERT, "E", "0"), "110137")] * 14
    assert secret not in (tmp_path / "audit" / "audit.xml").read_text()


def test_exported_labels_and_requeues_by_command_are_written(
    redis_server: RedisServer, spool: Spool, tmp_path: Path
) -> None:
    write_users(tmp_path)
    out = tmp_path / "labels.csv"
    with signed_in_web(redis_server, spool, tmp_path) as home, home.ask(READER) as ann:
        uid = tagged(spool, home.sources.worklist, 1).study_instance_uid
        assert ann.post(f"/api/studies/{uid}/label", json={"label": True}).status_code == 200
        done = run(tmp_path, spool, "feedback", "--out", str(out))
        assert (done.exit_code, out.exists()) == (0, True), done.stderr
        intended, message = of(home, EXPORT)
        assert (schema.kind(intended), schema.objects(intended)) == ("INTENT-EXPORT", {})
        assert schema.objects(message)["110180"] == uid
        assert out.as_uri() in home.audit.read_text()
        dead = receive(spool, a_chest(7))
        spool.bury(dead, {"error": "x", "tries": 3, "buried_at": 1e9})
        assert run(tmp_path, spool, "dead-letters", "--requeue-all").exit_code == 0
        assert schema.kind(of(home, ACCESSED)[-1]) == "REQUEUE"
        assert schema.objects(of(home, ACCESSED)[-1])["110180"] == dead.study_instance_uid
        home.audit.unlink()
        home.audit.mkdir()
        out.unlink()
        refused = run(tmp_path, spool, "feedback", "--out", str(out))
        assert (refused.exit_code, out.exists()) == (1, False)
        assert "not done" in refused.stderr
        spool.bury(dead, {"error": "x", "tries": 3, "buried_at": 1e9})
        refused = run(tmp_path, spool, "dead-letters", "--requeue-all")
        assert (refused.exit_code, "not done" in refused.stderr) == (1, True)
        assert [instance for instance, _ in spool.dead_letters()] == [dead]
        refused = run(tmp_path, spool, "user", "role", "ann", "admin")
        assert (refused.exit_code, "not done" in refused.stderr) == (1, True)
        assert run(tmp_path, spool, "user", "list").stdout.count("admin") == 1


def test_the_codes_of_acts_are_in_the_conformance_statement() -> None:
    text = (ROOT / "docs" / "reference" / "conformance.md").read_text()
    for rule in RULES.values():
        if rule.act is not None:
            assert rule.act.scheme == SCHEME
            assert f"`{rule.act.value}`" in text, rule.act.value
