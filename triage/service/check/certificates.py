"""Check our certificates, and lists of revoked ones: can they be used, and until when."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

from triage.dicom.certificates import not_after
from triage.dicom.tls import ServerTLS
from triage.errors import StartError
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.settings.schema import Settings

SOON_S = 14 * 86400.0
"""As the alert CxrTriageCertificateExpires has it."""


def check_certificates(settings: Settings, now: float) -> Iterator[CheckResult]:
    """Check the certificates of our ports, then those of our clients; ``now`` in POSIX seconds."""
    listener, reports = settings.listener, settings.reports
    if listener.tls_port is not None and listener.tls_certificate and listener.tls_key:
        files = (listener.tls_certificate, listener.tls_key, listener.tls_client_ca, listener.tls_client_crl)
        yield from _port("listener", files, now)
    if reports.port and reports.tls_certificate:
        key = reports.tls_key or reports.tls_certificate
        yield from _port("reports", (reports.tls_certificate, key, reports.tls_client_ca, reports.tls_client_crl), now)
    for subject, path in _shown(settings):
        yield _file(subject, path, now)


def _shown(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the certificates that we show as a client; a key that does not fit fails where it is used."""
    if settings.client.tls_certificate:
        yield "certificate of client", settings.client.tls_certificate
    for each in settings.channels.enabled():
        if path := getattr(each, "tls_certificate", None):
            yield f"certificate for {each.name}", path


def _port(section: str, files: tuple[Path, Path, Path | None, Path | None], now: float) -> Iterator[CheckResult]:
    subject = f"certificate of {section}"
    try:
        tls = ServerTLS(*files, section)
    except StartError as error:
        yield failed(subject, str(error))
        return
    yield _until(subject, files[0], tls.not_after(), now)
    if files[3] is not None and tls.next_update() != math.inf:
        yield _until(f"revoked certificates of {section}", files[3], tls.next_update(), now, soon_s=4 * 3600.0)


def _file(subject: str, path: Path, now: float) -> CheckResult:
    try:
        return _until(subject, path, not_after(path), now)
    except (OSError, ValueError) as error:
        return failed(subject, str(error))


def _until(subject: str, path: Path, end: float, now: float, soon_s: float = SOON_S) -> CheckResult:
    day = time.strftime("%Y-%m-%d", time.gmtime(end))
    if end <= now:
        return failed(subject, f"{path} expired on {day}: renew it; nothing has to be restarted")
    if end - now < soon_s:
        return warning(subject, f"{path} expires on {day}: renew it; nothing has to be restarted")
    return ok(subject, f"{path} is valid until {day}")
