"""The whole service as a user starts it: `triage up` in a process of its own, on free ports, ended by process id."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_ports
from tests.support.wait import wait_for
from triage.spool.spool import Spool

TRIAGE = Path(sys.executable).parent / "triage"
AE_TITLE = "CXR_TRIAGE"
_STOP_S = 120.0


class Service:
    """One service: its folder, its settings, and what it says over HTTP.

    ``settings`` are TRIAGE_ variables without the prefix, in lower case. ``limits`` are commands of a shell before it,
    such as ``ulimit -n 64``; ``config`` is a settings file beside. ``with`` starts it and ends it.
    """

    def __init__(
        self, folder: Path, models: Path, *, limits: str = ":", config: Path | None = None, **settings: str | int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Not below pytest's tmp_path: a Unix socket's path is limited to 107 bytes.
        self._short = Path(tempfile.mkdtemp(prefix="cxr-e2e-"))
        self.listeners = int(settings.get("listener_processes", 1))
        first = free_ports(self.listeners + 4)
        self.dicom_port, self.web_port, self.worker_port, self.sweep_port = range(first, first + 4)
        self.listener_ports = [first + 4 + index for index in range(self.listeners)]
        self.log_file = folder / "service.log"
        defaults: dict[str, str | int] = {
            "spool_path": str(folder / "spool"),
            "spool_min_free_bytes": 0,
            "spool_high_water": 1.0,
            "listener_port": self.dicom_port,
            "listener_metrics_port": self.listener_ports[0],
            "worker_metrics_port": self.worker_port,
            "worker_decode_processes": 1,
            "sweep_metrics_port": self.sweep_port,
            "sweep_interval_s": 2,
            "web_port": self.web_port,
            "redis_socket_path": str(self._short / "redis.sock"),
            "models_path": str(models),
            "models_allow_demo": "true",
        }
        values = {**defaults, **settings}
        ours = {f"TRIAGE_{name}".upper(): str(value) for name, value in values.items()}
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
        self.environment = {**theirs, **ours}
        self._limits = limits
        self._options = ["--config", str(config)] if config else []
        self.program = TRIAGE
        self.start_s = 120.0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._short, ignore_errors=True)

    # The process.

    def start(self) -> None:
        """Start it and wait until every process says that it is ready."""
        with self.log_file.open("ab") as log:
            command = ["sh", "-c", f'{self._limits}; exec "$0" "$@"', str(self.program), *self._options, "up"]
            self._process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        for port in self.ports:
            wait_for(
                lambda port=port: self._ended() or status_of(port, "/readyz") == 200, f"/readyz of {port}", self.start_s
            )
            assert not self._ended(), self.log()

    def stop(self) -> int:
        """SIGTERM; the exit status, once everything that belongs to it has ended."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(_STOP_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> None:
        """SIGTERM without waiting for the end."""
        assert self._process is not None
        self._process.terminate()

    @property
    def pid(self) -> int:
        """The process of `triage up`."""
        assert self._process is not None
        return self._process.pid

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def log(self) -> str:
        """What it logged so far."""
        return self.log_file.read_text(errors="replace")

    # What it knows.

    @property
    def ports(self) -> list[int]:
        """The HTTP port of every process."""
        return [*self.listener_ports, self.worker_port, self.sweep_port, self.web_port]

    @property
    def spool(self) -> Spool:
        return Spool(Path(self.environment["TRIAGE_SPOOL_PATH"]))

    @property
    def redis_url(self) -> str:
        return f"unix://{self.environment['TRIAGE_REDIS_SOCKET_PATH']}"

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of ``GET path`` of the web process."""
        status, body = fetch(self.web_port, path)
        return status, json.loads(body)

    def pages(self, limit: int) -> list[list[dict[str, Any]]]:
        """The worklist in reading order, page by page along the cursors."""
        pages, cursor = [], ""
        while True:
            status, page = self.get(f"/api/worklist?limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
            assert status == 200, page
            pages.append(page["entries"])
            cursor = page["next_cursor"] or ""
            if not cursor:
                return pages

    def worklist(self) -> dict[str, dict[str, Any]]:
        """Every entry of the worklist, in reading order, by Study Instance UID."""
        return {entry["study_instance_uid"]: entry for page in self.pages(500) for entry in page}

    def tagged(self, *studies: str) -> dict[str, dict[str, Any]]:
        """The entries of ``studies`` once everything that was received is tagged."""

        def entries() -> dict[str, dict[str, Any]]:
            if any(self.spool.waiting()):
                return {}
            listed = self.worklist()
            return {uid: listed[uid] for uid in studies} if set(studies) <= listed.keys() else {}

        return wait_for(entries, f"{len(studies)} studies to be tagged", 180.0)

    def images(self, study: str) -> list[dict[str, Any]]:
        """The assessments of a study's images, as they lie in the spool."""
        return self.spool.assessments(study)

    def metrics(self, port: int) -> str:
        """/metrics of one process."""
        status, body = fetch(port, "/metrics")
        assert status == 200
        return body

    def counted(self, name: str, **labels: str) -> float:
        """The sum over all listeners and the worker of the samples of ``name`` that carry ``labels``."""
        return sum(
            float(line.rsplit(" ", 1)[1])
            for port in (*self.listener_ports, self.worker_port)
            for line in self.metrics(port).splitlines()
            if line.startswith((f"cxr_triage_{name}{{", f"cxr_triage_{name} "))
            and all(f'{label}="{value}"' in line for label, value in labels.items())
        )

    # The commands.

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`triage ARGUMENTS` with this service's settings."""
        done = subprocess.run(
            [TRIAGE, *map(str, arguments)], env=self.environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def predictions(self, *files: Path) -> list[dict[str, Any]]:
        """What `triage predict` says of ``files``."""
        return [json.loads(line) for line in self.run("predict", *files).stdout.splitlines()]


def fetch(port: int, path: str) -> tuple[int, str]:
    """Status and body of ``GET path`` on a port of this machine; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def status_of(port: int, path: str) -> int:
    """The status of ``GET path``; 0 where nobody answers."""
    return fetch(port, path)[0]
