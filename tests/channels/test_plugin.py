"""Channels of plug-ins: the example's, and those that fail in each way that foreign code can."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from tests.delivery.test_deliverer import Clock, states
from tests.support.plugins import importable, install, install_example
from tests.support.studies import a_study
from tests.support.wait import wait_for
from triage.channels.base import Built, DeliveryStatus, SendResult
from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.plugin.settings import PluginDestination
from triage.channels.registry import channel_of
from triage.channels.settings import Destination
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.errors import StartError, UnreachableError
from triage.metrics.delivery import DeliveryMetrics
from triage.plugins.errors import PluginError
from triage.service.plugins import channel_plugins
from triage.settings.sections.plugins import PluginSettings
from triage.spool.spool import Spool

FOLDER = "cxr-triage-example:folder"
ODD = "odd-plugin:odd"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    install_example(tmp_path / "site")
    with importable(tmp_path / "site"):
        yield tmp_path / "site"


def a_deliverer(spool: Spool, destination: PluginDestination, kinds: dict[str, ChannelKind[Any]]) -> Deliverer:
    outbox = Outbox(spool)
    outbox.prepare([destination.name])
    channel = channel_of(destination, Surroundings(plugins=kinds))
    return Deliverer(spool, outbox, destination, channel, DeliveryMetrics(CollectorRegistry()), now=Clock())


def test_the_examples_channel_delivers(spool: Spool, site: Path, tmp_path: Path) -> None:
    study, out = a_study(spool, "files"), tmp_path / "out"
    kinds = channel_plugins(PluginSettings(enabled=("cxr-triage-example==1.0:folder",)))
    destination = PluginDestination(name="files", plugin="CXR-triage-example:folder", options=(f"path={out}",))
    deliverer = a_deliverer(spool, destination, kinds)
    deliverer.round()
    assert states(deliverer, study) == [DeliveryState.WAITING]
    out.mkdir()
    deliverer.outbox.set_pause("files", 0, 0.0, "")
    deliverer.round()
    deliverer.round()
    (written,) = out.glob("*.json")
    assert json.loads(written.read_bytes())["study"] == study
    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert deliverer.channel.check() == [f"{out} is a folder."]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plugin": "elsewhere:folder"}, "no channel elsewhere:folder is enabled"),
        ({"options": ()}, "path: Field required"),
        ({"options": ("path=/out", "colour=red")}, "colour: Extra inputs are not permitted"),
        ({"options": ("path=/out",), "secret": "hush"}, "secret: Extra inputs"),
    ],
)
def test_a_destination_that_does_not_hold_ends_the_start(site: Path, changes: dict[str, Any], said: str) -> None:
    kinds = channel_plugins(PluginSettings(enabled=("cxr-triage-example==1.0:folder",)))
    with pytest.raises(StartError, match=said) as refused:
        channel_of(PluginDestination(**{"name": "files", "plugin": FOLDER, **changes}), Surroundings(plugins=kinds))
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": ("a=1", "a=2")}, "names one setting twice"),
        ({"options": ("tries=1",)}, "may not name tries"),
        ({"options": ("nothing",)}, "pattern"),
        ({"canary": True}, "canary is not delivered by plug-ins"),
        ({"plugin": "no-name"}, "pattern"),
    ],
)
def test_settings_of_a_destination(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PluginDestination(**{"name": "files", "plugin": FOLDER, **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Kind: pass\nKIND = Kind()", "registers a Kind as a channel, and no ChannelKind"),
        (
            "from triage.channels.kind import ChannelKind\nKIND = ChannelKind('odd', '', dict, print)",
            "are not derived from Destination",
        ),
    ],
)
def test_a_plug_in_of_another_interface_is_refused(site: Path, text: str, said: str) -> None:
    install(site, {"odd_plugin.py": text}, {"channel": {"odd": "odd_plugin:KIND"}})
    with pytest.raises(PluginError, match=said):
        channel_plugins(PluginSettings(enabled=("odd-plugin==1.0:odd",)))


@dataclass
class Odd:
    """A channel that works, but for what a test replaces."""

    encoder: str = "odd 1"
    said: list[bytes] = field(default_factory=list)

    def wants(self, study: Any) -> Any:
        return True

    def content(self, study: Any) -> Any:
        return ["new"]

    def build(self, study: Any) -> Any:
        return Built(b"message", {})

    @contextmanager
    def connect(self) -> Iterator[Any]:
        yield self.send

    def send(self, payload: bytes) -> Any:
        self.said.append(payload)
        return SendResult(DeliveryStatus.DELIVERED, "taken")

    def reach(self) -> Any:
        return []

    def check(self) -> Any:
        return []


def odd(**replaced: Callable[..., Any]) -> tuple[PluginDestination, dict[str, ChannelKind[Any]]]:
    channel = Odd()
    for name, method in replaced.items():
        setattr(channel, name, method)
    kind = ChannelKind("odd", "", Destination, lambda destination, surroundings: channel)
    return PluginDestination(name="odd", plugin=ODD, tries=2, timeout_s=0.3), {ODD: kind}


def raises(*given: Any) -> Any:
    raise ValueError("DOE^JANE")


@pytest.mark.parametrize(
    ("method", "does"),
    [
        ("wants", raises),
        ("wants", lambda study: "yes"),
        ("content", raises),
        ("content", lambda study: [{1, 2}]),
        ("content", lambda study: [float("nan")]),
        ("build", raises),
        ("build", lambda study: b"message"),
        ("build", lambda study: Built("text", {})),  # type: ignore[arg-type]
        ("build", lambda study: threading.Event().wait(1)),
    ],
)
def test_a_channel_that_cannot_build_makes_a_dead_letter(
    spool: Spool, method: str, does: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    study = a_study(spool, "odd")
    deliverer = a_deliverer(spool, *odd(**{method: does}))
    deliverer.round()
    assert deliverer.outbox.dead.count("odd") == 1 and deliverer.outbox.marked("odd") == []
    assert study in caplog.text and "DOE" not in caplog.text


@pytest.mark.parametrize("does", [raises, lambda payload: "taken", lambda payload: threading.Event().wait(0.5)])
def test_a_channel_that_cannot_send_makes_a_dead_letter_after_its_tries(spool: Spool, does: Callable[..., Any]) -> None:
    study, clock = a_study(spool, "odd"), Clock()
    deliverer = a_deliverer(spool, *odd(send=does))
    deliverer.now = clock
    for _ in range(4):
        deliverer.round()
        wait_for(lambda: not any(ODD in each.name for each in threading.enumerate()), "a late call to end")
        clock.at += 3600.0
    assert states(deliverer, study) == [DeliveryState.DEAD]


def test_a_channel_that_cannot_connect_is_unreachable_and_loses_nothing(spool: Spool) -> None:
    study = a_study(spool, "odd")
    deliverer = a_deliverer(spool, *odd(connect=raises, check=raises))
    deliverer.round()
    assert states(deliverer, study) == [DeliveryState.WAITING]
    with pytest.raises(UnreachableError, match=r"fails: ValueError in test_plugin.py"):
        deliverer.channel.check()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda destination, surroundings: object(), "is no channel: it lacks wants, content"),
        (raises, "makes no channel: ValueError"),
    ],
)
def test_what_is_no_channel_ends_the_start(made: Callable[..., Any], said: str) -> None:
    kinds = {ODD: ChannelKind("odd", "", Destination, made)}
    with pytest.raises(StartError, match=said):
        channel_of(PluginDestination(name="odd", plugin=ODD), Surroundings(plugins=kinds))
