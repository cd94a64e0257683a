"""How many files and sockets this process may have open, and whether that is enough."""

from __future__ import annotations

import resource

_ALWAYS = 64  # libraries, Redis, logs, metrics, folders


def shortage_of_descriptors(needed: int, what: str) -> str:
    """Raise our limit to what is ``needed``, as far as the system lets us; what is wrong if that is too little, or "".

    ``what`` names the setting that needs them.
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
        f"this process may open {soft} files and sockets, and {what} may need {wanted}: raise the limit (ulimit -n, "
        "LimitNOFILE of systemd, --ulimit nofile of Docker); until then connections beyond it wait or are refused"
    )
