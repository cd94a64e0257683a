"""The Helm chart in deploy/, as far as it can be checked without helm: it has what compose and the settings have.

What helm makes of it is tried by ``make acceptance-chart``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from tests.deploy.test_deploy import ports
from triage.service.ready_addresses import PROCESSES
from triage.settings.fields import destination_type, secrets_of, section_type
from triage.settings.load import NOT_SETTINGS, load
from triage.settings.schema import Settings
from triage.settings.sections.channels import ChannelsSettings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/cxr-triage"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
CHART_PROCESSES: dict[str, dict[str, Any]] = yaml.safe_load((CHART / "files/processes.yaml").read_text())
ENVIRONMENT: dict[str, str] = yaml.safe_load((CHART / "files/environment.yaml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
TEMPLATES = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}


def test_the_processes_are_those_of_compose_and_of_triage_up():
    named = {each["process"] for each in CHART_PROCESSES.values()}
    assert named == set(PROCESSES)
    assert named == {name for name in COMPOSE if COMPOSE[name].get("command") == [name]}
    assert {each["key"] for each in CHART_PROCESSES.values()} <= VALUES.keys()
    for component, each in CHART_PROCESSES.items():
        assert component.removesuffix("-gpu") == each["process"]


def test_ports_are_the_defaults_of_the_settings():
    settings = Settings()
    for each in CHART_PROCESSES.values():
        assert each["port"] == ports()[each["process"]]
    assert f"containerPort: {settings.listener.port}}}" in TEMPLATES["_pod.tpl"]
    assert f'"port" {settings.listener.port} ' in TEMPLATES["services.yaml"]
    assert f"port: {settings.web.port}," in TEMPLATES["services.yaml"]


def test_a_process_has_the_time_to_end_and_the_memory_that_compose_gives_it():
    for each in CHART_PROCESSES.values():
        of_compose = COMPOSE[each["process"]]
        grace = int(of_compose.get("stop_grace_period", "10s").removesuffix("s"))
        assert each["grace"] >= grace
        if each["key"] == "workGpu":
            continue
        limits = VALUES[each["key"]]["resources"]["limits"]
        assert limits["memory"].removesuffix("i").lower() == of_compose["mem_limit"]
        assert float(limits["cpu"]) == of_compose["cpus"]
    assert CHART_PROCESSES["listen"]["grace"] > Settings().listener.shutdown_grace_s


def test_what_others_call_drains_for_the_time_that_its_pod_has_for_it():
    drains = {each["process"]: each["drain"] for each in CHART_PROCESSES.values() if each["drain"]}
    assert drains.keys() == {"listen", "reports", "web"}
    assert {str(each) for each in drains.values()} == {ENVIRONMENT["TRIAGE_LISTENER_DRAIN_S"]}
    assert "terminationGracePeriodSeconds: {{ add .of.grace .of.drain }}" in TEMPLATES["_pod.tpl"]
    assert "preStop" not in TEMPLATES["_pod.tpl"]  # it would wait for as long, and no response would say so


def test_probes_ask_what_compose_asks():
    """`triage healthcheck` asks /readyz; /healthz says that a process lives."""
    pod = TEMPLATES["_pod.tpl"]
    probes = dict(re.findall(r'(startup|liveness|readiness)Probe:\n +httpGet: .*"path" "(/\w+)"', pod))
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_the_variables_are_settings_and_those_of_compose(tmp_path: Path):
    settings = {
        name: value for name, value in ENVIRONMENT.items() if name not in {*NOT_SETTINGS, "ORT_DISABLE_TELEMETRY"}
    }
    path = tmp_path / "triage.toml"
    path.write_text(VALUES["settings"])
    read = load(path, settings)
    assert read.listener.host == read.web.host == read.deliver.metrics_host == "0.0.0.0"
    of_compose = COMPOSE["reports"]["environment"]
    assert settings.pop("TRIAGE_LISTENER_DRAIN_S") == "5"  # compose has one of each, and no one to send others to
    assert settings.items() <= {**of_compose, "TRIAGE_CONFIG": ""}.items()
    assert ENVIRONMENT["ORT_DISABLE_TELEMETRY"] == "1"


def test_what_the_settings_show_as_comments_exists(tmp_path: Path):
    shown = re.sub(r"(?m)^# ([a-z_]+ = .*)$", r"\1", VALUES["settings"])
    assert tomllib.loads(shown) != tomllib.loads(VALUES["settings"])
    path = tmp_path / "triage.toml"
    path.write_text(shown)
    load(path, {})


def test_each_value_is_in_the_schema_and_each_of_the_schema_has_a_default():
    def compare(values: dict[str, Any], schema: dict[str, Any], at: str) -> None:
        schema = resolved(schema)
        if "properties" not in schema:
            return
        assert schema["additionalProperties"] is False, at
        optional = {"global"} if not at else {"tag", "digest"}
        assert values.keys() ^ schema["properties"].keys() <= optional, at
        for key, value in values.items():
            if isinstance(value, dict):
                compare(value, schema["properties"][key], f"{at}.{key}")

    compare(VALUES, SCHEMA, "")


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].removeprefix("#/$defs/")
    return dict(SCHEMA["$defs"][name])


def test_each_reference_and_pattern_of_the_schema_is_valid():
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                assert resolved(node)
            if isinstance(node.get("pattern"), str):
                re.compile(node["pattern"])
            assert node.keys() <= {"type"} or not isinstance(node.get("type"), str) or node["type"] in _TYPES
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(SCHEMA)


_TYPES = {"object", "array", "string", "integer", "boolean", "number"}


def test_every_secret_of_the_settings_is_refused_in_the_settings_file():
    (pattern,) = re.findall(r'regexMatch "(.*password.*?)" \$v', TEMPLATES["_checks.tpl"])
    pattern = pattern.replace("\\\\", "\\")
    kinds = [section_type(name) for name in Settings.model_fields if name != "redis"]
    kinds += [destination_type(name) for name in ChannelsSettings.model_fields if get_args(_annotation(name))]
    secrets = {key for kind in kinds for key in secrets_of(kind)}
    assert secrets >= {"password", "secret", "chat_url"}
    for key in secrets:
        for line in (f'{key} = "x"', f'a = 1\n  {key}="x"', f'smtp.{key} = "x"', f'smtp = {{{key} = "x"}}'):
            assert re.search(pattern, line), line
        for line in (f'{key}_file = "/run/x"', f'# {key} = "x"', f"my{key} = 1"):
            assert not re.search(pattern, line), line


def _annotation(kind: str) -> Any:
    return ChannelsSettings.model_fields[kind].annotation


def test_no_default_value_is_a_secret_or_lets_somebody_in():
    assert "Secret\n" not in "".join(TEMPLATES.values())
    assert VALUES["redis"]["passwordSecret"] == {"name": "", "key": "password"}
    assert VALUES["secretFiles"] == []
    assert set(map(str, VALUES["networkPolicy"]["ingress"].values())) == {"[]"}
    reached = {name for name, rules in VALUES["networkPolicy"]["egress"].items() if rules}
    assert reached == {"dns", "redis"}
    assert not VALUES["autoscaling"]["keda"]["enabled"]


def test_the_chart_is_of_this_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]


@pytest.mark.parametrize("label", ["name", "component"])
def test_prometheus_finds_the_pods_by_the_labels_of_the_chart(label: str):
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/kubernetes.yml").read_text())["scrape_configs"]
    assert job["job_name"] == "cxr-triage"
    sources = {source for rule in job["relabel_configs"] for source in rule["source_labels"]}
    assert f"__meta_kubernetes_pod_label_app_kubernetes_io_{label}" in sources
    assert f"app.kubernetes.io/{label}:" in TEMPLATES["_helpers.tpl"]


def test_prometheus_calls_each_pod_by_its_process():
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/kubernetes.yml").read_text())["scrape_configs"]
    (rule,) = (each for each in job["relabel_configs"] if each.get("target_label") == "process")
    for component, each in CHART_PROCESSES.items():
        found = re.fullmatch(rule["regex"], component)
        assert found is not None
        assert found[1] == each["process"]


def test_prometheus_takes_the_job(tmp_path: Path):
    """Debian's is built without Kubernetes: what finds the pods is left out, and what is made of them is checked."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool: sudo apt-get install prometheus")
    configuration = yaml.safe_load((ROOT / "deploy/prometheus/kubernetes.yml").read_text())
    (found,) = configuration["scrape_configs"][0].pop("kubernetes_sd_configs")
    assert found["role"] == "pod"
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    done = subprocess.run([promtool, "check", "config", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
