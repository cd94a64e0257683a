"""Check the models by loading them as a worker does."""

from __future__ import annotations

from collections.abc import Iterator

from triage.errors import StartError
from triage.model.remote_session import PROVIDER
from triage.model.serving_range import holes
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.service.models import load_failures, load_sessions
from triage.settings.schema import Settings
from triage.spool.spool import Spool


def check_models(settings: Settings) -> Iterator[CheckResult]:
    """Load and run each model once, or ask its server; takes seconds, and the time-outs of the worker at most."""
    try:
        sessions = load_sessions(settings)
    except StartError as error:
        yield failed("models", str(error))
        return
    spool = Spool(settings.spool.path)
    off = spool.model_switches.disabled() if spool.exists() else frozenset()
    causes = load_failures(sessions)
    for name, session in sessions.items():
        works = "its server gives the known answers" if session.provider == PROVIDER else "loads and runs"
        yield _finding(f"model {name}", works, causes.get(name), name in off)
    in_service = [session.card for name, session in sessions.items() if name not in settings.models.shadow]
    for hole in holes(in_service) if in_service else ():
        yield ok("models", f"not served: {hole}")
    if not in_service:
        yield warning("models", "none is in service: every study is NOT_ASSESSED (triage model)")


def _finding(subject: str, works: str, load_failure: str | None, off: bool) -> CheckResult:
    if load_failure is not None:
        return failed(subject, f"cannot be used ({load_failure}): its images are NOT_ASSESSED until it is repaired")
    if off:
        return warning(subject, f"{works}, and is switched off (triage model NAME --enable)")
    return ok(subject, works)
