"""The models, loaded as a worker loads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triage.errors import StartError
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.service.models import load_sessions, not_loaded
from triage.settings.schema import Settings
from triage.spool.spool import Spool


def check_models(settings: Settings) -> Iterator[CheckResult]:
    """Each is loaded and run once. Takes seconds, and the time-outs of the worker at most."""
    try:
        sessions = load_sessions(settings)
    except StartError as error:
        yield failed("models", str(error))
        return
    spool = Spool(settings.spool.path)
    off = spool.model_switches.disabled() if spool.exists() else frozenset()
    missing = not_loaded(sessions)
    for name, session in sessions.items():
        yield _of(f"model {name}", session, name in missing, name in off)
    if not any(name not in settings.models.shadow for name in sessions):
        yield warning("models", "none is in service: every study is NOT_ASSESSED (triage model)")


def _of(what: str, session: Any, missing: bool, off: bool) -> CheckResult:
    if missing:
        return failed(what, f"cannot be loaded ({session.why}): its images are NOT_ASSESSED until it is mended")
    if off:
        return warning(what, "loads, and is switched off (triage model NAME --enable)")
    return ok(what, "loads and runs")
