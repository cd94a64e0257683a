"""What the product sends, though no variable tells ONNX Runtime to be silent: nothing but to what is configured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.cohort_images import TINY, write_cohort
from tests.support.model_folders import write_model
from tests.support.ports import free_ports
from tests.support.service import REPOSITORY
from tests.support.watched_network import IPV6, Watched, watched
from tests.support.whole_service import TRIAGE, Service
from triage.cli import triage
from triage.phantom.samples import write_phantoms
from triage.spool.spool import Spool

LOOK_UP = "import socket\ntry: socket.getaddrinfo('somewhere.invalid', 443)\nexcept OSError: pass"
CONNECT = "import socket\ntry: socket.create_connection(({host!r}, 443), 5)\nexcept OSError: pass"
NAMELESS = "127.0.0.77"
"""An address of this machine that /etc/hosts does not know: whoever wants its name has to ask."""
SERVE_FOR_A_WHILE = """
"$0" demo >"$1" & demo=$!
until grep -q Serving: "$1"; do kill -0 $demo || exit 1; sleep 0.2; done
sleep 12
kill -TERM $demo
wait $demo
"""
"""ONNX Runtime's first look-up comes nine seconds after a model was loaded."""
REDIS, RIS = ("127.0.0.99", 6379), ("127.0.0.88", 2575)
"""Nobody listens there: what matters is who is asked."""
DRAWS = "matplotlib"
SERVES = {"demo", "deliver", "listen", "reports", "up", "web", "work"}
"""Commands that run until they are told to stop: all of them under the first test's."""
ASKS_NOBODY = {
    "agreement": ["--data", "{folder}"],
    "audit": ["export"],
    "backup": ["{folder}/backup"],
    "card": ["{model}"],
    "channel": [],
    "clock": [],
    "feedback": ["--out", "{folder}/feedback.csv"],
    "hosts": [],
    "migrate": ["--check"],
    "model": [],
    "models": ["list"],
    "paging": [],
    "predict": ["{image}"],
    "readers": ["labels", "{folder}"],
    "recall": ["--study", "1.2.3"],
    "restore": ["{folder}/backup", "{folder}/restored"],
    "settings": [],
    "shadow": [],
    "simulate": ["--example"],
    "store": ["migrate", "--from", "{folder}/no-spool"],
    "user": ["list"],
    "validate": ["--model", "{model}", "--cohort", "{cohort}", "--out", "{folder}/out", "--rounds", "20"],
}
ASKS = {
    "canary": [],
    "check": [],
    "dead-letters": ["--requeue-all"],
    "explain": ["1.2.3"],
    "healthcheck": [],
    "send": ["{image}"],
    "sweep": ["--once"],
    "test-destination": ["ris"],
    "workitem": ["release", "1.2.3", "--by", "ann", "--reason", "gone"],
    "worklist": [],
}
RUN_EACH = """
import json, sys
from triage.cli import triage
for name, arguments in json.loads(sys.argv[1]).items():
    try:
        triage.main([name, *arguments], standalone_mode=True)
    except SystemExit as ended:
        print("ended:", name, ended.code, flush=True)
"""
LOAD_ALL = """
import importlib, pkgutil, runpy, sys, time
from pathlib import Path
from triage.model.onnx_runtime import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
began = time.monotonic()
import export, release, training, triage
for package in (triage, training, export, release):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
benchmarks = [path for path in Path(sys.argv[2], "benchmarks").glob("*.py") if path.stem != "__main__"]
sys.path.insert(0, str(benchmarks[0].parent))
for path in benchmarks:
    runpy.run_path(str(path), run_name="loaded")
from training.cli import main
main(["train", *sys.argv[3:]], standalone_mode=False)
time.sleep(max(12 - (time.monotonic() - began), 0))
"""
SILENT = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TRIAGE_DATA")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def service(tmp_path: Path, models: Path, home: Path) -> Service:
    """Settings, and the environment of a stranger; nothing is started."""
    hosts = dict.fromkeys(("sweep_metrics_host", "worker_metrics_host", "reports_metrics_host"), NAMELESS)
    made = Service(tmp_path / "var", models, **hosts, reports_port=free_ports(1), reports_metrics_port=0)
    strangers = {name: value for name, value in made.environment.items() if name not in SILENT}
    made.environment = {**strangers, "HOME": str(home)}
    return made


def assert_silent(watch: Watched, home: Path) -> None:
    assert watch.done.returncode == 0, watch.done.stdout + watch.done.stderr
    assert not watch.datagrams
    # What draws figures keeps a list of the machine's fonts.
    assert not [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and path.parent.name != DRAWS]


def test_the_whole_service_connects_to_what_is_configured_alone(service: Service, tmp_path: Path, home: Path) -> None:
    with_a_destination(service, tmp_path)
    printed = tmp_path / "printed"
    watch = watched(["sh", "-c", SERVE_FOR_A_WHILE, TRIAGE, printed], service.environment, tmp_path)
    assert_silent(watch, home)
    assert "7 objects of 6 studies sent" in printed.read_text()
    connected = set(watch.connections)
    own = {(host, port) for host in ("127.0.0.1", NAMELESS) for port in (service.dicom_port, *service.ports)}
    assert {("127.0.0.1", service.dicom_port), RIS} <= connected <= own | {RIS}


def with_a_destination(service: Service, folder: Path) -> None:
    (folder / "triage.toml").write_text(f'[[channels.hl7]]\nname = "ris"\nhost = "{RIS[0]}"\nport = {RIS[1]}\n')
    service.environment |= {"TRIAGE_CONFIG": str(folder / "triage.toml"), "TRIAGE_DELIVER_METRICS_PORT": "0"}


def test_each_command_asks_whom_its_settings_name_and_most_ask_nobody(
    service: Service, models: Path, tmp_path: Path, home: Path
) -> None:
    assert SERVES | ASKS.keys() | ASKS_NOBODY.keys() == set(triage.commands)
    with_a_destination(service, tmp_path)
    service.environment |= {"TRIAGE_REDIS_URL": f"redis://{REDIS[0]}:{REDIS[1]}/0"}
    Spool.open(tmp_path / "var" / "spool")
    image = write_phantoms(tmp_path / "phantoms")[0].path
    model = min(models.glob("*/card.json")).parent
    known = {"folder": tmp_path, "image": image, "model": model, "cohort": write_cohort(tmp_path, 8)}
    web, dicom = ("127.0.0.1", service.web_port), ("127.0.0.1", service.dicom_port)
    for commands, asked in ((ASKS_NOBODY, set()), (ASKS, {REDIS, RIS, web, dicom})):
        given = {name: [each.format(**known) for each in arguments] for name, arguments in commands.items()}
        watch = watched([sys.executable, "-c", RUN_EACH, json.dumps(given)], service.environment, tmp_path)
        assert_silent(watch, home)
        assert {line.split()[1] for line in watch.done.stdout.splitlines() if line.startswith("ended:")} == set(given)
        assert set(watch.connections) == asked


def test_whatever_is_loaded_and_a_training_connect_to_nothing(service: Service, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "tiny.toml").write_text(
        "".join(
            f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
            for table, values in {**TINY, "schedule": {**TINY["schedule"], "epochs": 1}}.items()
        )
    )
    write_model(tmp_path)
    training = [tmp_path / "tiny.toml", "--manifest", write_cohort(tmp_path, 24), "-o", tmp_path / "run"]
    program = [sys.executable, "-c", LOAD_ALL, tmp_path / "tiny-adult" / "model.onnx", REPOSITORY]
    watch = watched([*program, *training, "--device", "cpu"], service.environment, tmp_path)
    assert_silent(watch, home)
    assert not watch.connections


def test_scoring_without_a_service_connects_to_nothing(service: Service, tmp_path: Path, home: Path) -> None:
    image = write_phantoms(tmp_path / "phantoms")[0].path
    watch = watched([TRIAGE, "predict", image], service.environment, tmp_path)
    assert_silent(watch, home)
    assert json.loads(watch.done.stdout)["probability"] is not None
    assert not watch.connections


def test_a_name_that_is_looked_up_is_seen(service: Service, tmp_path: Path) -> None:
    watch = watched([sys.executable, "-c", LOOK_UP], service.environment, tmp_path)
    assert {port for _, port in watch.datagrams} == {53}


@pytest.mark.parametrize(
    "host",
    ["192.0.2.7", pytest.param("2001:db8::7", marks=pytest.mark.skipif(not IPV6, reason="this machine has no IPv6"))],
)
def test_a_connection_to_elsewhere_is_seen(service: Service, tmp_path: Path, host: str) -> None:
    watch = watched([sys.executable, "-c", CONNECT.format(host=host)], service.environment, tmp_path)
    assert watch.connections == [(host, 443)]
