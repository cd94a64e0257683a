"""Run all checks of `triage check`, in the order in which a person would repair what fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from os import defpath

from triage.runtime.logs import where_raised
from triage.service.access import shared_by_hosts
from triage.service.check import (
    certificates,
    destinations,
    machine,
    models,
    paging,
    places,
    plugins,
    redis_server,
    sign_in,
    silence,
    store,
)
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.service.store import store_address
from triage.settings.load import Loaded
from triage.settings.schema import Settings
from triage.spool.cluster.address import ClusterAddress

logger = logging.getLogger(__name__)

Check = Callable[[], Iterable[CheckResult]]


def check_everything(loaded: Loaded, environment: Mapping[str, str]) -> Iterator[CheckResult]:
    """Yield each finding as soon as it is known."""
    settings = loaded.settings
    yield ok("settings", f"from {loaded.source}; data in {loaded.data}")
    for note in loaded.notes:
        yield warning("settings", note)
    checks: dict[str, Check] = {
        **_store_checks(settings),
        "clock": partial(machine.check_clock, store_address(settings)),
        "sizing": partial(machine.check_sizing, settings),
        "sign-in": partial(sign_in.check_sign_in, settings),
        **_access_checks(settings),
        "redis": partial(redis_server.check_redis, settings.redis, environment.get("PATH", defpath)),
        "certificates": partial(certificates.check_certificates, settings, time.time()),
        "plug-ins": partial(plugins.check_plugins, settings.plugins),
        "destinations": partial(destinations.check_destinations, settings.channels, settings.plugins),
        "paging": partial(paging.check_paging, settings),
        "models": partial(models.check_models, settings),
        "silence": partial(silence.check_silence, settings.decision),
    }
    for subject, check in checks.items():
        yield from _guarded(subject, check)


def _store_checks(settings: Settings) -> dict[str, Check]:
    address = store_address(settings)
    if isinstance(address, ClusterAddress):
        return {"store": partial(store.check_cluster, address, settings.spool)}
    return {
        "spool": partial(places.check_spool, address),
        "disk": partial(machine.check_disk, settings.spool),
    }


def _access_checks(settings: Settings) -> dict[str, Check]:
    sign_in, audited = settings.sign_in, bool(settings.sign_in.method or settings.audit.always)
    if settings.store.kind != "files":
        return {"users": partial(_check_shared_access, settings, audited)}
    return {
        "users": partial(places.check_users, sign_in, settings.oidc.local_users),
        "audit trail": partial(places.check_audit_trail, settings.audit, bool(sign_in.method)),
    }


def _check_shared_access(settings: Settings, audited: bool) -> Iterator[CheckResult]:
    database = shared_by_hosts(settings)
    assert database is not None
    yield from places.check_shared_access(database, settings.sign_in, audited)
    if audited and settings.audit.copy_to_file:
        yield from places.check_audit_trail(settings.audit, True)


def _guarded(subject: str, check: Check) -> Iterator[CheckResult]:
    """Run one check; an error in it must not end the others."""
    try:
        yield from check()
    except Exception as error:
        logger.debug("%s", subject, exc_info=error)
        yield failed(subject, f"could not be checked ({where_raised(error)}): report it with log.level = DEBUG")
