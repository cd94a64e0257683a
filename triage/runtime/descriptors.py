"""The limit of open files and sockets of this process."""

from __future__ import annotations

import resource

_ALWAYS = 64  # libraries, Redis, logs, metrics, folders


def shortage_of_descriptors(needed: int, setting: str) -> str:
    """Raise the limit to ``needed`` and a reserve, and return a warning if the system permits too few, else "".

    ``setting`` names the setting that needs them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + _ALWAYS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ""
    return (
        f"this process may open {soft} files and sockets, and {setting} may need {wanted}: raise the limit (ulimit -n, "
        "LimitNOFILE of systemd, --ulimit nofile of Docker); until then connections beyond it wait or are refused"
    )
