"""The service on the three hosts: one settings file for each, and its units."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.hosts.engines import (
    BUCKET,
    DATABASE,
    ROLE,
    ROLE_PASSWORD,
    SENTINELS,
    TO_POSTGRES,
)
from tests.acceptance.hosts.network import Host, fetched
from tests.acceptance.hosts.units import Unit
from tests.support.s3_peer import ACCESS_KEY, SECRET_KEY
from tests.support.s3_peer import BUCKET as BUCKET_NAME
from tests.support.sentinels import NAME, PASSWORD
from tests.support.whole_service import TRIAGE

LISTEN, WORK, SWEEP, DELIVER, REPORTS, WEB = 9110, 9130, 9150, 9170, 9190, 8080
PORTS = {"listen": LISTEN, "work": WORK, "sweep": SWEEP, "deliver": DELIVER, "reports": REPORTS}
UNITS = {"a": ("up",), "b": ("up",), "c": ("listen", "work", "sweep", "deliver", "reports")}
"""What runs on each host: on one of them its processes are units of their own, and no page."""
PAGES = tuple(name for name, words in UNITS.items() if {"up", "web"} & set(words))
"""The hosts that have a page."""
LEADERS = ("sweep", "deliver", "reports")
"""The processes of which one works, or does a part of the work, among all hosts."""
RETENTION_S = 45.0
"""Seconds after its tag for which a study that was read is kept."""
OF_RIS = ("RIS", "HOSPITAL")
"""Application and facility of the reports that are taken."""
_DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Outside:
    """The address and ports of what lies outside of the hosts.

    ``balancer`` and ``read`` are the balancer's for images and for reports of radiologists; ``reports`` and
    ``messages`` are where results go.
    """

    address: str
    balancer: int = 11112
    read: int = 2575
    reports: int = 11113
    messages: int = 2576


@dataclass(frozen=True)
class Service:
    """How the service is set up on all hosts."""

    hosts: Mapping[str, Host]
    outside: Outside
    bucket_host: str
    models: Path
    ca: Path

    def write_settings(self, host: Host) -> Path:
        """The settings of one host. They differ in its own address and folder alone."""
        secrets = {"redis": PASSWORD, "postgres": ROLE_PASSWORD, "key": SECRET_KEY}
        for name, secret in secrets.items():
            path = host.folder / f"{name}.secret"
            path.write_text(f"{secret}\n")
            path.chmod(0o600)
        sentinels = json.dumps([f"{each.address}:{SENTINELS}" for each in self.hosts.values()])
        config, of = host.folder / "triage.toml", host.folder
        config.write_text(
            f'[data]\npath = "{of}/data"\n[store]\nkind = "postgres+s3"\n'
            f'[postgres]\nhost = "127.0.0.1"\nport = {TO_POSTGRES}\ndatabase = "{DATABASE}"\nuser = "{ROLE}"\n'
            f'password_file = "{of}/postgres.secret"\nca_file = "{self.ca}"\n'
            f'[s3]\nendpoint = "https://{self.hosts[self.bucket_host].address}:{BUCKET}"\nbucket = "{BUCKET_NAME}"\n'
            f'access_key = "{ACCESS_KEY}"\nsecret_key_file = "{of}/key.secret"\nca_file = "{self.ca}"\n'
            f'[redis]\nurl = "redis://{NAME}/1"\npassword_file = "{of}/redis.secret"\nsentinels = {sentinels}\n'
            f'[models]\npath = "{self.models}"\nallow_demo = true\n'
            f'[listener]\nhost = "{host.address}"\nmetrics_host = "0.0.0.0"\ndrain_s = 5\n'
            f'proxy_protocol_from = ["{self.outside.address}/32"]\n'
            '[worker]\nmetrics_host = "0.0.0.0"\ndecode_processes = 1\nthreads = 1\n'
            '[sweep]\nmetrics_host = "0.0.0.0"\ninterval_s = 5\n[deliver]\nmetrics_host = "0.0.0.0"\n'
            f"[web]\nport = {WEB}\n[spool]\nretention_days = {RETENTION_S / _DAY_S}\n"
            f'[reports]\nport = 2575\nhost = "{host.address}"\nmetrics_host = "0.0.0.0"\n'
            f'source_addresses = ["{self.outside.address}/32"]\nsending_applications = ["{OF_RIS[0]}"]\n'
            f'proxy_protocol_from = ["{self.outside.address}/32"]\n'
            f'[[channels.sr]]\nname = "pacs"\nhost = "{self.outside.address}"\nport = {self.outside.reports}\n'
            'called_ae_title = "PACS"\ndelay_s = 5\nlongest_interval_s = 10\ntries = 100\n'
            f'[[channels.hl7]]\nname = "ris"\nhost = "{self.outside.address}"\nport = {self.outside.messages}\n'
            "longest_interval_s = 10\ntries = 100\n"
        )
        return config

    def units(self) -> list[Unit]:
        return [self._unit(self.hosts[name], word) for name, words in UNITS.items() for word in words]

    def _unit(self, host: Host, word: str) -> Unit:
        command = self._command(host, word)
        return Unit(f"{host.name}/{word}", command, host.folder / f"triage-{word}.log", environment())

    def _command(self, host: Host, *words: str) -> list[str]:
        config = str(host.folder / "triage.toml")
        return [*host.inside(), *host.by_its_clock(), str(TRIAGE), "--config", config, *words]

    def run(self, host: Host, *words: str) -> subprocess.CompletedProcess[str]:
        """A command on a host."""
        return subprocess.run(
            self._command(host, *words), env=environment(), capture_output=True, text=True, timeout=300
        )

    def is_ready(self, host: str, role: str) -> bool:
        """What the process says of itself over HTTP; false where it is not reached."""
        return fetched(self.hosts[host].address, PORTS[role], "/readyz")[0] == 200

    def leads(self, role: str) -> bool:
        """Whether a process of this role on any host says that it leads, and works."""
        return bool(self.leader(role))

    def leader(self, role: str) -> str:
        """The host whose process of this role says that; empty where none does."""
        return next((host for host in self.hosts if self._says(host, role, "leads among all hosts")), "")

    def _says(self, host: str, role: str, words: str) -> bool:
        status, body = fetched(self.hosts[host].address, PORTS[role], "/readyz")
        return status == 200 and words in body

    def worklist(self, host: Host) -> list[dict[str, object]]:
        """Every entry that the page of a host lists, in order."""
        found: list[dict[str, object]] = []
        cursor = ""
        while True:
            status, body = host.asked(WEB, f"/api/worklist?limit=500{cursor}")
            assert status == 200, f"the list on host {host.name}: {status} {body[:500]}"
            page = json.loads(body)
            found += page["entries"]
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def listed_patients(self, host: Host) -> dict[str, str]:
        """Of each study that the page of a host lists its Patient ID; of none while the page cannot be asked."""
        found: dict[str, str] = {}
        query: dict[str, object] = {"show": "unread", "limit": 200}
        while True:
            status, body = host.asked(WEB, "/api/list", content=json.dumps(query).encode())
            page = json.loads(body) if status == 200 else {"entries": [], "next_cursor": None}
            found |= {each["study_instance_uid"]: each["patient_id"] for each in page["entries"]}
            if not page["next_cursor"]:
                return found
            query["cursor"] = page["next_cursor"]


def environment() -> dict[str, str]:
    """This process's variables without those of the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
