"""The Helm chart as helm renders it, in every form. Run by tests/acceptance/chart.sh alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.helm_chart import CHART, CLUSTER, FORMS, GPU, KEDA, Helm, of_kind, parsed, pods, workloads
from triage.settings.load import load

VERSIONS = ("1.30", "1.34", "1.37")


@pytest.fixture(scope="module")
def helm(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(Path(pytestconfig.getoption("--tools")), tmp_path_factory.mktemp("values"))


@pytest.fixture(params=FORMS)
def objects(helm: Helm, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return parsed(helm.rendered(*FORMS[request.param]))


@pytest.mark.parametrize("form", FORMS)
def test_helm_finds_no_fault(helm: Helm, form: str) -> None:
    done = helm.run("lint", "--strict", CHART, *helm.values(*FORMS[form]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_what_is_rendered_is_what_kubernetes_knows_and_nothing_else(helm: Helm, form: str) -> None:
    """By the strict schemas of three versions; of KEDA there is none."""
    objects = [each for each in parsed(helm.rendered(*FORMS[form])) if not each["apiVersion"].startswith("keda")]
    path = helm.folder / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    versions = [word for each in VERSIONS for word in ("-k", each)]
    done = subprocess.run(
        [helm.tools / "kubernetes-validate", *versions, "--strict", path], capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count(" passed for resource ") == len(objects) * len(VERSIONS), said


def test_the_schemas_find_what_is_wrong(helm: Helm) -> None:
    path = helm.folder / "wrong.yaml"
    path.write_text(helm.rendered().replace("readinessProbe:", "readynessProbe:"))
    done = subprocess.run([helm.tools / "kubernetes-validate", "-k", "1.34", "--strict", path], capture_output=True)
    assert done.returncode != 0


def test_names_are_unique_and_there_is_no_secret(objects: list[dict[str, Any]]) -> None:
    named = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(named)) == len(named)
    assert not of_kind(objects, "Secret")


def test_every_pod_is_restricted(objects: list[dict[str, Any]]) -> None:
    """The level "restricted" of the Pod Security Standards, and a root file system that is read-only."""
    for pod in pods(objects).values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        assert all(
            each.keys() <= {"name", "configMap", "emptyDir", "persistentVolumeClaim", "secret"}
            for each in spec["volumes"]
        )
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}


def test_every_mount_has_its_volume_and_nothing_is_written_elsewhere(objects: list[dict[str, Any]]) -> None:
    for name, workload in workloads(objects).items():
        spec = workload["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        claimed = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])]
        volumes = [each["name"] for each in spec["volumes"]] + claimed
        assert sorted(each["name"] for each in container["volumeMounts"]) == sorted(volumes), name
        writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
        assert writable == {"/var/lib/triage", "/tmp"}


def test_each_selector_meets_the_pods_of_one_component(objects: list[dict[str, Any]]) -> None:
    labels = {name: each["metadata"]["labels"] for name, each in pods(objects).items()}

    def met(selector: dict[str, str]) -> list[str]:
        return [name for name, own in labels.items() if selector.items() <= own.items()]

    for service in of_kind(objects, "Service"):
        (name,) = met(service["spec"]["selector"])
        ports = {each["name"] for each in pods(objects)[name]["spec"]["containers"][0]["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        found = [met(each["spec"][key]["matchLabels"]) for each in of_kind(objects, kind)]
        assert sorted(found) == sorted([name] for name in labels), kind
    for name, each in workloads(objects).items():
        assert met(each["spec"]["selector"]["matchLabels"]) == [name]


def test_nothing_goes_in_or_out_that_is_not_named(objects: list[dict[str, Any]]) -> None:
    for policy in of_kind(objects, "NetworkPolicy"):
        spec = policy["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        for rule in spec["egress"]:
            assert rule["to"] and rule["ports"], policy["metadata"]["name"]  # empty would be everywhere
        for rule in spec["ingress"] or []:
            assert rule["from"] and rule["ports"], policy["metadata"]["name"]


def ways_out(helm: Helm, *texts: str) -> dict[str, list[str]]:
    """Where each component may go, by address or label, and port."""
    found = {}
    for policy in of_kind(parsed(helm.rendered(*texts)), "NetworkPolicy"):
        component = policy["metadata"]["labels"]["app.kubernetes.io/component"]
        found[component] = sorted(
            f"{_place(peer)}:{port['port']}"
            for rule in policy["spec"]["egress"]
            for peer in rule["to"]
            for port in rule["ports"]
        )
    return found


def _place(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    labels = peer["podSelector"]["matchLabels"]
    return str(labels.get("app.kubernetes.io/component") or labels.get("k8s-app") or labels["app.kubernetes.io/name"])


def test_only_deliver_reaches_destinations_and_only_web_the_identity_provider(helm: Helm) -> None:
    common = ["10.9.0.0/24:5432", "10.9.0.0/24:9000", "kube-dns:53", "kube-dns:53", "redis:6379"]
    assert ways_out(helm, CLUSTER) == {
        "listen": common,
        "work": common,
        "reports": common,
        "sweep": sorted([*common, "listen:dicom"]),
        "deliver": sorted([*common, "listen:dicom", "10.1.2.3/32:4242"]),
        "web": sorted([*common, "10.1.3.1/32:443"]),
    }


def test_senders_come_in_by_their_own_address(helm: Helm) -> None:
    objects = parsed(helm.rendered(CLUSTER))
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Service")}
    listen = services["x-cxr-triage-listen"]
    assert (listen["type"], listen["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert [each["port"] for each in listen["ports"]] == [11112, 2762]
    assert services["x-cxr-triage-reports"]["externalTrafficPolicy"] == "Local"
    assert services["x-cxr-triage-web"]["type"] == "ClusterIP"
    inside = services_of(helm, "listen: {service: {type: ClusterIP}}")["x-cxr-triage-listen"]
    assert "externalTrafficPolicy" not in inside


def services_of(helm: Helm, text: str) -> dict[str, Any]:
    return {each["metadata"]["name"]: each["spec"] for each in of_kind(parsed(helm.rendered(text)), "Service")}


def test_the_settings_file_and_the_variables_of_each_pod_are_settings(
    objects: list[dict[str, Any]], tmp_path: Path
) -> None:
    (settings,) = of_kind(objects, "ConfigMap")
    path, text = tmp_path / "triage.toml", settings["data"]["triage.toml"]
    named = re.findall(r'"/run/secrets/(.*?)"', text)
    for each in named:
        secret = tmp_path / each
        secret.parent.mkdir(exist_ok=True)
        secret.write_text("of a Secret")
        secret.chmod(0o600)
    path.write_text(text.replace("/run/secrets/", f"{tmp_path}/"))
    for name, pod in pods(objects).items():
        (container,) = pod["spec"]["containers"]
        variables = {each["name"]: each["value"] for each in container["env"]}
        assert variables.pop("TRIAGE_CONFIG") == "/etc/cxr-triage/triage.toml"
        password = variables.pop("TRIAGE_REDIS_PASSWORD_FILE", "")
        mounted = {each["mountPath"] for each in container["volumeMounts"]}
        assert not password or str(Path(password).parent) in mounted
        assert {f"/run/secrets/{Path(each).parent}" for each in named} <= mounted
        variables.pop("ORT_DISABLE_TELEMETRY")
        if "access_key_file" not in text:
            variables |= {"TRIAGE_S3_ACCESS_KEY": "of a Secret", "TRIAGE_S3_SECRET_KEY": "of a Secret"}
        read = load(path, variables)
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert ports["http"] == metrics_port(read, container["args"][0]), name
        assert ports.get("dicom", read.listener.port) == read.listener.port
        assert ports.get("dicom-tls", read.listener.tls_port) == read.listener.tls_port
        assert ports.get("mllp", read.reports.port) == read.reports.port
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] == "http"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def metrics_port(settings: Any, process: str) -> int:
    sections = {"listen": "listener", "work": "worker"}
    section = getattr(settings, sections.get(process, process))
    return int(section.port if process == "web" else section.metrics_port)


def test_with_files_there_is_one_of_each_on_one_volume_and_one_node(helm: Helm) -> None:
    for form in ("default", "files", "gpu"):
        objects = parsed(helm.rendered(*FORMS[form]))
        for name, workload in workloads(objects).items():
            spec = workload["spec"]["template"]["spec"]
            assert workload["spec"]["replicas"] <= 1, name
            claims = [each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if each["name"] == "data"]
            assert claims == ["mine" if form == "files" else "x-cxr-triage-data"]
            (near,) = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            assert near["topologyKey"] == "kubernetes.io/hostname"
            labels = pods(objects)[name]["metadata"]["labels"].items()
            assert near["labelSelector"]["matchLabels"].items() <= labels  # the first one may go anywhere
            if workload["kind"] == "Deployment":
                assert workload["spec"]["strategy"] == {"type": "Recreate"}
        claims = of_kind(objects, "PersistentVolumeClaim")
        assert [each["spec"]["accessModes"] for each in claims] == ([] if form == "files" else [["ReadWriteOnce"]])
        assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in claims)


def test_in_a_cluster_there_are_several_and_no_common_volume(helm: Helm) -> None:
    found = workloads(parsed(helm.rendered(CLUSTER)))
    assert {name: each["spec"]["replicas"] for name, each in found.items()} == {
        "listen": 3,
        "work": 4,
        "sweep": 2,
        "deliver": 2,
        "reports": 2,
        "web": 2,
    }
    for name, each in found.items():
        (container,) = each["spec"]["template"]["spec"]["containers"]
        spool = next(variable["value"] for variable in container["env"] if variable["name"] == "TRIAGE_SPOOL_PATH")
        assert not any(spool.startswith(mount["mountPath"]) for mount in container["volumeMounts"])
        volumes = {volume["name"]: volume for volume in each["spec"]["template"]["spec"]["volumes"]}
        assert ("data" in volumes) == (name != "web")
        assert "persistentVolumeClaim" not in volumes.get("data", {})
    assert [each["metadata"]["name"] for each in found["web"]["spec"]["volumeClaimTemplates"]] == ["data"]


def test_a_gpu_is_asked_for_where_one_is_used(helm: Helm) -> None:
    found = workloads(parsed(helm.rendered(GPU)))
    spec = found["work-gpu"]["spec"]["template"]["spec"]
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["containers"][0]["image"] == "cxr-triage:gpu"
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert found["work"]["spec"]["replicas"] == 0
    others = [each["spec"]["template"]["spec"]["containers"][0] for name, each in found.items() if name != "work-gpu"]
    assert all("nvidia.com/gpu" not in each["resources"]["limits"] for each in others)


@pytest.mark.parametrize(("form", "target"), [("keda", "work"), ("keda-gpu", "work-gpu")])
def test_keda_has_the_count_of_its_target_and_no_other(helm: Helm, form: str, target: str) -> None:
    objects = parsed(helm.rendered(*FORMS[form]))
    (scaled,) = of_kind(objects, "ScaledObject")
    found = workloads(objects)
    assert scaled["spec"]["scaleTargetRef"]["name"] == found[target]["metadata"]["name"]
    assert [name for name, each in found.items() if "replicas" not in each["spec"]] == [target]
    assert scaled["spec"]["fallback"]["replicas"] == {"work": 4, "work-gpu": 2}[target]
    assert not of_kind(parsed(helm.rendered(CLUSTER)), "ScaledObject")


def test_the_query_is_the_age_of_what_waits_nothing_for_zero_and_no_answer_without_a_sweep(
    helm: Helm, tmp_path: Path
) -> None:
    (scaled,) = of_kind(parsed(helm.rendered(*FORMS["keda"])), "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    query = trigger["metadata"]["query"]
    gauge = "cxr_triage_oldest_untagged_timestamp_seconds"
    # Minutes 0 to 4: nothing waits; 5 to 9: what came at 60 s; then no sweep is scraped. Another installation of ours
    # in the same Prometheus must not count.
    series = [
        {"series": f'{gauge}{{namespace="x"}}', "values": "0x4 60x4 stale"},
        {"series": f'{gauge}{{namespace="other"}}', "values": "30x30"},
    ]
    expected = {"3m": [0.0], "8m": [8 * 60.0 - 60.0], "20m": []}
    checks = [
        {"expr": query, "eval_time": at, "exp_samples": [{"labels": "{}", "value": value} for value in values]}
        for at, values in expected.items()
    ]
    file = tmp_path / "query.yml"
    file.write_text(yaml.safe_dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": checks}]}))
    promtool = shutil.which("promtool")
    assert promtool, "promtool: sudo apt-get install prometheus"
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def refusals() -> Iterator[tuple[str, str]]:
    """Values that cannot work, and what is said of them."""
    for key in ("listen", "work", "sweep", "deliver", "reports", "web"):
        yield f"{key}: {{replicas: 2}}", rf"{key}\.replicas = 2: with store\.kind = files"
    yield "workGpu: {enabled: true, replicas: 2}", r"workGpu\.replicas = 2: with store\.kind = files"
    yield KEDA, r"autoscaling\.keda\.enabled: with store\.kind = files"
    yield "store: {kind: postgres+s3}", r"egress\.store: name PostgreSQL and S3"
    yield CLUSTER + "persistence: {existingClaim: mine}", r"persistence\.existingClaim"
    yield "networkPolicy: {egress: {redis: []}}", r"egress\.redis: name Redis"
    for to in ("[]", "[{ipBlock: {cidr: 0.0.0.0/0}}]"):
        rule = f"{{to: {to}, ports: [{{port: 1, protocol: TCP}}]}}"
        yield f"networkPolicy: {{egress: {{destinations: [{rule}]}}}}", "egress/destinations/0/to"
    yield "work: {replicas: 0}", "nothing would be scored"
    yield "store: {kind: nfs}", "store/kind"
    yield "listener: {replicas: 1}", "listener"
    yield "redis: {url: 'redis://:secret@redis:6379'}", "redis/url"
    for line in (
        '[smtp]\npassword = "x"',
        'paging.chat_url = "x"',
        '[[channels.webhook]]\nsecret="x"',
        '[redis]\nurl = "x"',
    ):
        yield yaml.safe_dump({"settings": line}), "settings: "
    yield CLUSTER + "autoscaling: {keda: {enabled: true}}", r"keda\.serverAddress"
    yield CLUSTER + KEDA.replace("enabled: true", "enabled: true, target: work-gpu"), "needs workGpu.enabled"
    yield CLUSTER + KEDA.replace("enabled: true", "enabled: true, maxReplicas: 1, minReplicas: 2"), "maxReplicas"


@pytest.mark.parametrize(("values", "why"), list(refusals()))
def test_what_cannot_work_is_refused_in_words(helm: Helm, values: str, why: str) -> None:
    assert re.search(why, helm.refusal(values))


def test_a_comment_on_a_secret_is_no_secret(helm: Helm) -> None:
    assert helm.rendered(
        'settings: |\n  [smtp]\n  # password = "x" stands in a file:\n  password_file = "/run/secrets/a/b"\n'
    )


def test_new_settings_start_new_pods(helm: Helm) -> None:
    def sums(text: str) -> set[str]:
        return {
            each["metadata"]["annotations"]["checksum/settings"] for each in pods(parsed(helm.rendered(text))).values()
        }

    assert len(sums("settings: ''")) == 1
    assert sums("settings: ''") != sums("settings: '[web]'")


def test_a_kubernetes_that_is_too_old_is_refused(helm: Helm) -> None:
    done = helm.run("template", "x", CHART, "--kube-version", "1.29.0")
    assert "incompatible with Kubernetes" in done.stderr


def test_the_package_is_whole(helm: Helm) -> None:
    done = helm.run("package", CHART, "--destination", helm.folder)
    assert done.returncode == 0, done.stderr
    (package,) = helm.folder.glob("cxr-triage-*.tgz")
    done = helm.run("template", "x", package, "--kube-version", "1.34.0")
    assert done.returncode == 0, done.stderr
    assert done.stdout == helm.rendered()
