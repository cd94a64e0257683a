"""Files of a systemd service for the bundle: those of the Debian package, and the user without Debian's tools."""

from __future__ import annotations

from pathlib import Path

from release.completion import bash_completion
from release.man_pages import man_pages
from release.systemd_units import units

_DEBIAN = Path(__file__).parent / "debian"
_USER = 'u cxr-triage - "cxr-triage" /var/lib/cxr-triage\n'
# Destinations have secrets: the settings are readable to the service alone.
_MODES = """d /var/lib/cxr-triage 0700 cxr-triage cxr-triage
z /etc/cxr-triage/triage.toml 0640 root cxr-triage
"""


def service_files(version: str, when: int) -> dict[str, str]:
    """Return every file by its name in the bundle's folder ``service``; ``when`` is in seconds since 1970."""
    from triage.cli import triage

    texts = {name: (_DEBIAN / name).read_text() for name in ("triage.toml", "redis.conf", "triage.sh")}
    texts |= {"logrotate": (_DEBIAN / "cxr-triage.logrotate").read_text(), "sysusers": _USER, "tmpfiles": _MODES}
    texts |= {"completion": bash_completion(triage)}
    texts |= {f"man/{name}": page for name, page in man_pages(triage, "triage", version, when).items()}
    return texts | units()
