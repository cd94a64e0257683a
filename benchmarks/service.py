"""A real `triage up` in a folder of its own, on free ports, for benchmarks to measure."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

os.environ.setdefault("OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER", "0")  # as `triage`; OpenCV is loaded after this
ROOT = Path(__file__).parent.parent
_START_S = 180.0


@dataclass(frozen=True)
class Ports:
    """Ports of the service, all on loopback."""

    dicom: int
    web: int
    listener_metrics: int
    worker_metrics: int
    sweep_metrics: int


class Service:
    """Context in which every process is up and ready; at its end they are stopped and their files removed."""

    def __init__(self, **settings: str) -> None:
        self._settings = settings
        # Short, because the embedded Redis has its socket there; on the disk of the repository, not in memory.
        self.folder = Path(tempfile.mkdtemp(prefix="cxr-bench-", dir=os.environ.get("BENCH_FOLDER")))
        self.ports = Ports(*free_ports(5))
        self.url = f"http://127.0.0.1:{self.ports.web}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "triage.cli", "up"]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, env=self._environment(), cwd=ROOT, stderr=log, stdout=log)
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop()
        if error is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            sys.stderr.write(f"the service's log is in {self.folder}/log\n")

    def _environment(self) -> dict[str, str]:
        # Only the settings of models are taken from the environment: others are defaults or the benchmark's.
        without_ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TRIAGE_") or name.startswith("TRIAGE_MODELS_")
        }
        return (
            {"TRIAGE_MODELS_ALLOW_DEMO": "true"}
            | without_ours
            | {
                "TRIAGE_SPOOL_PATH": str(self.folder / "spool"),
                "TRIAGE_REDIS_SOCKET_PATH": str(self.folder / "redis.sock"),
                "TRIAGE_LISTENER_PORT": str(self.ports.dicom),
                "TRIAGE_WEB_PORT": str(self.ports.web),
                "TRIAGE_LISTENER_METRICS_PORT": str(self.ports.listener_metrics),
                "TRIAGE_WORKER_METRICS_PORT": str(self.ports.worker_metrics),
                "TRIAGE_SWEEP_METRICS_PORT": str(self.ports.sweep_metrics),
                "TRIAGE_LOG_LEVEL": "WARNING",
                **self._settings,
            }
        )

    def _wait(self) -> None:
        metrics = (self.ports.listener_metrics, self.ports.worker_metrics, self.ports.sweep_metrics)
        addresses = [f"http://127.0.0.1:{port}/readyz" for port in (self.ports.web, *metrics)]
        deadline = time.monotonic() + _START_S
        while waiting := [address for address in addresses if not _ready(address)]:
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise SystemExit(f"the service did not become ready: {', '.join(waiting)}\n{log}")
            time.sleep(0.2)

    def _stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table for a terminal."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [headings, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def percentile(values: list[float], fraction: float) -> float:
    """Return the smallest of ``values`` that at least ``fraction`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-fraction * len(ordered) // 1) - 1))]


def load() -> str:
    """Return the machine's number of cores and its load average of the last minute, as text."""
    return f"; {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"


def free_ports(count: int) -> list[int]:
    """Return loopback ports that were free a moment ago."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
