"""Addresses of the readiness of each process."""

from __future__ import annotations

from triage.settings.schema import Settings

PROCESSES = ("listen", "work", "sweep", "deliver", "reports", "web")


def ready_addresses(settings: Settings, process: str | None) -> list[str]:
    """Return the addresses of ``/readyz``: of one kind of process, or of all of `triage up`; none for port 0."""
    reports, deliver = settings.reports, settings.deliver
    # One that is started by itself (a unit, a container) is alone unless the settings name a number.
    listeners = settings.listener.process_count if process is None else settings.listener.processes
    ports = {
        "listen": (settings.listener.metrics_host, settings.listener.metrics_port, listeners),
        "work": (settings.worker.metrics_host, settings.worker.metrics_port, settings.worker.processes),
        "sweep": (settings.sweep.metrics_host, settings.sweep.metrics_port, 1),
        "deliver": (
            deliver.metrics_host,
            deliver.metrics_port,
            int(bool(settings.channels.enabled())),
        ),
        "reports": (reports.metrics_host, reports.metrics_port, int(bool(reports.port))),
        "web": (settings.web.host, settings.web.port, 1),
    }
    wanted = [max(1, count) if name == process else count for name, (_, _, count) in ports.items()]
    return [
        f"http://{_reached(host)}:{nth_port(first, index)}/readyz"
        for (name, (host, first, _)), count in zip(ports.items(), wanted, strict=True)
        if process in (None, name) and first
        for index in range(count)
    ]


def nth_port(first: int, index: int) -> int:
    """Return the port of the process ``index`` of its kind; 0, any port, stays 0."""
    return first + index if first else 0


def _reached(host: str) -> str:
    """Return the address at which a process is reached that listens on ``host``; loopback for every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
