"""The Helm chart as the program helm renders it, and the forms that acceptance looks at."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/cxr-triage"
SETTINGS = """
settings: |
  [listener]
  tls_port = 2762
  tls_certificate = "/run/secrets/tls/tls.crt"
  tls_key = "/run/secrets/tls/tls.key"
  [sign_in]
  method = "users"
  [reports]
  source_addresses = ["10.1.2.9"]
  sending_applications = ["RIS"]
"""
CLUSTER = (
    SETTINGS
    + """  [postgres]
  host = "db.data.svc"
  database = "triage"
  user = "triage"
  [s3]
  endpoint = "https://s3.data.svc:9000"
  bucket = "radiographs"
store: {kind: postgres+s3}
listen: {replicas: 3, tls: true}
work: {replicas: 4}
sweep: {replicas: 2}
deliver: {replicas: 2}
web: {replicas: 2}
reports: {enabled: true, replicas: 2}
secretFiles: [{secret: cxr-triage-oidc, folder: oidc}, {secret: cxr-triage-tls, folder: tls}]
redis: {url: "rediss://redis.data:6380/0", passwordSecret: {name: cxr-triage-redis, key: password}}
networkPolicy:
  ingress:
    senders: [{ipBlock: {cidr: 10.1.2.0/24}}]
    reportSenders: [{ipBlock: {cidr: 10.1.2.9/32}}]
    readers: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]
    prometheus: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  egress:
    store: [{to: [{ipBlock: {cidr: 10.9.0.0/24}}], ports: [{port: 5432, protocol: TCP}, {port: 9000, protocol: TCP}]}]
    destinations: [{to: [{ipBlock: {cidr: 10.1.2.3/32}}], ports: [{port: 4242, protocol: TCP}]}]
    identityProvider: [{to: [{ipBlock: {cidr: 10.1.3.1/32}}], ports: [{port: 443, protocol: TCP}]}]
"""
)
GPU = "workGpu: {enabled: true, runtimeClassName: nvidia}\nwork: {replicas: 0}\n"
KEDA = "autoscaling: {keda: {enabled: true, serverAddress: 'http://prometheus:9090', selector: 'namespace=\"x\"'}}\n"
_PAGE = (ROOT / "docs/how-to/kubernetes.md").read_text()
(EXAMPLE,) = re.findall(r"```yaml\n(image: .*?)```", _PAGE, re.DOTALL)
(SHARED_EXAMPLE,) = re.findall(r"```yaml\n(store: .*?)```", _PAGE, re.DOTALL)
FORMS = {
    "default": [],
    "files": [
        SETTINGS
        + "store: {kind: files}\npersistence: {existingClaim: mine, storageClass: local}\nreports: {enabled: true}\n"
        "secretFiles: [{secret: cxr-triage-tls, folder: tls}]\n"
    ],
    "example": [EXAMPLE],
    "example-shared": [EXAMPLE, SHARED_EXAMPLE],
    "cluster": [CLUSTER],
    "gpu": [GPU],
    "keda": [CLUSTER, KEDA],
    "keda-gpu": [CLUSTER, KEDA, "workGpu: {enabled: true, replicas: 2}\nautoscaling: {keda: {target: work-gpu}}\n"],
}


@dataclass(frozen=True)
class Helm:
    """The program, and a folder for values."""

    tools: Path
    folder: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.tools / "helm", *arguments], capture_output=True, text=True, timeout=120)

    def values(self, *texts: str) -> list[str]:
        found = []
        for number, text in enumerate(texts):
            path = self.folder / f"values-{number}.yaml"
            path.write_text(text)
            found += ["--values", str(path)]
        return found

    def rendered(self, *texts: str, release: str = "x") -> str:
        done = self.run("template", release, CHART, "--kube-version", "1.34.0", *self.values(*texts))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, *texts: str) -> str:
        done = self.run("template", "x", CHART, "--kube-version", "1.34.0", *self.values(*texts))
        assert done.returncode != 0, "it was rendered"
        return done.stderr


def parsed(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] in kinds]


def workloads(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Deployments and StatefulSets by component."""
    found = of_kind(objects, "Deployment", "StatefulSet")
    return {each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]: each for each in found}


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: each["spec"]["template"] for name, each in workloads(objects).items()}
