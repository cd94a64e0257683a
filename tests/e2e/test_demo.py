"""`make run`: what it starts (`triage demo`), with phantoms and with real radiographs, to its exit status."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_folders import write_model
from tests.support.wait import wait_for
from tests.support.whole_service import TRIAGE, Service, status_of
from triage.commands.output.demo import for_a_demonstration
from triage.settings.load import load

ROW = re.compile(r"^(HIGH|MEDIUM|LOW) +(ABNORMAL|NORMAL|NOT_ASSESSED) .* ([0-9.]+)$", re.MULTILINE)


@pytest.fixture
def demo(tmp_path: Path, models: Path) -> Iterator[Service]:
    """Settings and a folder; nothing is started."""
    made = Service(tmp_path / "var", models)
    yield made
    made.__exit__()


def assert_tagged(demo: Service, printed: str, objects: int, studies: int) -> None:
    assert f"{objects} objects of {studies} studies sent" in printed
    rows = ROW.findall(printed)
    kept = {record["study_instance_uid"]: record for record in demo.spool.decisions()}
    assert len(rows) == studies == len(kept)
    for priority, tag, study in rows:
        assert (kept[study]["tag"], kept[study]["priority"]) == (tag, priority)
    assert not list(demo.spool.waiting())


def test_phantoms_are_sent_and_tagged(demo: Service, tmp_path: Path) -> None:
    done = demo.run("demo", "--exit")
    assert_tagged(demo, done.stdout, objects=7, studies=6)
    assert "Traceback" not in done.stderr
    assert "pynetdicom" not in done.stderr
    assert all(status_of(port, "/healthz") == 0 for port in demo.ports)

    # Again, with what the first run left, and serving until Ctrl-C.
    printed = tmp_path / "printed"
    with printed.open("wb") as file:
        process = subprocess.Popen([TRIAGE, "demo"], env=demo.environment, stdout=file, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() is not None or "Serving:" in printed.read_text(), "it to serve", 240.0)
        assert process.poll() is None, printed.read_text()
        assert len(demo.worklist()) == 6
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    finally:
        process.terminate()
        process.wait(120)
    assert_tagged(demo, printed.read_text(), objects=7, studies=6)


def test_real_radiographs_are_sent_where_there_are_some(demo: Service, triage_data: Path) -> None:
    demo.environment["TRIAGE_DATA"] = str(triage_data)
    assert_tagged(demo, demo.run("demo", "--exit").stdout, objects=19, studies=17)
    assert sum(record["probability"] is not None for record in demo.spool.decisions()) >= 12


def test_a_lost_sample_is_a_failure(demo: Service) -> None:
    demo.environment["TRIAGE_LISTENER_CALLING_AE_TITLES"] = "MY_PACS"
    done = demo.run("demo", "--exit", check=False)
    assert done.returncode == 1
    assert done.stdout.count("was not stored") == 7
    assert "0 objects of 0 studies sent" in done.stdout


def test_a_disk_that_is_too_full_is_said_at_once(demo: Service) -> None:
    demo.environment["TRIAGE_SPOOL_MIN_FREE_BYTES"] = str(1 << 60)
    done = demo.run("demo", "--exit", check=False)
    assert done.returncode != 0
    assert "high-water" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_that_hold_no_radiographs_are_named(demo: Service, tmp_path: Path) -> None:
    demo.environment["TRIAGE_DATA"] = str(tmp_path / "nothing")
    done = demo.run("demo", "--exit", check=False)
    assert done.returncode not in (0, 1)
    assert str(tmp_path / "nothing") in done.stderr


# Models that are marked as demonstrations.


@pytest.fixture
def demonstrations(tmp_path: Path) -> Path:
    """An adults' model that is one, and a children's that is none."""
    write_model(tmp_path / "models", "tiny-adult", demo=True)
    write_model(tmp_path / "models", "tiny-child", age_from=1, age_below=6, negative_is_normal=False)
    return tmp_path / "models"


def scored_by(demo: Service) -> set[str]:
    """The models by whose scores the phantoms were tagged; an assessed study names one."""
    found = [each for study in demo.spool.study_uids() for each in demo.spool.assessments(study)]
    return {each["model_id"] for each in found if each["model_id"]}


def test_make_run_lets_a_demonstration_decide(demo: Service, demonstrations: Path) -> None:
    del demo.environment["TRIAGE_MODELS_ALLOW_DEMO"]
    demo.environment["TRIAGE_MODELS_PATH"] = str(demonstrations)
    assert_tagged(demo, demo.run("demo", "--exit").stdout, objects=7, studies=6)
    assert "tiny-adult 1" in scored_by(demo)


def test_where_the_environment_says_no_it_does_not_and_says_so(demo: Service, demonstrations: Path) -> None:
    demo.environment |= {"TRIAGE_MODELS_PATH": str(demonstrations), "TRIAGE_MODELS_ALLOW_DEMO": "false"}
    done = demo.run("demo", "--exit")
    assert_tagged(demo, done.stdout, objects=7, studies=6)
    assert "tiny-adult 1" not in scored_by(demo)
    assert "tiny-adult is marked as a demonstration and scores nothing" in done.stderr
    adults = [each for study in demo.spool.study_uids() for each in demo.spool.assessments(study)]
    assert "age_not_covered" in {reason for each in adults for reason in each["reasons"]}


def test_no_demonstration_decides_what_a_destination_would_be_told(tmp_path: Path) -> None:
    config = tmp_path / "triage.toml"
    webhook = f'[[channels.webhook]]\nname = "ris"\nurl = "http://127.0.0.1:9/"\nsecret = "{"s" * 40}"\n'
    assert for_a_demonstration(load(None, {}))["TRIAGE_MODELS_ALLOW_DEMO"] == "true"
    for enabled, allowed in (("true", "false"), ("false", "true")):
        config.write_text(f"{webhook}enabled = {enabled}\n")
        assert for_a_demonstration(load(config, {}))["TRIAGE_MODELS_ALLOW_DEMO"] == allowed
