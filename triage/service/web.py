"""`triage web`: serve the worklist page and the API until SIGTERM."""

from __future__ import annotations

from triage.service.running import running
from triage.settings.schema import Settings
from triage.spool.spool import Spool


def web(settings: Settings, spool: Spool, redis_url: str) -> None:
    """Serve the worklist until SIGTERM."""
    from triage.web.server import run

    run(
        settings.web,
        waiting_cap_s=settings.worklist.waiting_cap_s,
        spool=spool,
        redis_url=redis_url,
        redis_timeout_s=settings.redis.timeout_s,
        low=settings.decision.lower_normal,
        sign_in=settings.sign_in,
        audit=settings.audit,
        oidc=settings.oidc,
        show_maps=settings.web.activation_map,
        running=running(settings),
    )
