"""All that `triage check` tries, in the order in which a person would mend it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from os import defpath

from triage.runtime.logs import where_raised
from triage.service.check import certificates, destinations, machine, models, places, redis_server, sign_in, silence
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.settings.load import Loaded

logger = logging.getLogger(__name__)

Look = Callable[[], Iterable[CheckResult]]


def check_everything(loaded: Loaded, environment: Mapping[str, str]) -> Iterator[CheckResult]:
    """What is found, each as soon as it is known."""
    settings = loaded.settings
    yield ok("settings", f"from {loaded.source}; data in {loaded.data}")
    for note in loaded.notes:
        yield warning("settings", note)
    looks: dict[str, Look] = {
        "spool": partial(places.check_spool, settings.spool.path),
        "disk": partial(machine.check_disk, settings.spool),
        "clock": partial(machine.check_clock, settings.spool.path),
        "sizing": partial(machine.check_sizing, settings),
        "sign-in": partial(sign_in.check_sign_in, settings),
        "users": partial(places.check_users, settings.sign_in, settings.oidc.local_users),
        "audit trail": partial(places.check_audit_trail, settings.audit, bool(settings.sign_in.method)),
        "redis": partial(redis_server.check_redis, settings.redis, environment.get("PATH", defpath)),
        "certificates": partial(certificates.check_certificates, settings, time.time()),
        "destinations": partial(destinations.check_destinations, settings.channels),
        "models": partial(models.check_models, settings),
        "silence": partial(silence.check_silence, settings.decision),
    }
    for what, look in looks.items():
        yield from _guarded(what, look)


def _guarded(what: str, look: Look) -> Iterator[CheckResult]:
    """One that cannot be done must not keep the others from being done."""
    try:
        yield from look()
    except Exception as error:
        logger.debug("%s", what, exc_info=error)
        yield failed(what, f"could not be looked at ({where_raised(error)}): report it with log.level = DEBUG")
