"""The stack of deploy/compose.yaml, started by podman as the file says, and tried. `image.sh` calls this.

Usage: python -m tests.acceptance.compose_stack FOLDER, in a network and a process namespace of its own, with the images
of ``image.sh`` in podman's storage.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import Verification

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = {
    name: service for name, service in COMPOSE["services"].items() if not service.get("profiles")
}
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("cxr-triage:")}

STAND_INS = {
    "redis": "RUN ln -s redis-server /usr/bin/valkey-server && ln -s redis-cli /usr/bin/valkey-cli"
    " && install -d -o 999 -g 1000 /data\nWORKDIR /data",
    "prometheus": "RUN install -d -o 65534 -g 65534 /prometheus && ln -sf busybox /bin/wget\n"
    'ENTRYPOINT ["/usr/bin/prometheus"]',
    "alertmanager": "RUN install -d -o 65534 -g 65534 /alertmanager && ln -sf busybox /bin/wget\n"
    'ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]',
}
"""What their images have that Debian's packages lack: names of programs, folders and their owners."""

NOT_PODMANS = {"build", "depends_on", "healthcheck", "logging", "restart", "image", "profiles"}


def podman(*arguments: str | Path, check: bool = True) -> str:
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True)
    if check and done.returncode:
        said = f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        sys.exit(f"podman {' '.join(map(str, arguments))}: status {done.returncode}: {said}")
    return done.stdout + done.stderr


def inside(container: str, *command: str) -> bool:
    return subprocess.run(["podman", "exec", container, *command], capture_output=True).returncode == 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def wait(what: str, is_so: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            for name in podman("ps", "--all", "--format", "{{.Names}}").split():
                sys.stderr.write(f"--- {name}\n{podman('logs', '--tail', '15', name, check=False)}")
            sys.exit(f"not within {seconds:.0f} s: {what}")
        time.sleep(1.0)
    say(f"{what}: yes")


def options(service: dict[str, Any], folder: Path) -> Iterator[str]:
    """Podman's options for a service of compose. Raises KeyError for what nobody has translated."""
    for key, value in service.items():
        match key:
            case "read_only":
                # Podman would mount folders of its own into a read-only image; Docker does not.
                yield from (f"--read-only={str(value).lower()}", "--read-only-tmpfs=false")
            case "cap_drop":
                yield from (f"--cap-drop={each}" for each in value)
            case "security_opt":
                yield from (f"--security-opt={each.removesuffix(':true')}" for each in value)
            case "pids_limit" | "cpus" | "user":
                yield f"--{key.replace('_', '-')}={value}"
            case "mem_limit":
                yield f"--memory={value}"
            case "stop_grace_period":
                yield f"--stop-timeout={value.removesuffix('s')}"
            case "init":
                yield f"--init={str(value).lower()}"
            case "tmpfs":
                yield from (f"--tmpfs={in_memory(each)}" for each in value)
            case "volumes":
                for each in value:
                    source, _, rest = each.partition(":")
                    yield f"--volume={folder / 'deploy' / source if source.startswith('.') else source}:{rest}"
            case "secrets":
                for each in value:
                    yield f"--volume={folder / 'deploy' / COMPOSE['secrets'][each]['file']}:/run/secrets/{each}:ro"
            case "environment":
                yield from (f"--env={name}={default(text)}" for name, text in value.items())
            case "ports":
                yield from (f"--publish={default(each)}" for each in value)
            case "entrypoint":
                yield f"--entrypoint={json.dumps(value)}"
            case "networks" | "command":
                pass
            case _ if key not in NOT_PODMANS:
                raise KeyError(key)


def default(text: str) -> str:
    """What compose makes of ``${NAME:-DEFAULT}`` where nobody has set NAME."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def in_memory(tmpfs: str) -> str:
    """Podman cannot say whose a file system in memory is, so that here it is anybody's."""
    return re.sub(r",(?:uid|gid|mode)=[0-9]+", "", tmpfs) + ",mode=1777"


def start(name: str, folder: Path, number: int = 1) -> None:
    service = SERVICES[name]
    networks = [f"--network={each}:alias={name}" for each in service["networks"]]
    command = [each.replace("$$", "$") for each in service["command"]]
    image = f"localhost/{service['image'] if name in OURS else name}"
    common = ("--detach", "--pull=never", "--no-healthcheck", f"--name={name}-{number}")
    podman("run", *common, *networks, *options(service, folder), image, *command)


def healthy(name: str) -> bool:
    """What compose's healthcheck of the service says, asked inside its container."""
    kind, *words = SERVICES[name]["healthcheck"]["test"]
    words = [each.replace("$$", "$") for each in words]
    return inside(f"{name}-1", *(words if kind == "CMD" else ["sh", "-c", words[0]]))


def restrained(name: str) -> None:
    """Nothing runs as root, with a capability, or may write into the image."""
    status = podman("exec", f"{name}-1", "cat", "/proc/1/status")
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE), (name, status)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE), (name, status)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE), (name, status)
    assert not re.search(r"^Uid:\t0\t", status, re.MULTILINE), (name, status)
    refused = podman("exec", f"{name}-1", "sh", "-c", "touch /usr/written", check=False)
    assert "Read-only file system" in refused, (name, refused)


def ask_prometheus(query: str) -> list[dict[str, Any]]:
    said = podman("exec", "prometheus-1", "promtool", "query", "instant", "-o", "json", "http://127.0.0.1:9090", query)
    found: list[dict[str, Any]] = json.loads(said)
    return found


def up(process: str) -> int:
    return sum(each["value"][1] == "1" for each in ask_prometheus(f'up{{process="{process}"}}'))


def said_by_receiver(alert: str) -> bool:
    return f" {alert}: " in podman("logs", "alert-log-1")


def prepare(folder: Path) -> None:
    for name, lines in STAND_INS.items():
        file = folder / f"{name}.containerfile"
        file.write_text(f"FROM localhost/others-base\n{lines}\n")
        command = ["buildah", "bud", "--quiet", "--isolation=chroot", "--format=docker", f"--tag=localhost/{name}"]
        subprocess.run([*command, f"--file={file}", folder], check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(DEPLOY, folder / "deploy", ignore=shutil.ignore_patterns("secrets"))
    subprocess.run([folder / "deploy/make-secrets.sh"], check=True)
    rules = folder / "deploy/prometheus/alerts.yml"
    # The same alerts, without a wait before each.
    rules.write_text(re.sub(r"for: [0-9]+[mh]", "for: 5s", rules.read_text()))
    configuration = folder / "deploy/prometheus/prometheus.yml"
    configuration.write_text(configuration.read_text().replace("15s", "3s"))
    for name, network in COMPOSE["networks"].items():
        podman("network", "create", *(["--internal"] if network.get("internal") else []), name)
        file = folder / "networks" / f"{name}.json"
        # Docker answers names in internal networks too.
        file.write_text(file.read_text().replace('"dns_enabled": false', '"dns_enabled": true'))


def main(folder: Path) -> None:
    prepare(folder)
    start("redis", folder)
    wait("healthy: redis", lambda: healthy("redis"))
    for name in SERVICES.keys() - {"redis"}:
        start(name, folder)
    for name in sorted(SERVICES):
        wait(f"healthy: {name}", lambda name=name: healthy(name))
        restrained(name)

    podman("exec", "deliver-1", "triage", "canary")  # where its page has commands typed
    say("a canary came out: yes")
    entity = ApplicationEntity("TRIAGE_SEND")
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", 11112, ae_title="CXR_TRIAGE")
    assert association.is_established, "C-ECHO through the published port"
    assert association.send_c_echo().Status == 0
    association.release()
    curl = ["curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code}"]
    for path, status in (("readyz", "200"), ("api/worklist", "401")):
        done = subprocess.run([*curl, f"http://127.0.0.1:8080/{path}"], capture_output=True, text=True)
        assert done.stdout == status, (path, done.stdout)

    # Redis is seen by those who need it, and by nobody else.
    (address,) = json.loads(podman("inspect", "redis-1"))[0]["NetworkSettings"]["Networks"].values()
    knock = "import socket, sys; socket.create_connection((sys.argv[1], 6379), 3)"
    assert inside("web-1", "python", "-c", knock, "redis")
    for place in ("redis", address["IPAddress"]):
        assert not inside("alert-log-1", "python", "-c", knock, place), place

    processes = sorted(OURS - {"alert-log"})
    for each in processes:
        wait(f"scraped: {each}", lambda each=each: up(each) == 1)
    assert [each["metric"] for each in ask_prometheus('up{process="reports"}')] == []
    start("work", folder, 2)
    wait("a second worker is found", lambda: up("work") == 2)
    podman("rm", "--force", "--time=5", "work-2")
    wait("it is missed", lambda: said_by_receiver("CxrTriageFewerProcesses"))

    podman("stop", "redis-1")
    wait("without Redis work is not healthy", lambda: not healthy("work"))
    wait("nor is web", lambda: not healthy("web"))
    assert healthy("listen"), "it receives whatever becomes of Redis"
    wait("somebody is told", lambda: said_by_receiver("CxrTriageRedisDown"))
    podman("start", "redis-1")
    for each in processes:
        wait(f"healthy again: {each}", lambda each=each: healthy(each))

    podman("rm", "--force", "--time=5", "work-1")
    wait("a kind of process that is gone is said", lambda: said_by_receiver("CxrTriageProcessMissing"))
    for line in sorted(set(re.findall(r"^.*? (?:firing|resolved) ", podman("logs", "alert-log-1"), re.MULTILINE))):
        assert line.split()[0] in {"page", "ticket"}, line


if __name__ == "__main__":
    main(Path(sys.argv[1]))
