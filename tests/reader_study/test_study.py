"""Reader studies: cases, orders, answers on the disk, labels, and who may see what."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.reader_study import a_study, asking, served, step, write_cases
from triage.cli import triage
from triage.errors import StartError
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.reader_study.answers import AnswerLog, read_progress, read_records
from triage.reader_study.cases import CasesError, find_cases
from triage.reader_study.labels import consensus, write_labels
from triage.reader_study.progress import OutOfTurnError, ReaderAnswer, ReaderRecord, StepKind, replay
from triage.reader_study.study import StudyError, begin_or_resume, open_study
from triage.validation.cohort.manifest import read_manifest
from triage.web.http.static import PAGE_HEADERS

TIMES = {"active_ms": 1500, "elapsed_ms": 2000}


def book(path: Path, total: int = 3) -> AnswerLog:
    return AnswerLog(path, total, lambda: "2026-11-25T10:00:00.000+00:00")


def step_of(kind: StepKind, number: int, answer: ReaderAnswer | None = None) -> ReaderRecord:
    return ReaderRecord(kind, number, TIMES["active_ms"], TIMES["elapsed_ms"], answer)


# Cases and orders.


def test_a_folder_is_a_study_of_its_images_and_patients_are_not_named(tmp_path: Path):
    folder = write_cases(tmp_path / "images", 3)
    (folder / "notes.txt").write_text("not an image")
    cases = find_cases(folder, "salt")

    assert [case.image.name for case in cases] == ["case0.dcm", "case1.dcm", "case2.dcm"]
    assert len({case.patient for case in cases}) == 1  # the phantoms share a Patient ID
    assert len({case.columns["study"] for case in cases}) == 3
    assert "PHANTOM" not in str(cases)
    assert find_cases(folder, "other")[0].patient != cases[0].patient


def test_a_manifest_brings_its_columns_and_needs_no_labels(tmp_path: Path):
    folder = write_cases(tmp_path / "images", 2)
    manifest = folder / "manifest.csv"
    manifest.write_text("image,label,patient,age,site\ncase1.dcm,1,p1,50,north\ncase0.dcm,,p0,,south\n")
    first, second = find_cases(manifest, "salt")

    assert first.patient == "p1"
    assert first.columns.items() > {"age": "50", "site": "north", "reference": "1"}.items()
    assert first.columns["study"] != second.columns["study"]
    assert (second.patient, "reference" in second.columns) == ("p0", False)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("image\nabsent.dcm\n", "no file .*absent.dcm"),
        ("image\ncase0.dcm\ncase0.dcm\n", "listed twice"),
        ("image,age\ncase0.dcm,old\n", "line 2: age 'old'"),
        ("image\n\n", "has no images"),
        ("picture\ncase0.dcm\n", "no column image"),
        ("image,patient\n,p1\n", "line 2: the column image is empty"),
    ],
)
def test_a_wrong_manifest_is_refused_and_the_line_named(tmp_path: Path, rows: str, named: str):
    manifest = write_cases(tmp_path / "images", 1) / "manifest.csv"
    manifest.write_text(rows)
    with pytest.raises(CasesError, match=named):
        find_cases(manifest, "salt")


def test_every_reader_has_an_order_of_his_own_which_stays(tmp_path: Path):
    study = a_study(tmp_path, cases=12)
    orders = [study.order(reader) for reader in study.readers]

    assert [sorted(order) for order in orders] == [list(range(12))] * 2
    assert orders[0] != orders[1]
    assert orders[0] != tuple(range(12))
    assert [open_study(study.folder).order(reader) for reader in study.readers] == orders


def test_a_study_is_gone_on_with_and_readers_can_join(tmp_path: Path):
    study = a_study(tmp_path)
    again = begin_or_resume(study.folder, None, ["clara"])

    assert again.readers == ("anna", "ben", "clara")
    assert again.tokens["anna"] == study.tokens["anna"]
    assert len(set(again.tokens.values())) == 3
    assert study.folder.stat().st_mode & 0o077 == 0
    assert (study.folder / "study.json").stat().st_mode & 0o077 == 0


def test_a_study_is_refused_with_what_to_do(tmp_path: Path):
    study = a_study(tmp_path)
    with pytest.raises(StudyError, match="other cases"):
        begin_or_resume(study.folder, write_cases(tmp_path / "more", 2), ["anna"])
    with pytest.raises(StudyError, match="upper and lower"):
        begin_or_resume(study.folder, None, ["Anna"])
    with pytest.raises(StudyError, match="letters"):
        begin_or_resume(study.folder, None, ["../anna"])
    with pytest.raises(StudyError, match="--reader"):
        begin_or_resume(tmp_path / "new", tmp_path / "images", [])
    with pytest.raises(StudyError, match="--cases"):
        begin_or_resume(tmp_path / "new", None, ["anna"])
    with pytest.raises(StudyError, match="no study"):
        open_study(tmp_path / "new")
    with pytest.raises(StudyError, match="neither empty"):
        begin_or_resume(tmp_path, tmp_path / "images", ["anna"])
    (study.folder / "study.json").write_text('{"version": 9}')
    with pytest.raises(StudyError, match="version 9"):
        open_study(study.folder)


# Answers.


def test_answers_are_taken_back_and_times_add_up(tmp_path: Path):
    answers = book(tmp_path / "a.jsonl")
    answers.add(step_of(StepKind.ANSWER, 0, ReaderAnswer.NORMAL))
    answers.add(step_of(StepKind.ANSWER, 0, ReaderAnswer.ABNORMAL))
    answers.add(step_of(StepKind.ANSWER, 1, ReaderAnswer.NORMAL))
    answers.add(step_of(StepKind.LOOKED, 2))
    answers.add(step_of(StepKind.UNDO, 2))
    progress = read_progress(tmp_path / "a.jsonl", 3)

    assert progress == answers.progress
    assert progress.position == 1
    assert (progress.read[0].answer, progress.read[0].answers_given) == (ReaderAnswer.ABNORMAL, 2)
    assert (progress.read[0].active_ms, progress.read[0].elapsed_ms) == (3000, 4000)
    assert progress.read[1].answer is None
    assert progress.read[2].active_ms == 3000


@pytest.mark.parametrize(("kind", "number"), [("answer", 2), ("answer", 3), ("answer", -1), ("undo", 0), ("looked", 1)])
def test_a_step_out_of_turn_changes_nothing(tmp_path: Path, kind: str, number: int):
    answers = book(tmp_path / "a.jsonl")
    with pytest.raises(OutOfTurnError):
        answers.add(step_of(StepKind(kind), number, ReaderAnswer.NORMAL))
    assert not (tmp_path / "a.jsonl").exists()
    assert answers.progress.position == 0


def test_a_line_that_a_crash_cut_costs_nothing_that_was_said_to_be_saved(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    book(path).add(step_of(StepKind.ANSWER, 0, ReaderAnswer.NORMAL))
    with path.open("a") as file:
        file.write('\n{"kind": "answer", "numb')
    again = book(path)
    assert again.progress.position == 1
    again.add(step_of(StepKind.ANSWER, 1, ReaderAnswer.ABNORMAL))
    assert [record.answer for record in read_records(path)] == ["normal", "abnormal"]


@pytest.mark.parametrize("changed", [{"number": 2}, {"kind": "peeked"}, {"answer": "maybe"}, {"active_ms": None}])
def test_records_that_are_no_steps_of_the_study_are_damage(tmp_path: Path, changed: dict[str, object]):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"kind": "answer", "number": 0, "at": "", "answer": "normal", **TIMES, **changed}))
    with pytest.raises(StartError, match="damaged"):
        read_progress(path, 3)


def test_only_what_is_next_may_be_seen():
    progress = replay(3, [])
    assert [progress.may_see(number) for number in (-1, 0, 1, 2, 3)] == [False, True, True, False, False]


# Labels.

N, A, U = ReaderAnswer.NORMAL, ReaderAnswer.ABNORMAL, ReaderAnswer.UNREADABLE


@pytest.mark.parametrize(
    ("answers", "label", "why"),
    [
        ([N, N, A], 0, ""),
        ([A, A, N], 1, ""),
        ([A, A, None], 1, ""),  # the third cannot change it
        ([A, N, None], None, "not read by all"),
        ([A, N], None, "tie 1:1"),
        ([A, A, N, N], None, "tie 2:2"),
        ([A, N, U], None, "tie 1:1"),
        ([U, U, A], None, "not readable for the majority"),
        ([A], 1, ""),
    ],
)
def test_consensus_is_the_majority_of_all_readers(answers: list[ReaderAnswer | None], label: int | None, why: str):
    found = consensus({str(number): answer for number, answer in enumerate(answers)})
    assert (found.label, found.why) == (label, why)


def test_labels_are_manifests_and_ties_are_said(tmp_path: Path):
    study = a_study(tmp_path, cases=3, readers=("anna", "ben"))
    said = {"anna": {0: "normal", 1: "abnormal", 2: "abnormal"}, "ben": {0: "normal", 1: "normal", 2: "abnormal"}}
    for reader in study.readers:
        answers = book(study.answers(reader))
        for place, case in enumerate(study.order(reader)):
            answers.add(step_of(StepKind.ANSWER, place, ReaderAnswer(said[reader][case])))
    summary = write_labels(study)

    assert (summary.labelled, dict(summary.unresolved)) == (2, {"tie 1:1": 1})
    rows = read_manifest(study.folder / "labels.csv")
    assert [(row.image.name, row.label) for row in rows] == [("case0.dcm", 0), ("case2.dcm", 1)]
    assert [rows[0].columns[name] for name in ("reader_anna", "reader_ben", "readers_abnormal")] == ["0", "0", "0"]
    own = read_manifest(study.folder / "labels-ben.csv")
    assert [row.label for row in own] == [0, 0, 1]
    assert {row.columns["seconds"] for row in own} == {"1.5"}
    assert [int(row.columns["place"]) - 1 for row in own] == [study.order("ben").index(case) for case in range(3)]
    with (study.folder / "unresolved.csv").open() as file:
        (tie,) = csv.DictReader(file)
    assert (Path(tie["image"]).name, tie["why"], tie["reader_anna"], tie["reader_ben"]) == (
        "case1.dcm",
        "tie 1:1",
        "1",
        "0",
    )


# Over HTTP.


def test_a_link_is_a_readers_own_and_says_nothing_of_the_case(tmp_path: Path):
    study = a_study(tmp_path)
    with served(study) as address, asking(study, address, "anna") as anna, asking(study, address, "ben") as ben:
        assert step(anna, "answer", 0, answer="abnormal").json() == {"total": 4, "position": 1}
        assert ben.get("state").json()["position"] == 0
        answers = [anna.get(path) for path in ("", "state", "cases/0", "cases/1")]
        for answer in answers:
            assert answer.status_code == 200
            told = answer.content + str(answer.headers).encode()
            for secret in (b"SECRET", b"PHANTOM", b".dcm", study.tokens["ben"].encode(), b"ben"):
                assert secret not in told
        assert httpx.get(f"{address}/r/{'x' * 22}/state", trust_env=False).status_code == 404
        assert httpx.get(f"{address}/r//state", trust_env=False).status_code == 404


def test_the_image_has_its_full_depth(tmp_path: Path):
    study = a_study(tmp_path)
    case = study.order("anna")[0]
    with served(study) as address, asking(study, address, "anna") as anna:
        answer = anna.get("cases/0")
    about = json.loads(answer.headers["X-Picture"])
    values = np.frombuffer(answer.content, dtype="<u2").reshape(about["rows"], about["columns"])

    assert (values == draw(case, rows=96, columns=80, opacity=case % 2 == 0)).all()
    assert about["masked"] is False
    assert about["black"] < about["white"]


def test_what_is_not_next_cannot_be_seen_nor_answered(tmp_path: Path):
    study = a_study(tmp_path)
    with served(study) as address, asking(study, address, "anna") as anna:
        assert anna.get("cases/2").status_code == 403
        assert step(anna, "answer", 1, answer="normal").status_code == 409
        assert "another window" in step(anna, "undo", 0).json()["error"]
        assert step(anna, "answer", 0, answer="normal").status_code == 200
        assert anna.get("cases/2").status_code == 200
    assert read_progress(study.answers("anna"), 4).position == 1


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("answer", {"number": 0, "active_ms": 1, "elapsed_ms": 1}, 400),
        ("answer", {"number": 0, "active_ms": 1, "elapsed_ms": 1, "answer": "maybe"}, 400),
        ("answer", {"number": 0, "active_ms": -1, "elapsed_ms": 1, "answer": "normal"}, 400),
        ("answer", {"number": 0, "active_ms": 1, "elapsed_ms": 1, "answer": "unreadable"}, 400),
        ("undo", {"number": 0, "active_ms": 1, "elapsed_ms": 1, "answer": "normal"}, 400),
        ("answer", {"number": 0, "active_ms": 1, "elapsed_ms": 1, "answer": "normal", "more": "x"}, 400),
        ("answer", {"more": "x" * 5000}, 413),
        ("delete", {"number": 0, "active_ms": 1, "elapsed_ms": 1}, 404),
    ],
)
def test_what_is_no_step_is_refused(tmp_path: Path, kind: str, body: dict[str, object], status: int):
    study = a_study(tmp_path, cases=1)
    with served(study) as address, asking(study, address, "anna") as anna:
        answer = anna.post(kind, json=body)
        assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
    assert not study.answers("anna").exists()


def test_another_page_cannot_answer_and_another_name_is_not_served(tmp_path: Path):
    study = a_study(tmp_path, cases=1)
    body = json.dumps({"number": 0, **TIMES, "answer": "normal"})
    with served(study) as address, asking(study, address, "anna") as anna:
        assert anna.post("answer", content=body, headers={"Content-Type": "text/plain"}).status_code == 415
        assert anna.get("state", headers={"Host": "evil.example"}).status_code == 421


def test_every_answer_has_the_headers_that_forbid_what_is_not_ours(tmp_path: Path):
    study = a_study(tmp_path, cases=1)
    with served(study) as address, asking(study, address, "anna") as anna:
        for path in ("", "state", "cases/0", "cases/9", "/page/page.js", "/page/page.css", "/page/../study.py", "/"):
            answer = anna.get(path if not path.startswith("/") else address + path)
            assert {name: answer.headers.get(name) for name in PAGE_HEADERS} == PAGE_HEADERS
    assert "unsafe" not in PAGE_HEADERS["Content-Security-Policy"]


def test_an_image_that_cannot_be_shown_can_be_passed_and_has_no_label(tmp_path: Path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "broken.dcm").write_bytes(as_dicom(draw(1, rows=64, columns=64), PhantomSubject())[:3000])
    study = begin_or_resume(tmp_path / "study", folder, ["anna"])
    with served(study) as address, asking(study, address, "anna") as anna:
        refused = anna.get("cases/0")
        assert refused.status_code == 422
        assert "broken" not in refused.json()["error"]
        assert step(anna, "answer", 0, answer="unreadable").status_code == 200
    assert write_labels(study).unresolved == {"not readable for the majority": 1}


def test_a_disk_that_is_full_is_said_and_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    study = a_study(tmp_path, cases=1)
    with served(study) as address, asking(study, address, "anna") as anna:
        with monkeypatch.context() as patched:
            patched.setattr("triage.reader_study.answers.append_durably", full)
            answer = step(anna, "answer", 0, answer="normal")
            assert (answer.status_code, "No space" in answer.json()["error"]) == (507, True)
        assert anna.get("state").json()["position"] == 0
        assert step(anna, "answer", 0, answer="normal").status_code == 200


# The command.


@contextmanager
def command(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`triage readers serve` with three cases and one reader, and the link that it printed."""
    line = [sys.executable, "-m", "triage.cli", "readers", "serve", *(str(each) for each in arguments), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert "3 cases" in process.stdout.readline()
            yield process, dict(re.findall(r"(\w+): (http\S+)", process.stdout.readline()))
        finally:
            process.kill()


def test_killed_and_started_again_it_goes_on_with_the_same_links(tmp_path: Path):
    study, images = tmp_path / "study", write_cases(tmp_path / "images", 3)
    with command(study, "--cases", images, "--reader", "anna") as (process, links):
        before = links["anna"]
        with httpx.Client(base_url=before, trust_env=False, timeout=60) as ask:
            assert step(ask, "answer", 0, answer="normal").status_code == 200
            process.kill()
    with command(study) as (process, links):
        assert re.sub(r":\d+/", "/", links["anna"]) == re.sub(r":\d+/", "/", before)
        with httpx.Client(base_url=links["anna"], trust_env=False, timeout=60) as ask:
            assert ask.get("state").json()["position"] == 1
            busy = CliRunner().invoke(triage, ["readers", "serve", str(study), "--port", "0"])
            assert (busy.exit_code, "served already" in busy.output) == (78, True)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "anna answered 1" in out
    assert len(read_manifest(study / "labels-anna.csv")) == 1


def test_labels_are_written_at_any_time(tmp_path: Path):
    study = a_study(tmp_path, cases=2)
    with served(study) as address, asking(study, address, "anna") as anna:
        step(anna, "answer", 0, answer="normal")
        done = CliRunner().invoke(triage, ["readers", "labels", str(study.folder)])
    assert done.exit_code == 0
    assert "anna answered 1" in done.output
    assert "2 without, not read by all" in done.output
    assert CliRunner().invoke(triage, ["readers", "labels", str(tmp_path)]).exit_code == 78


def test_the_documentation_names_every_option_key_and_file():
    shown = (Path(__file__).parents[2] / "docs" / "how-to" / "reader-study.md").read_text()
    options = CliRunner().invoke(triage, ["readers", "serve", "--help"]).output
    for option in set(re.findall(r"--[a-z-]+", options)) - {"--help"}:
        assert option in shown, option
    page = (Path(__file__).parents[2] / "triage" / "reader_study" / "page" / "page.js").read_text()
    keys = re.findall(r"^  (\w|\?): ", page.partition("const KEYS = {")[2].partition("};")[0], re.MULTILINE)
    assert len(keys) > 6
    for key in set(keys) - {"h"}:  # the same as ?
        assert f"`{key.upper()}`" in shown, key
    for name in ("labels.csv", "unresolved.csv", "study.json", "not read by all", "not readable for the majority"):
        assert name in shown
