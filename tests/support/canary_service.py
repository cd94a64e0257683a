"""The service's roles as processes, with receivers that the canary is delivered to and one that it is not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.mllp_listener import Answer, Listener, acknowledging, mllp_listener
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.receivers import StoreSCP, listens, store_scp
from tests.support.service import REPOSITORY, ROLE, Role, Roles, roles
from tests.support.wait import wait_for
from triage.canary.partition import open_partition
from triage.spool.spool import Spool

_KEPT = ("registered", "locks", "control", "VERSION", "LAYOUT", "last.json", "scores.json")


@dataclass
class Site:
    """Roles, the receivers of their results, and the canary's partition. ``answer`` is the RIS's, of the moment."""

    roles: Roles
    port: int
    pacs: StoreSCP
    archive: StoreSCP
    answer: list[Answer] = field(default_factory=lambda: [acknowledging("AA")])
    ris: Listener = field(default_factory=lambda: Listener(0))

    @property
    def spool(self) -> Spool:
        return self.roles.spool

    @property
    def partition(self) -> Spool:
        return open_partition(self.spool)

    def start(self, *names: str) -> list[Role]:
        """Start roles; the listener listens when this returns."""
        started = [self.roles.start(name) for name in names]
        if "listen" in names:
            wait_for(lambda: listens(self.port), "the listener")
        return started

    def fly(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """`triage canary`, to its end."""
        environment = self.roles.environment()
        environment |= {f"TRIAGE_CANARY_{name.upper()}": value for name, value in settings.items()}
        return subprocess.run(
            [*ROLE, "canary"], env=environment, capture_output=True, text=True, timeout=240, cwd=REPOSITORY
        )

    def left(self) -> list[str]:
        """What lies in the partition beside what a day remembers."""
        root = self.partition.root
        files = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        return [str(path) for path in files if path.parts[0] not in _KEPT]

    def logs(self) -> str:
        return "\n".join(role.log.read_text() for role in self.roles.started)


def passed(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The stages that a canary passed, in order."""
    return re.findall(r"^(\S+) +[\d.]+ s", done.stdout, re.MULTILINE)


def stuck(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The stages that it did not pass, and why."""
    assert done.returncode == 1, done.stdout + done.stderr
    return dict(re.findall(r"^(\S+) +NOT +(.*)$", done.stdout, re.MULTILINE))


@contextmanager
def site(folder: Path, redis_url: str, **settings: str) -> Iterator[Site]:
    """A PACS and a RIS that know the canary, and an archive that does not. Nothing runs yet. All studies are normal."""
    folder.mkdir(exist_ok=True)
    write_model(folder / "models", bias=-10.0)
    plain, config = free_port(), folder / "triage.toml"
    port = int(settings.get("listener_tls_port", plain))
    variables = {"config": str(config), "listener_port": str(plain), "deliver_metrics_port": "0", **settings}
    with store_scp() as pacs, store_scp() as archive, roles(folder, redis_url, folder / "models", **variables) as ours:
        made = Site(ours, port, pacs, archive)
        with mllp_listener(lambda message: made.answer[-1](message)) as made.ris:
            config.write_text(_channels(pacs.port, made.ris.port, archive.port))
            yield made


def _channels(pacs: int, ris: int, archive: int) -> str:
    soon = "first_interval_s = 0.2\nlongest_interval_s = 0.5\ntries = 100\n"
    return (
        "[deliver]\ninterval_s = 0.1\n"
        f'[[channels.sr]]\nname = "pacs"\nhost = "127.0.0.1"\nport = {pacs}\ncalled_ae_title = "PACS"\ncanary = true\n'
        f'{soon}[[channels.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {ris}\ncanary = true\n'
        f'{soon}[[channels.sr]]\nname = "archive"\nhost = "127.0.0.1"\nport = {archive}\ncalled_ae_title = "PACS"\n'
        f"delay_s = 0.0\n{soon}"
    )
