"""The files in deploy/ and the Dockerfile, checked without building or running a container."""

from __future__ import annotations

import json
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
from triage.channels.base import DeliveryStatus
from triage.cli import triage as cli
from triage.decision.reasons import LISTED_NOT_COUNTED, Reason
from triage.delivery.deliverer import UNREACHABLE
from triage.dicom.proxy_header import HeaderFault
from triage.metrics.labels import Ending, ModelState, NoRequest, Rejection, SignInOutcome, StoreOutcome, ViewCheck
from triage.metrics.reference import GROUPS
from triage.metrics.registry import MetricGroup
from triage.service.ready_addresses import ready_addresses
from triage.settings.load import NOT_SETTINGS, load, variables
from triage.settings.reference import revision
from triage.settings.schema import Settings

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "cxr-triage.json"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETTINGS = ROOT / "deploy" / "triage.toml"
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
OF_OUR_IMAGE = {name: service for name, service in COMPOSE["services"].items() if "cxr-triage" in service["image"]}
OURS = {name: service for name, service in OF_OUR_IMAGE.items() if "entrypoint" not in service}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool: sudo apt-get install prometheus")
    return found


def exported() -> set[str]:
    """Every sample name that our processes export."""
    groups = {group for of_process in GROUPS.values() for group in of_process}
    return set().union(*map(exported_by, groups))


def exported_by(group: type[MetricGroup]) -> set[str]:
    registry = CollectorRegistry()
    group(registry)
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
    for arguments in (
        ["config", "prometheus.yml", "one-machine.yml"],
        ["rules", "recording.yml", "alerts.yml"],
    ):
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
        "reason": {*Reason, *Rejection, *HeaderFault},
        "outcome": {*StoreOutcome, *DeliveryStatus, UNREACHABLE, *SignInOutcome, *ViewCheck, "written", "failed"},
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
    chosen |= {Reason.FINDING_CONTRADICTS, Reason.NO_DISTRIBUTION, Reason.PLUGIN_ALONE}
    chosen |= {Reason.RECALLED}

    assert counted == set(Reason) - LISTED_NOT_COUNTED - chosen


def ports() -> dict[str, int]:
    settings = Settings()
    return {
        "listen": settings.listener.metrics_port,
        "work": settings.worker.metrics_port,
        "sweep": settings.sweep.metrics_port,
        "deliver": settings.deliver.metrics_port,
        "reports": settings.reports.metrics_port,
        "web": settings.web.port,
    }


def scraping(name: str) -> dict[str, Any]:
    (job,) = yaml.safe_load((PROMETHEUS / name).read_text())["scrape_configs"]
    assert job["job_name"] == "cxr-triage"
    return dict(job)


def test_every_container_of_a_process_is_found_by_its_name_and_scraped_at_its_port():
    found = scraping("prometheus.yml")
    assert {each["names"][0]: (each["type"], each["port"]) for each in found["dns_sd_configs"]} == {
        name: ("A", port) for name, port in ports().items()
    }
    assert found["relabel_configs"] == [{"source_labels": ["__meta_dns_name"], "target_label": "process"}]
    assert all("watch" in COMPOSE["services"][name]["networks"] for name in ports())


def test_every_process_of_one_machine_is_scraped_at_its_port():
    scraped = {
        config["labels"]["process"]: config["targets"] for config in scraping("one-machine.yml")["static_configs"]
    }
    assert scraped == {name: [f"127.0.0.1:{port}"] for name, port in ports().items() if name != "reports"}


def test_alerts_go_to_the_alertmanager_of_the_stack():
    (to,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["alerting"]["alertmanagers"]
    assert to["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    assert set(COMPOSE["services"]["alertmanager"]["networks"]) & set(COMPOSE["services"]["prometheus"]["networks"])


def test_every_severity_has_a_receiver_and_the_example_is_a_service():
    routing = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    route = routing["route"]
    receivers = {each["name"]: each["webhook_configs"][0]["url"] for each in routing["receivers"]}
    assert receivers.keys() == {rule["labels"]["severity"] for rule in rules() if "alert" in rule}
    assert [(each["receiver"], each["matchers"]) for each in route["routes"]] == [("page", ['severity="page"'])]
    assert route["receiver"] == "ticket"  # and every other alert
    host, port = COMPOSE["services"]["alert-log"]["command"]
    assert host == "0.0.0.0"
    assert receivers == {name: f"http://alert-log:{port}/{name}" for name in receivers}


def test_alertmanager_understands_its_configuration():
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("amtool: sudo apt-get install prometheus-alertmanager")
    done = subprocess.run(
        [amtool, "check-config", ROOT / "deploy/alertmanager/alertmanager.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_is_given_the_dashboard_and_the_prometheus_of_the_stack():
    mounted = dict(each.split(":")[:2] for each in COMPOSE["services"]["grafana"]["volumes"])
    folder = ROOT / "deploy/grafana/provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards/cxr-triage.yml").read_text())["providers"]
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]

    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert Path(mounted["./grafana/cxr-triage.json"]).parent == Path(provider["options"]["path"])
    assert source["url"] == "http://prometheus:9090"
    (asked,) = json.loads(DASHBOARD.read_text())["templating"]["list"]
    assert (asked["type"], asked["query"]) == ("datasource", source["type"])


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


PINS = {"CPU_PINS": ("serve-cpu.txt", "serve-cpu-cluster.txt"), "GPU_PINS": ("serve-gpu.txt", "serve-gpu-cluster.txt")}
"""The values of the Dockerfile's arguments: the default, and the one for a store that hosts share."""


def sources(word: str) -> list[str]:
    """Return what a word of COPY names, with each value of the argument in it."""
    for name, values in PINS.items():
        if f"${{{name}}}" in word:
            return [word.replace(f"${{{name}}}", value) for value in values]
    return [word]


def test_everything_that_is_copied_exists_and_is_let_through():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for arguments in instructions("COPY"):
        words = shlex.split(arguments)
        if words[0].startswith("--from="):
            continue
        for source in (each for word in words[:-1] for each in sources(word)):
            assert (ROOT / source).exists(), source
            assert Path(source).parts[0] in allowed, source


def test_stages_are_copied_from_and_built_on_stages_that_exist():
    froms = [words.split() for words in instructions("FROM")]
    names = {words[2] for words in froms}
    assert instructions("ARG") == [
        "PYTHON_IMAGE=python:3.11-slim",
        *(f"{name}={values[0]}" for name, values in PINS.items()),
    ]
    assert all(f"{name}={values[1]}" in DOCKERFILE for name, values in PINS.items())
    copied = {match for arguments in instructions("COPY") for match in re.findall(r"--from=(\S+)", arguments)}

    assert {"cpu", "gpu"} <= names
    assert copied <= names
    assert {words[0] for words in froms} - names == {"${PYTHON_IMAGE}"}
    assert froms[-1][2] == "cpu"


def test_the_final_image_has_an_unprivileged_user_and_a_healthcheck_and_builds_nothing():
    base = DOCKERFILE.partition("AS base\n")[2]

    assert re.search(r"^USER triage$", base, re.MULTILINE)
    assert "HEALTHCHECK" in base
    assert not re.search(r"pip install|apt-get|gcc", base)


def test_every_pin_is_hashed():
    copied = [source for arguments in instructions("COPY") for word in arguments.split() for source in sources(word)]
    names = [name for name in copied if name.startswith("requirements/")]
    assert len(names) == 5
    for name in names:
        pins = [line for line in (ROOT / name).read_text().splitlines() if "==" in line and not line.startswith(" ")]
        assert pins
        assert all(line.endswith("\\") for line in pins), "without a hash on the next line"


def test_the_image_holds_one_build_of_onnx_runtime_and_no_torch():
    for kind, wanted in {"CPU_PINS": "onnxruntime", "GPU_PINS": "onnxruntime-gpu"}.items():
        text, shared = ((ROOT / "requirements" / name).read_text() for name in PINS[kind])
        assert set(re.findall(r"^(\S+==\S+)", text, re.MULTILINE)) < set(
            re.findall(r"^(\S+==\S+)", shared, re.MULTILINE)
        )
        packages = set(re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE))
        assert {name for name in packages if name.startswith("onnxruntime")} == {wanted}
        assert not {"torch", "torchvision"} & packages


def test_every_command_is_one_of_ours():
    lines = [json.loads(arguments) for arguments in instructions("CMD")]
    lines += [service["command"] for service in OURS.values()]
    lines += [service["healthcheck"]["test"][2:] for service in OF_OUR_IMAGE.values()]
    lines += [json.loads(words)[1:] for words in re.findall(r"^HEALTHCHECK .* CMD (.*)$", DOCKERFILE, re.MULTILINE)]

    assert json.loads(instructions("ENTRYPOINT")[0]) == ["triage"]
    assert {words[0] for words in lines} == {*ports(), "up", "healthcheck"}
    for command, *arguments in lines:
        cli.commands[command].make_context(command, arguments, parent=cli.make_context("triage", [command]))


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


def shown_settings(folder: Path) -> Path:
    """The settings file with what it shows as comments: without who sends reports, `reports` does not start."""
    file = folder / "triage.toml"
    file.write_text(re.sub(r"^# (?=[a-z_]+ = |\[\[)", "", SETTINGS.read_text(), flags=re.M))
    return file


def test_every_process_has_a_container_that_asks_itself(tmp_path: Path):
    assert {name: service["command"] for name, service in OURS.items()} == {name: [name] for name in ports()}
    for name, service in OURS.items():
        assert service["healthcheck"]["test"] == ["CMD", "triage", "healthcheck", "--process", name]
        assert "0.0.0.0" in service["environment"].values(), "Prometheus could not reach it"
        # What it asks is what the settings of this container say, on its own loopback.
        (address,) = ready_addresses(load(shown_settings(tmp_path), ours_of(service["environment"])), name)
        assert address == f"http://127.0.0.1:{ports()[name]}/readyz"


def test_every_process_has_the_same_settings_so_that_all_show_one_revision(tmp_path: Path):
    """But the port for reports, which is on in its own container alone."""
    file = shown_settings(tmp_path)
    revisions = {name: revision(load(file, ours_of(service["environment"]))) for name, service in OURS.items()}
    assert len({each for name, each in revisions.items() if name != "reports"}) == 1


def test_commands_are_typed_where_redis_the_listener_and_destinations_are_reached():
    """Whatever a page has typed in another container asks that container's own process."""
    networks = {name: set(service["networks"]) for name, service in OURS.items()}
    assert networks["deliver"] >= {"queue", "out"}
    assert networks["deliver"] & networks["listen"]
    assert OURS["deliver"]["environment"]["TRIAGE_CANARY_HOST"] == "listen"
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.*")]
    typed = [found for page in pages for found in re.findall(r"exec (\w+) triage( \w+)?", page.read_text())]
    assert typed
    assert {each for each in typed if each[0] != "deliver"} <= {("web", " healthcheck")}


def test_people_may_sign_in_at_an_identity_provider():
    environment = OURS["web"]["environment"]
    assert environment["TRIAGE_SIGN_IN_METHOD"] == "${SIGN_IN_METHOD:-users}"
    secret = "/run/secrets/oidc_client_secret"
    assert secret in (ROOT / "docs/how-to/identity-provider.md").read_text()
    assert Path(secret).name in OURS["web"]["secrets"]


def ours_of(environment: dict[str, str]) -> dict[str, str]:
    """The settings of a service, with what compose makes of a variable that is not set."""
    return {
        name: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", text)
        for name, text in environment.items()
        if name.startswith("TRIAGE_")
    }


def test_what_is_published_is_what_people_and_peers_need_and_on_loopback():
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}

    assert {name: [each.rsplit(":", 1)[1] for each in value] for name, value in published.items()} == {
        "listen": ["11112"],
        "web": ["8080"],
        "reports": ["2575"],
        "grafana": ["3000"],
    }
    for value in published.values():
        assert all(re.match(r"(\$\{[A-Z]+_ADDRESS:-127\.0\.0\.1\}|127\.0\.0\.1):", port) for port in value)


def test_networks_are_closed_but_for_those_who_are_called_or_call():
    closed = {name for name, network in COMPOSE["networks"].items() if network.get("internal")}
    assert COMPOSE["networks"].keys() - closed == {"front", "out"}
    for name, service in COMPOSE["services"].items():
        networks = set(service["networks"])
        assert networks <= COMPOSE["networks"].keys()
        assert ("front" in networks) == ("ports" in service), name
        assert ("out" in networks) == (name in {"deliver", "alertmanager"}), name
        assert ("queue" in networks) == (name == "redis" or name in OURS), name


def test_every_container_is_bounded_and_read_only():
    for name, service in COMPOSE["services"].items():
        assert service["mem_limit"], name
        assert service["cpus"], name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"], name
        assert int(service["user"].split(":")[0]) > 0, name
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert service["healthcheck"]["test"], name
        assert not service.keys() & {"privileged", "network_mode", "pid", "ipc", "devices", "cap_add"}, name
        assert not [each for each in service.get("volumes", []) if "docker.sock" in each], name


def test_our_containers_run_as_the_user_of_the_image():
    made = re.findall(r"useradd --uid (\d+)", DOCKERFILE)
    assert {service["user"] for service in OF_OUR_IMAGE.values()} == {f"{made[0]}:{made[0]}"}


def test_images_of_others_are_named_by_a_version():
    for service in COMPOSE["services"].values():
        assert re.search(r":v?\d+\.\d+", service["image"]) or service["image"] == "cxr-triage:cpu"


def test_redis_evicts_nothing_and_writes_down():
    words = shlex.split(COMPOSE["services"]["redis"]["command"][-1])

    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert words[words.index("--appendonly") + 1] == "yes"


def test_passwords_are_in_files_alone():
    """Not in an environment or a command, which others may see, nor in any file of ours."""
    redis = COMPOSE["services"]["redis"]
    assert "environment" not in redis
    assert "requirepass $$(cat /run/secrets/redis_password)" in redis["command"][-1]
    assert "--requirepass" not in redis["command"][-1]
    for service in OURS.values():
        assert service["environment"]["TRIAGE_REDIS_URL"] == "redis://redis:6379/0"
        assert service["environment"]["TRIAGE_REDIS_PASSWORD_FILE"] == "/run/secrets/redis_password"
        assert service["secrets"] == ["redis_password", "settings", "oidc_client_secret"]
    for name, service in COMPOSE["services"].items():
        for variable in service.get("environment", {}):
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), (name, variable)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/deploy/secrets/", "/deploy/.env"} <= set(ignored)
    assert all(each["file"].startswith("./secrets/") for each in COMPOSE["secrets"].values())


def test_the_script_makes_every_secret_once_for_the_containers_to_read_and_nobody_else(tmp_path: Path):
    folder = tmp_path / "secrets"

    def made() -> dict[str, str]:
        subprocess.run([ROOT / "deploy/make-secrets.sh", folder], check=True)
        return {each.name: each.read_text() for each in folder.iterdir()}

    first = made()
    assert first.keys() == {Path(each["file"]).name for each in COMPOSE["secrets"].values()}
    passwords = [text for name, text in first.items() if name.endswith("_password")]
    assert first.keys() - {f"{each}_password" for each in ("redis", "grafana")} == {"triage.toml", "oidc_client_secret"}
    assert first["oidc_client_secret"] == ""  # the provider gives it
    assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in passwords)
    assert len(set(passwords)) == len(passwords)
    assert first["triage.toml"] == SETTINGS.read_text()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o444, 0o644}
    theirs = {"triage.toml": "# the site's own\n", "oidc_client_secret": "the provider's\n"}
    for name, text in theirs.items():
        (folder / name).write_text(text)
    assert made() == first | theirs


def test_every_process_reads_the_settings_file_and_what_it_shows_as_comments_exists(tmp_path: Path):
    assert COMPOSE["secrets"]["settings"] == {"file": "./secrets/triage.toml"}
    assert {service["environment"]["TRIAGE_CONFIG"] for service in OURS.values()} == {"/run/secrets/settings"}
    assert load(SETTINGS, {}) == Settings()
    read = load(shown_settings(tmp_path), {})
    assert read.canary.ae_title in read.listener.calling_ae_titles
    assert read.channels


def test_the_image_of_redis_starts_as_the_command_says(redis_server: RedisServer):
    """Its options, with a server that is here: Valkey's are the same."""
    script = COMPOSE["services"]["redis"]["command"][-1].replace("$$", "$")
    (redis_server.folder / "password").write_text("secret")
    for there, here in {
        "/run/secrets/redis_password": f"{redis_server.folder}/password",
        "/run/valkey": str(redis_server.folder),
        "valkey-server": redis_executable(),
        "--save": f"--port 0 --unixsocket {redis_server.folder}/other.sock --dir {redis_server.folder} --save",
    }.items():
        script = script.replace(there, here)
    process = subprocess.Popen(["sh", "-c", script])
    try:
        with Redis(unix_socket_path=f"{redis_server.folder}/other.sock", password="secret") as client:
            wait_for(lambda: (redis_server.folder / "other.sock").exists() and client.ping(), "Redis", 30.0)
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
    finally:
        process.terminate()
        process.wait(30)


PERMISSIVE = {"valkey/valkey": "BSD-3-Clause", "prom/prometheus": "Apache-2.0", "prom/alertmanager": "Apache-2.0"}
"""Images of others, and the licence of what is in them."""

OTHER_TERMS = {"grafana/grafana": "AGPL-3.0"}
"""The images that are pulled only with their profile."""


def test_images_of_others_are_under_permissive_licences_or_asked_for_by_name():
    others = {service["image"].split(":")[0]: service for service in COMPOSE["services"].values()}
    others.pop("cxr-triage")
    assert others.keys() == PERMISSIVE.keys() | OTHER_TERMS.keys()
    assert {image for image, service in others.items() if "profiles" in service} == OTHER_TERMS.keys()
    for licence in OTHER_TERMS.values():
        assert licence in (ROOT / "deploy/README.md").read_text()
    pulled = "".join(path.read_text() for path in (ROOT / "release").rglob("*.py"))
    assert "grafana/grafana" not in pulled


def test_volumes_are_declared_and_folders_exist():
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / "deploy" / source).exists()
            else:
                assert source in COMPOSE["volumes"]


def test_the_listener_has_time_to_end():
    grace = float(OURS["listen"]["stop_grace_period"].removesuffix("s"))

    assert grace > Settings().listener.shutdown_grace_s
