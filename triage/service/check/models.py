"""Check the models by loading them as a worker does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from triage.errors import StartError
from triage.model.remote_session import PROVIDER
from triage.model.serving_range import holes
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.service.models import load_failures, load_sessions
from triage.service.operating_points import points_file
from triage.service.store import store_address
from triage.settings.schema import Settings
from triage.spool.open_store import store_at

if TYPE_CHECKING:
    from triage.model.card import ModelCard


def check_models(settings: Settings) -> Iterator[CheckResult]:
    """Load and run each model once, or ask its server; takes seconds, and the time-outs of the worker at most."""
    try:
        sessions = load_sessions(settings)
    except StartError as error:
        yield failed("models", str(error))
        return
    spool = store_at(store_address(settings))
    off = spool.model_switches.disabled() if spool.exists() else frozenset()
    causes = load_failures(sessions)
    for name, session in sessions.items():
        works = "its server gives the known answers" if session.provider == PROVIDER else "loads and runs"
        yield _finding(f"model {name}", works, causes.get(name), name in off)
    yield from _points(settings, {name: session.card for name, session in sessions.items()})
    in_service = [session.card for name, session in sessions.items() if name not in settings.models.shadow]
    for hole in holes(in_service) if in_service else ():
        yield ok("models", f"not served: {hole}")
    if not in_service:
        yield warning("models", "none is in service: every study is NOT_ASSESSED (triage model)")


def _points(settings: Settings, cards: Mapping[str, ModelCard]) -> Iterator[CheckResult]:
    """Yield what is in force of the operating points of the site, and which of them have expired."""
    if settings.models.operating_points is None:
        return
    now = time.time()
    points = points_file(settings.models, cards).points.points
    expired = [each.name for each in points if each.expires_at is not None and each.expires_at <= now]
    if expired:
        yield warning("operating points", f"{', '.join(expired)} expired: the points of their parents are in force")
    yield ok("operating points", f"{len(points) - len(expired)} in force")


def _finding(subject: str, works: str, load_failure: str | None, off: bool) -> CheckResult:
    if load_failure is not None:
        return failed(subject, f"cannot be used ({load_failure}): its images are NOT_ASSESSED until it is repaired")
    if off:
        return warning(subject, f"{works}, and is switched off (triage model NAME --enable)")
    return ok(subject, works)
