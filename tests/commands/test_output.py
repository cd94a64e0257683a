"""What the commands print."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.builders import a_decision, an_instance
from tests.support.findings import a_study_finding
from tests.support.model_folders import write_model
from tests.support.radiographs import a_dataset, as_file
from tests.support.redis_server import RedisServer
from triage.commands.output.dead_letters import show_dead_letters, show_requeued_objects
from triage.commands.output.explain import print_explanation
from triage.commands.output.models import show_models
from triage.commands.output.send import send_with_progress
from triage.commands.output.worklist import print_worklist
from triage.decision.findings import FindingState
from triage.decision.records import to_record
from triage.decision.types import Tag
from triage.decision.urgency import Urgency
from triage.dicom.requestor import RemoteAE
from triage.model.versions import RegistryHistory
from triage.operations.dead_letters import DeadDelivery, key_from, requeue
from triage.queue.score_queue import ScoreQueue
from triage.runtime.csv_table import parse_table
from triage.runtime.release import Running
from triage.sender.send import SentFile
from triage.settings.sections.models import ModelSettings
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist

TIMEOUT_S = 5.0
RUNNING = Running("5e7")


def a_dead_letter(spool: Spool, sop: str = "1.2.3.4") -> ReceivedInstance:
    instance = an_instance(sop=sop)
    part = spool.new_part()
    with part.open("wb") as file:
        file.write(b"pixels")
        file.flush()
        spool.receive(part, file.fileno(), instance)
    spool.bury(instance, {"error": "it failed", "tries": 3, "buried_at": 1.0})
    return instance


def test_requeued_dead_letters_are_in_the_inbox_and_the_queue(
    spool: Spool, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = a_dead_letter(spool), a_dead_letter(spool, "1.2.3.5")
    with redis_server.client() as client:
        show_requeued_objects(requeue(spool, client, [first], 0.0))
        assert list(spool.waiting()) == [first]
        show_requeued_objects(requeue(spool, client, [second], 0.0))
        assert set(spool.waiting()) == {first, second}
        assert not list(spool.dead_letters())
        assert ScoreQueue(client).depth() == 2
        assert capsys.readouterr().out == "1 queued again\n1 queued again\n"
        with pytest.raises(FileNotFoundError):
            requeue(spool, client, [first], 0.0)
    with pytest.raises(ValueError, match="key"):
        key_from("no such thing")


def test_without_redis_dead_letters_wait_for_the_sweep(
    spool: Spool, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = a_dead_letter(spool)
    redis_server.kill()
    with redis_server.client() as client:
        show_requeued_objects(requeue(spool, client, [instance], 0.0))
    assert list(spool.waiting()) == [instance]
    assert capsys.readouterr().out.endswith("the next sweep queues them\n")


def test_a_study_is_explained_with_and_without_redis(
    spool: Spool, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    spool.write_decision("1.2.3", to_record(a_decision()))
    print_explanation("1.2.3", spool, redis_server.url, TIMEOUT_S, RUNNING)
    redis_server.kill()
    print_explanation("1.2.3", spool, redis_server.url, TIMEOUT_S, RUNNING)
    assert capsys.readouterr().out.count("Study 1.2.3") == 2
    with pytest.raises(LookupError):
        print_explanation("1.2.99", spool, redis_server.url, TIMEOUT_S, RUNNING)


def test_models_are_listed_with_what_keeps_them_from_scoring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("here", "off", "shadowed", "broken"):
        write_model(tmp_path, name)
    write_model(tmp_path, "shown", demo=True)
    (tmp_path / "broken" / "model.onnx").write_bytes(b"another")
    show_models(ModelSettings(path=tmp_path, shadow=("shadowed",)), frozenset({"off"}), RegistryHistory())
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["here"].split()[-2:] == ["in", "service"]
    assert rows["off"].split()[-2:] == ["switched", "off"]
    assert rows["shadowed"].split()[-2:] == ["in", "shadow"]
    assert "demonstration" in rows["shown"]
    assert "refused" in rows["broken"]
    show_models(ModelSettings(path=tmp_path / "nowhere"), frozenset(), RegistryHistory())
    assert "no model" in capsys.readouterr().out


ODD_ACCESSIONS = {
    "a closing tag": ("[/b]", "[/b]"),
    "a style": ("[red]A1", "[red]A1"),
    "an emoji's name": (":skull:", ":skull:"),
    "a terminal's colour": ("A\x1b[31mB", "A\\x1b[31mB"),
    "another line": ("A1\r\nHIGH  ABNORMAL", "A1\\x0d\\x0aHIGH  ABNORMAL"),
    "right to left": ("A\u202eB\u2066C", "A\\u202eB\\u2066C"),
    "line ends of Unicode": ("A\x85B\u2028C", "A\\x85B\\u2028C"),
    "several": ("A1\\B2", "A1\\B2"),
    "10 kB": ("x" * 10_240, "x" * 64 + "…"),
    "Japanese": ("山田1", "山田1"),
}


@pytest.mark.parametrize("kind", ODD_ACCESSIONS)
def test_the_worklist_shows_any_accession_number_on_its_study_s_line(
    kind: str, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    accession, shown = ODD_ACCESSIONS[kind]
    with redis_server.client() as client:
        IndexedWorklist(client).put(a_decision("1.2.3", accession_number=accession, tag=Tag.ABNORMAL))
    print_worklist(IndexedWorklist(redis_server.client()), 3600.0, 50)
    scope, heading, row, count = capsys.readouterr().out.splitlines()

    assert scope == "AI triage, unverified, of the frontal images"
    assert heading.split()[:3] == ["priority", "tag", "urgency"]
    assert shown in row
    assert row.rstrip().endswith("1.2.3")
    assert count == "1 of 1 studies"


@pytest.mark.parametrize("kind", ODD_ACCESSIONS)
def test_the_worklist_as_json_has_any_accession_number_whole(
    kind: str, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    accession, _ = ODD_ACCESSIONS[kind]
    with redis_server.client() as client:
        IndexedWorklist(client).put(a_decision("1.2.3", accession_number=accession))
    print_worklist(IndexedWorklist(redis_server.client()), 3600.0, 50, "json")
    out = capsys.readouterr().out

    assert out.isascii()
    assert [json.loads(line)["accession_number"] for line in out.splitlines()] == [accession]


def test_the_worklist_as_csv_has_the_findings_and_no_formula(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = a_study_finding("nodule", state=FindingState.NOT_ASSESSED, probability=None, threshold=None)
    given = {"findings": (a_study_finding(), unknown), "urgency": Urgency.CRITICAL, "accession_number": "=1+1"}
    with redis_server.client() as client:
        IndexedWorklist(client).put(a_decision(tag=Tag.ABNORMAL, **given))
    print_worklist(IndexedWorklist(redis_server.client()), 3600.0, 50, "csv")
    out = capsys.readouterr().out
    (row,) = parse_table(out.encode()).records

    assert next(iter(row.values)) == "scope"
    assert ",'=1+1," in out
    assert (row.values["urgency"], row.values["raised"]) == ("critical", "true")
    assert row.values["findings"] == "effusion=present nodule=not_assessed"
    assert (row.values["scores"], row.values["operating_points"]) == ("effusion=0.910000", "effusion=0.5")


@pytest.mark.parametrize("kind", ["a terminal's colour", "another line", "right to left", "line ends of Unicode"])
def test_an_explanation_has_any_accession_number_on_its_line(
    kind: str, spool: Spool, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    accession, shown = ODD_ACCESSIONS[kind]
    spool.write_decision("1.2.3", to_record(a_decision(accession_number=accession)))
    print_explanation("1.2.3", spool, redis_server.url, TIMEOUT_S, RUNNING)

    assert f"Accession  {shown}" in capsys.readouterr().out.splitlines()


def test_a_dead_letter_says_why_on_one_line(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    why = "refused\n\x1b[2Jno dead letters"
    show_dead_letters(spool, [DeadDelivery("2026-01-01 00:00:00", 3, why, "ris 1.2.3", "A\u202e1", "ABNORMAL")])

    assert capsys.readouterr().out.splitlines() == [
        "2026-01-01 00:00:00  after 3 tries: refused\\x0a\\x1b[2Jno dead letters",
        "  ABNORMAL, accession number A\\u202e1",
        "  triage dead-letters --requeue ris 1.2.3",
    ]


def test_a_name_of_a_file_is_shown_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (b"a\x1b[2J.dcm", b"b\nERROR forged.dcm", b"caf\xe9.dcm", "c\u202ed.dcm".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(as_file(a_dataset()))
    monkeypatch.setattr("triage.sender.send.send", lambda files, *_: (SentFile(each, error="no") for each in files))

    assert not send_with_progress([tmp_path], RemoteAE("127.0.0.1", 1, "A", "B"), None, None)

    failures = [line for line in capsys.readouterr().err.splitlines() if line.startswith(str(tmp_path))]
    assert [line.partition(".dcm: no")[0].rpartition("/")[2] for line in failures] == [
        *("a\\x1b[2J", "b\\x0aERROR forged", "caf\\udce9", "c\\u202ed"),
    ]
