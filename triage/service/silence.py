"""Silent installation: record in spool and audit trail when decision.silent changes."""

from __future__ import annotations

import logging
import time

from triage.errors import StartError
from triage.metrics.worker import WorkerMetrics
from triage.security.audit_trail import AuditError, note_configuration
from triage.service.access import trail_for
from triage.settings.schema import Settings
from triage.spool.silence import silent_since, switch
from triage.spool.store import Store

logger = logging.getLogger(__name__)

_DAY_S = 24 * 3600.0


def begin(settings: Settings, spool: Store, metrics: WorkerMetrics) -> None:
    """Switch silence on or off as the settings say, and export it.

    An audit trail that cannot be written is logged and stops no scoring.
    """
    silent = settings.decision.silent
    if switch(spool, silent, time.time(), lambda: _record(settings, silent)):
        logger.warning("decision.silent is now %s: %s", str(silent).lower(), _MEANS[silent])
    since = silent_since(spool)
    metrics.silent.set(since is not None)
    metrics.silent_until.set(0.0 if since is None else since + settings.decision.silent_days * _DAY_S)


_MEANS = {
    True: "studies that begin from here on are scored and recorded, and neither listed, raised nor delivered",
    False: "studies that begin from here on are listed and delivered",
}


def _record(settings: Settings, silent: bool) -> None:
    if not (settings.sign_in.method or settings.audit.always):
        return
    try:
        trail = trail_for(settings, "triage work")
        note_configuration(trail, "decision.silent", f"{str(silent).lower()}: {_MEANS[silent]}")
    except (AuditError, StartError) as error:
        logger.error("audit: that decision.silent changed could not be written (%s): record it by hand", error)
