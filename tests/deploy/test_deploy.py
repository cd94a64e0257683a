"""What lies in deploy/ and the Dockerfile, checked without building or running a container."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests.support.redis_server import RedisServer, redis_executable
from tests.support.wait import wait_for
from triage.channels.base import Fate
from triage.cli import triage as cli
from triage.decision.reasons import LISTED_NOT_COUNTED, Reason
from triage.delivery.deliverer import UNREACHABLE
from triage.metrics.canary import create_canary
from triage.metrics.delivery import create_delivery
from triage.metrics.labels import Ending, ModelState, NoRequest, Outcome, Rejection, SignInOutcome, ViewCheck
from triage.metrics.process import create
from triage.metrics.reports import create_reports
from triage.metrics.sweep import create_state
from triage.settings.load import NOT_SETTINGS, variables
from triage.settings.schema import Settings

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "cxr-triage.json"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "cxr-triage" in service["image"]}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool: sudo apt-get install prometheus")
    return found


def exported() -> set[str]:
    """Every sample name that our processes export."""
    registry = CollectorRegistry()
    create(registry)
    create_state(registry)
    create_delivery(registry)
    create_canary(registry)
    create_reports(registry)
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {family.name + suffix for family in families for suffix in suffixes.get(family.type, [""])}


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load((PROMETHEUS / name).read_text()) for name in ("recording.yml", "alerts.yml")]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules()] + [
        target["expr"] for panel in panels for target in panel.get("targets", [])
    ]


def instructions(name: str) -> list[str]:
    """The arguments of every instruction ``name`` of the Dockerfile, continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


# Prometheus and Grafana.


def test_the_configuration_and_the_rules_are_valid(promtool: str):
    for arguments in (["config", "prometheus.yml"], ["rules", "recording.yml", "alerts.yml"]):
        result = subprocess.run([promtool, "check", *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_alerts_go_off_when_they_should_and_only_then(promtool: str):
    result = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"], cwd=PROMETHEUS, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tested_and_says_what_it_means_and_what_to_do():
    tested = (PROMETHEUS / "alerts_test.yml").read_text()
    for rule in rules():
        if "alert" not in rule:
            continue
        assert rule["alert"] in tested
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"].keys() == {"summary", "action", "runbook"}


def test_every_figure_that_is_asked_for_exists():
    known = exported() | {rule["record"] for rule in rules() if "record" in rule} | {"up"}
    for expression in expressions():
        asked = set(re.findall(r"\bcxr_triage[_:][a-z0-9_:]+|\bprocess_[a-z_]+_(?:seconds|bytes|total)+\b", expression))
        assert asked or "up{" in expression or "hour()" in expression
        assert asked <= known, asked - known


def test_every_label_value_that_is_asked_for_can_occur():
    closed = {
        "reason": {*Reason, *Rejection},
        "outcome": {*Outcome, *Fate, UNREACHABLE, *SignInOutcome, *ViewCheck, "written", "failed"},
        "how": {*Ending},
        "why": {*NoRequest},
        "state": {*ModelState},
        "process": set(OURS),
    }
    for expression in expressions():
        for label, values in re.findall(r'\b([a-z_]+)!?=~?"([^"]+)"', expression):
            assert set(values.split("|")) <= closed.get(label, set(values.split("|"))), expression


def test_the_not_assessed_rate_counts_every_reason_that_is_a_failure():
    (rule,) = (rule for rule in rules() if rule.get("record") == "cxr_triage:not_assessed:ratio_1h")
    counted = set(re.findall(r'reason=~"([^"]+)"', rule["expr"])[0].split("|"))
    chosen = {Reason.FINDING_NOT_COVERED, Reason.MODEL_SHADOW, Reason.NO_FRONTAL_IMAGE, Reason.PATIENT_MISMATCH}

    assert counted == set(Reason) - LISTED_NOT_COUNTED - chosen


def test_every_process_is_scraped_at_its_port():
    (job,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {config["labels"]["process"]: config["targets"] for config in job["static_configs"]}
    settings = Settings()

    assert job["job_name"] == "cxr-triage"
    assert scraped == {
        "listen": [f"listen:{settings.listener.metrics_port}"],
        "work": [f"work:{settings.worker.metrics_port}"],
        "sweep": [f"sweep:{settings.sweep.metrics_port}"],
        "deliver": [f"deliver:{settings.deliver.metrics_port}"],
        "web": [f"web:{settings.web.port}"],
    }


def test_the_dashboard_has_no_two_panels_in_one_place():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


# The image.


def test_everything_that_is_copied_exists_and_is_let_through():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for arguments in instructions("COPY"):
        words = shlex.split(arguments)
        if words[0].startswith("--from="):
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            assert Path(source).parts[0] in allowed, source


def test_stages_are_copied_from_and_built_on_stages_that_exist():
    froms = [words.split() for words in instructions("FROM")]
    names = {words[2] for words in froms}
    copied = {match for arguments in instructions("COPY") for match in re.findall(r"--from=(\S+)", arguments)}

    assert {"cpu", "gpu"} <= names
    assert copied <= names
    assert {words[0] for words in froms} - names == {"python:3.11-slim"}
    assert froms[-1][2] == "cpu"


def test_the_final_image_has_an_unprivileged_user_and_a_healthcheck_and_builds_nothing():
    base = DOCKERFILE.partition("AS base\n")[2]

    assert re.search(r"^USER triage$", base, re.MULTILINE)
    assert "HEALTHCHECK" in base
    assert not re.search(r"pip install|apt-get|gcc", base)


def test_every_pin_is_hashed():
    for name in re.findall(r"requirements/\S+\.txt", DOCKERFILE):
        pins = [line for line in (ROOT / name).read_text().splitlines() if "==" in line and not line.startswith(" ")]
        assert pins
        assert all(line.endswith("\\") for line in pins), "without a hash on the next line"


def test_the_image_holds_one_build_of_onnx_runtime_and_no_torch():
    for kind, wanted in {"cpu": "onnxruntime", "gpu": "onnxruntime-gpu"}.items():
        text = (ROOT / "requirements" / f"serve-{kind}.txt").read_text()
        packages = set(re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE))
        assert {name for name in packages if name.startswith("onnxruntime")} == {wanted}
        assert not {"torch", "torchvision"} & packages


def test_every_command_is_one_of_ours():
    commands = [json.loads(arguments)[0] for arguments in instructions("CMD")]
    commands += [service["command"][0] for service in OURS.values()]
    commands += [service["healthcheck"]["test"][2] for service in OURS.values()]
    commands += re.findall(r'HEALTHCHECK .* CMD \["triage", "([a-z]+)"\]', DOCKERFILE)

    assert json.loads(instructions("ENTRYPOINT")[0]) == ["triage"]
    assert set(commands) == {"up", "listen", "work", "sweep", "deliver", "web", "healthcheck"}
    assert set(commands) <= set(cli.commands)


def test_every_variable_is_a_setting_or_known():
    used = set(re.findall(r"\bTRIAGE_[A-Z_]+", DOCKERFILE))
    for service in OURS.values():
        used |= set(service["environment"])

    assert used
    assert used <= variables().keys() | NOT_SETTINGS | {"ORT_DISABLE_TELEMETRY"}


def test_onnx_runtime_is_silenced_in_the_image_and_in_every_container_of_ours():
    assert re.search(r"^ENV .*\bORT_DISABLE_TELEMETRY=1$", DOCKERFILE.partition("AS base\n")[2], re.MULTILINE)
    assert {service["environment"]["ORT_DISABLE_TELEMETRY"] for service in OURS.values()} == {"1"}


# Compose.


def test_every_process_has_a_container_that_asks_its_own_port():
    settings = Settings()
    ports = {
        "listen": settings.listener.metrics_port,
        "work": settings.worker.metrics_port,
        "sweep": settings.sweep.metrics_port,
        "deliver": settings.deliver.metrics_port,
        "web": settings.web.port,
    }

    assert {name: service["command"] for name, service in OURS.items()} == {name: [name] for name in ports}
    for name, port in ports.items():
        test = OURS[name]["healthcheck"]["test"]
        assert test == ["CMD", "triage", "healthcheck", "--url", f"http://127.0.0.1:{port}/readyz"]
        assert "0.0.0.0" in OURS[name]["environment"].values(), "Prometheus could not reach it"


def test_nothing_is_published_beyond_loopback():
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert "ports" not in COMPOSE["services"]["redis"]


def test_every_container_is_bounded_and_read_only():
    for name, service in COMPOSE["services"].items():
        assert service["mem_limit"], name
        assert service["cpus"], name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name


def test_redis_evicts_nothing_and_writes_down():
    words = shlex.split(COMPOSE["services"]["redis"]["command"][-1])

    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert words[words.index("--appendonly") + 1] == "yes"


def test_redis_asks_for_a_password_that_is_in_no_file_of_ours_nor_in_its_arguments():
    redis = COMPOSE["services"]["redis"]
    asked = "${REDIS_PASSWORD:?see the head of compose.yaml}"  # compose ends with these words where there is none

    assert redis["environment"] == {"REDISCLI_AUTH": asked}
    assert "requirepass $$REDISCLI_AUTH" in redis["command"][-1]
    assert "--requirepass" not in redis["command"][-1]
    assert {service["environment"]["TRIAGE_REDIS_URL"] for service in OURS.values()} == {
        f"redis://:{asked}@redis:6379/0"
    }


def test_the_image_of_redis_starts_as_the_command_says(redis_server: RedisServer):
    """Its options, with a server that is here: Valkey's are the same."""
    script = COMPOSE["services"]["redis"]["command"][-1].replace("$$", "$")
    for there, here in {
        "/run/valkey": str(redis_server.folder),
        "valkey-server": redis_executable(),
        "--save": f"--port 0 --unixsocket {redis_server.folder}/other.sock --dir {redis_server.folder} --save",
    }.items():
        script = script.replace(there, here)
    process = subprocess.Popen(["sh", "-c", script], env={**os.environ, "REDISCLI_AUTH": "secret"})
    try:
        with Redis(unix_socket_path=f"{redis_server.folder}/other.sock", password="secret") as client:
            wait_for(lambda: (redis_server.folder / "other.sock").exists() and client.ping(), "Redis", 30.0)
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
    finally:
        process.terminate()
        process.wait(30)


PERMISSIVE = {"valkey/valkey": "BSD-3-Clause", "prom/prometheus": "Apache-2.0"}
"""Images of others, and the licence of what is in them."""


def test_images_of_others_are_under_permissive_licences():
    others = {service["image"].split(":")[0] for service in COMPOSE["services"].values()} - {"cxr-triage"}
    assert others == PERMISSIVE.keys()


def test_volumes_are_declared_and_folders_exist():
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / "deploy" / source).is_dir()
            else:
                assert source in COMPOSE["volumes"]


def test_the_listener_has_time_to_end():
    grace = float(OURS["listen"]["stop_grace_period"].removesuffix("s"))

    assert grace > Settings().listener.shutdown_grace_s
