"""Check the routes of paging by connecting to them. No page is sent."""

from __future__ import annotations

from collections.abc import Iterator

from triage.paging.route import NotTakenError
from triage.service.check.finding import CheckResult, failed, ok
from triage.service.paging import routes_of
from triage.settings.schema import Settings


def check_paging(settings: Settings) -> Iterator[CheckResult]:
    """Check every route of every rota; one that hangs takes its time-out."""
    if not settings.paging.on:
        yield ok("paging", "off (paging.after_minutes): no rota is told of studies that no reader opens")
        return
    for rota, routes in routes_of(settings).items():
        for route in routes:
            subject = f"paging, {rota} rota, {route.name}"
            try:
                route.reach()
            except NotTakenError as error:
                yield failed(subject, f"{error}: see the sections paging and smtp of the settings")
            else:
                yield ok(subject, f"reached; triage paging --test {rota} sends it a test page")
