"""The commands as their users type them, against a running service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tests.support.dicom_senders import dcmsend
from tests.support.ports import free_ports
from tests.support.real_radiographs import Sent, adults, real_chests, wrapped
from tests.support.wait import wait_for
from tests.support.whole_service import Service
from triage.phantom.samples import write_phantoms


@pytest.fixture(scope="module")
def filled(service: Service, triage_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Sent]:
    """Studies that are in the worklist."""
    sent = real_chests(triage_data, tmp_path_factory.mktemp("filled"))
    dcmsend(service.dicom_port, *(each.path for each in sent))
    service.tagged(*(each.study for each in sent))
    return sent


# triage send


def test_send_takes_a_folder_of_dicom_png_and_jpeg(service: Service, triage_data: Path, tmp_path: Path) -> None:
    before = set(service.worklist())
    first, second, third = (row["path"] for row in adults(triage_data, 11)[8:])
    folder = tmp_path / "mixed"
    (folder / "deeper").mkdir(parents=True)
    shutil.copy(first, folder / "a.jpg")
    grey = cv2.imread(str(second), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    assert cv2.imwrite(str(folder / "deeper" / "b.png"), grey)
    dicom = wrapped(third, tmp_path, "AP", 44)
    shutil.copy(dicom.path, folder / "deeper" / "c.dcm")
    (folder / "notes.txt").write_text("no picture")

    done = service.run("send", folder, "--view", "PA", "--age", "50")

    assert "3 of 3 files stored" in done.stdout
    new = wait_for(lambda: (found := set(service.worklist()) - before) and len(found) == 3 and found, "three studies")
    entries = service.tagged(*new)
    assert dicom.study in entries
    # The same grey values as PNG, JPEG and DICOM give what `predict` says of the file, were its age known.
    model = entries[dicom.study]["model_id"].split()[0]
    folder_of_model = Path(service.environment["TRIAGE_MODELS_PATH"]) / model
    pictures = [folder / "a.jpg", folder / "deeper" / "b.png", folder / "deeper" / "c.dcm"]
    lines = service.run("predict", "--model", folder_of_model, *pictures).stdout.splitlines()
    predicted = sorted(json.loads(line)["probability"] for line in lines)
    assert sorted(entry["probability"] for entry in entries.values()) == predicted


def test_send_names_what_was_not_stored(service: Service, filled: list[Sent], tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    done = service.run("send", text, filled[0].path, check=False)
    assert done.returncode == 1
    assert "1 of 2 files stored" in done.stdout
    assert str(text) in done.stdout + done.stderr

    nobody = service.run("send", filled[0].path, "--to", f"127.0.0.1:{free_ports(1)}", check=False)
    assert nobody.returncode == 1
    assert "0 of 1 files stored" in nobody.stdout
    assert "Traceback" not in nobody.stderr


# triage predict


def test_predict_gives_a_line_a_file_in_order_whatever_is_in_the_middle(
    service: Service, filled: list[Sent], tmp_path: Path
) -> None:
    poison = tmp_path / "poison.dcm"
    poison.write_bytes(filled[-1].path.read_bytes()[:3000] + b"\xff" * 500)
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    files = [filled[-1].path, poison, filled[5].path, text, tmp_path / "absent.png", filled[0].path]

    done = service.run("predict", *files)

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["file"] for line in lines] == [str(path) for path in files]
    assert all({"file", "tag", "probability", "reasons", "model_id"} <= line.keys() for line in lines)
    assert [line["probability"] is None for line in lines] == [False, True, False, True, True, False]
    for line in (lines[1], lines[3], lines[4]):
        assert (line["tag"], line["reasons"], line["model_id"]) == ("NOT_ASSESSED", ["undecodable"], None)
    assert "Traceback" not in done.stderr


# The worklist: command, pages, one study


def test_the_command_and_the_api_show_one_list(service: Service, filled: list[Sent]) -> None:
    lines = service.run("worklist", "--json", "--limit", "1000").stdout.splitlines()
    shown = [json.loads(line) for line in lines]
    listed = list(service.worklist().values())
    same = ("study_instance_uid", "accession_number", "tag", "probability", "priority", "reasons", "model_id")
    assert [[each[name] for name in same] for each in shown] == [[each[name] for name in same] for each in listed]
    assert {"received_at", "tagged_at"} <= listed[0].keys()

    ranks = [["HIGH", "MEDIUM", "LOW"].index(each["priority"]) for each in listed]
    assert ranks == sorted(ranks)
    for rank in set(ranks):
        arrivals = [each["received_at"] for each, its in zip(listed, ranks, strict=True) if its == rank]
        assert arrivals == sorted(arrivals)

    assert service.run("worklist", "--limit", "0", check=False).returncode == 2
    table = service.run("worklist", "--limit", "3").stdout
    assert [each["study_instance_uid"] in table for each in shown[:4]] == [True, True, True, False]


def test_pages_along_the_cursors_are_the_whole_list(service: Service, filled: list[Sent]) -> None:
    pages = service.pages(4)
    assert len(pages) > 3
    assert {len(page) for page in pages[:-1]} == {4}
    assert [entry for page in pages for entry in page] == list(service.worklist().values())
    for wrong in ("cursor=nonsense", "limit=0", "limit=501", "limit=x"):
        status, answer = service.get(f"/api/worklist?{wrong}")
        assert status == 400, wrong
        assert answer["error"]


def test_one_study_by_its_uid(service: Service, filled: list[Sent]) -> None:
    uid = filled[3].study
    assert service.get(f"/api/worklist/{uid}") == (200, service.worklist()[uid])
    status, answer = service.get("/api/worklist/1.2.3.4.5")
    assert status == 404
    assert "1.2.3.4.5" in answer["error"]
    assert service.get("/api/worklist/not-a-uid")[0] == 400


def test_explain_shows_all_of_one_study(service: Service, filled: list[Sent]) -> None:
    for sent in (filled[0], filled[-1]):
        entry = service.worklist()[sent.study]
        page = service.run("explain", sent.study).stdout
        (image,) = service.images(sent.study)
        for fact in (sent.study, sent.sop, entry["tag"], entry["priority"], entry["model_id"], image["content_digest"]):
            assert fact in page
        assert f"{entry['probability']:.4f}" in page
        assert all(reason in page for reason in entry["reasons"])
    for unknown in ("1.2.3.4.5", "../../etc"):
        done = service.run("explain", unknown, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")


def test_status_and_healthcheck(service: Service, filled: list[Sent]) -> None:
    status, state = service.get("/api/status")
    assert status == 200
    assert (state["redis"], state["worklist_complete"], state["dead_letters"]) == ("up", True, 0)
    assert state["worklist_studies"] == len(service.worklist())
    assert service.run("healthcheck").returncode == 0
    assert service.run("healthcheck", "--url", f"http://127.0.0.1:{free_ports(1)}/", check=False).returncode == 1


def test_sweep_once_says_what_it_did(service: Service, filled: list[Sent]) -> None:
    assert service.run("sweep", "--once").stdout == "0 objects queued again, 0 studies removed, the index whole\n"


def test_without_its_redis_each_command_says_so(tmp_path: Path, models: Path) -> None:
    stopped = Service(tmp_path / "stopped", models)
    for arguments in (["worklist"], ["sweep", "--once"]):
        done = stopped.run(*arguments, check=False)
        assert done.returncode == 1
        assert "Error: Redis does not answer" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
    assert stopped.run("dead-letters").stdout == "no dead letters\n"
    stopped.__exit__()


def test_there_is_one_service_a_spool(service: Service) -> None:
    second = service.run("up", check=False)
    assert second.returncode != 0
    assert "another `triage up`" in second.stderr
    assert "Traceback" not in second.stderr


# Kill switch and dead letters


@pytest.fixture
def own(tmp_path: Path, models: Path) -> Iterator[Service]:
    """A service of the test's own."""
    with Service(tmp_path / "own", models) as running:
        yield running


@pytest.fixture
def hasty(tmp_path: Path, models: Path) -> Iterator[Service]:
    """A service that gives up every object: nothing is decoded in a ten-thousandth of a second."""
    with Service(tmp_path / "own", models, worker_tries=2, worker_decode_timeout_s="0.0001") as running:
        yield running


def test_dead_letters_are_seen_and_requeued(hasty: Service, tmp_path: Path) -> None:
    sample = write_phantoms(tmp_path / "phantoms")[0].path
    hasty.run("send", sample)
    ((instance, note),) = wait_for(lambda: list(hasty.spool.dead_letters()), "a dead letter")
    assert note["tries"] == 2
    entry = hasty.tagged(instance.study_instance_uid)[instance.study_instance_uid]
    assert (entry["tag"], entry["reasons"]) == ("NOT_ASSESSED", ["worker_failure"])
    assert hasty.get("/api/status")[1]["dead_letters"] == 1
    assert instance.key in hasty.run("dead-letters").stdout
    assert hasty.run("dead-letters", "--requeue", "1+2+3", check=False).returncode == 1
    wait_for(lambda: "cxr_triage_dead_letters 1.0" in hasty.metrics(hasty.sweep_port), "the metric")

    hasty.stop()
    hasty.environment["TRIAGE_WORKER_DECODE_TIMEOUT_S"] = "60"
    hasty.start()
    hasty.run("dead-letters", "--requeue", instance.key)
    entry = wait_for(
        lambda: (found := hasty.tagged(entry["study_instance_uid"])[entry["study_instance_uid"]])["model_id"] and found,
        "the study to be assessed",
    )
    assert entry["probability"] is not None
    assert "no dead letters" in hasty.run("dead-letters").stdout


def test_the_kill_switch_of_a_model(own: Service, tmp_path: Path) -> None:
    first, second, third = (each.path for each in write_phantoms(tmp_path / "phantoms")[:3])
    own.run("send", first)
    (before,) = wait_for(lambda: list(own.worklist().values()), "the first study")
    name = before["model_id"].split()[0]
    assert f'model_state{{model="{name}",state="enabled"}} 1.0' in own.metrics(own.worker_port)

    assert "switched off" in own.run("model", name, "--disable").stdout
    own.run("send", second)
    entries = wait_for(lambda: len(found := own.worklist()) == 2 and found, "the second study")
    (after,) = (entry for uid, entry in entries.items() if uid != before["study_instance_uid"])
    assert (after["tag"], after["probability"], after["reasons"]) == ("NOT_ASSESSED", None, ["model_disabled"])
    assert entries[before["study_instance_uid"]] == before
    assert own.get("/api/status")[1]["disabled_models"] == [name]
    assert f'model_state{{model="{name}",state="disabled"}} 1.0' in own.metrics(own.worker_port)
    assert f'model_state{{model="{name}",state="enabled"}} 0.0' in own.metrics(own.worker_port)
    assert [line["reasons"] for line in own.predictions(second)] == [["model_disabled"]]

    assert "switched off" not in own.run("model", name, "--enable").stdout
    own.run("send", third)
    entries = wait_for(lambda: len(found := own.worklist()) == 3 and found, "the third study")
    assert [entry["model_id"] is None for entry in entries.values()].count(True) == 1
    for wrong in (["no-such-model", "--disable"], ["--disable"]):
        assert own.run("model", *wrong, check=False).returncode != 0
