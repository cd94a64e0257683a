"""Units of systemd: one for all processes together, and one for each process."""

from __future__ import annotations

from triage.errors import EXIT_CANNOT_START

ALL = "cxr-triage.service"
APART = "cxr-triage-processes.target"
_PROCESSES = {
    "listen": "receives radiographs over DICOM",
    "work": "scores them",
    "sweep": "repairs what a crash left",
    "deliver": "hands results over",
    "reports": "receives messages of studies that were read",
    "web": "serves the worklist",
}

_UNIT = """[Unit]
Description=cxr-triage {description}
Documentation=man:triage(1) file:///usr/share/doc/cxr-triage/how-to/runbook.md.gz
After=network-online.target{after}
Wants=network-online.target
{relations}
# Ten starts in ten minutes and it stays down; what a person has to put right (status {cannot_start}) is tried once.
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
Type=exec
{start}Restart=on-failure
RestartSec=5
RestartPreventExitStatus={cannot_start}
KillMode=mixed
TimeoutStopSec={stop_s}
User=cxr-triage
Group=cxr-triage
UMask=0077
StateDirectory=cxr-triage
StateDirectoryMode=0700
WorkingDirectory=/var/lib/cxr-triage
Environment=TRIAGE_CONFIG=/etc/cxr-triage/triage.toml ORT_DISABLE_TELEMETRY=1 HOME=/var/lib/cxr-triage

# It writes below its state folder and speaks IP. A spool elsewhere: ReadWritePaths= in a drop-in (systemctl edit).
{hardening}
[Install]
WantedBy={wanted_by}
"""

_HARDENING = """AmbientCapabilities=
CapabilityBoundingSet=
DevicePolicy=closed
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies={families}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
"""

_TARGET = """[Unit]
Description=cxr-triage, each process a unit of its own
Documentation=man:triage(1)
Conflicts={all}
Wants={wanted}

[Install]
WantedBy=multi-user.target
"""

_TRIAGE = "/usr/lib/cxr-triage/bin/triage"
_IP = "AF_UNIX AF_INET AF_INET6"


def units() -> dict[str, str]:
    """Return every unit by its file name."""
    apart = {f"cxr-triage-{name}.service": _single(name, task) for name, task in _PROCESSES.items()}
    # reports does not start before a port is set for it: it is enabled by hand.
    wanted = ["cxr-triage-redis.service", *(name for name in apart if "reports" not in name)]
    target = _TARGET.format(all=ALL, wanted=" ".join(wanted))
    return {ALL: _combined(), APART: target, "cxr-triage-redis.service": _redis(), **apart}


def _unit(**parts: object) -> str:
    return _UNIT.format(cannot_start=EXIT_CANNOT_START, **parts)


def _combined() -> str:
    return _unit(
        description="(every process, with a Redis of its own)",
        after="",
        relations=f"Conflicts={APART} cxr-triage-redis.service",
        start=_start("up", "all"),
        stop_s=180,
        hardening=_HARDENING.format(families=_IP),
        wanted_by="multi-user.target",
    )


def _single(name: str, task: str) -> str:
    return _unit(
        description=f"{name}: {task}",
        after=" cxr-triage-redis.service",
        relations=f"PartOf={APART}\nConflicts={ALL}",
        start=_start(name, name),
        stop_s=90,
        hardening=_HARDENING.format(families=_IP),
        wanted_by=APART,
    )


def _redis() -> str:
    server = "exec $$(command -v redis-server || command -v valkey-server) /etc/cxr-triage/redis.conf"
    return _unit(
        description="redis: queue and worklist, on a private socket",
        after="",
        relations=f"PartOf={APART}\nConflicts={ALL}",
        start=f"ExecStartPre=/usr/bin/install -d -m 0700 /var/lib/cxr-triage/redis\nExecStart=/bin/sh -c '{server}'\n",
        stop_s=60,
        hardening="PrivateNetwork=yes\n" + _HARDENING.format(families="AF_UNIX"),
        wanted_by=APART,
    )


def _start(command: str, process: str) -> str:
    """Return the start lines: the unit is started when its process is ready, or after 60 s of waiting for peers."""
    ready = f"ExecStartPost=-{_TRIAGE} healthcheck --process {process} --wait 60"
    return f"ExecStart={_TRIAGE} {command}\n{ready}\n"
