"""What the product sends, though no variable tells ONNX Runtime to be silent: nothing but to what is configured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.watched_network import IPV6, Watched, watched
from tests.support.whole_service import TRIAGE, Service, free_ports
from triage.phantom.samples import write_phantoms

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
    assert not [str(path.relative_to(home)) for path in home.rglob("*")]


def test_the_whole_service_connects_to_what_is_configured_alone(service: Service, tmp_path: Path, home: Path) -> None:
    ris = ("127.0.0.88", 2575)
    (tmp_path / "triage.toml").write_text(f'[[channels.hl7]]\nname = "ris"\nhost = "{ris[0]}"\nport = {ris[1]}\n')
    service.environment |= {"TRIAGE_CONFIG": str(tmp_path / "triage.toml"), "TRIAGE_DELIVER_METRICS_PORT": "0"}
    printed = tmp_path / "printed"
    watch = watched(["sh", "-c", SERVE_FOR_A_WHILE, TRIAGE, printed], service.environment, tmp_path)
    assert_silent(watch, home)
    assert "7 objects of 6 studies sent" in printed.read_text()
    connected = set(watch.connections)
    own = {(host, port) for host in ("127.0.0.1", NAMELESS) for port in (service.dicom_port, *service.ports)}
    assert {("127.0.0.1", service.dicom_port), ris} <= connected <= own | {ris}


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
