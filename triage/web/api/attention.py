"""Calls for a reader: unread studies of priority HIGH, alarms of paging, and the icon with the count."""

from __future__ import annotations

from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.web.api.paging_state import paging_state
from triage.web.api.sources import Sources
from triage.worklist.worklist import AWAY

_AT_MOST = 500
_COUNT_AT_MOST = 99
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="6" fill="#16191d"/>'
    '<path d="M16 5v21M9 9c-4 4-4 12-3 16M23 9c4 4 4 12 3 16M9 15h14M9 20h14" fill="none" stroke="#7cc4ff" '
    'stroke-width="2.4" stroke-linecap="round"/>{badge}</svg>'
)
_BADGE = (
    '<rect x="{x}" y="13" width="{width}" height="19" rx="6" fill="#d3321b"/><text x="{middle}" y="28" fill="#fff" '
    'font-family="system-ui,sans-serif" font-size="16" font-weight="700" text-anchor="middle">{count}</text>'
)


def routes(sources: Sources) -> list[Route]:
    """Return the routes of the count and of the icon."""
    return [
        Route("/api/attention", partial(_attention, sources)),
        Route("/api/unread-high", partial(_unread_high, sources)),
        Route("/icon/{unread}", _icon),
    ]


def _attention(sources: Sources, request: Request) -> JSONResponse:
    """Return the number of unread HIGH studies, the UIDs of up to so many, and the state of paging."""
    try:
        unread, studies = sources.worklist.unread_high(_AT_MOST)
    except AWAY:
        unread, studies = None, ()
    return JSONResponse({"unread_high": unread, "studies": list(studies), "paging": paging_state(sources)})


def _unread_high(sources: Sources, request: Request) -> JSONResponse:
    """Return the number alone, for pages without the list, and for one that is locked."""
    try:
        unread, _ = sources.worklist.unread_high(1)
    except AWAY:
        unread = None
    return JSONResponse({"unread_high": unread})


async def _icon(request: Request) -> Response:
    text = request.path_params["unread"]
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise HTTPException(404, "the icon has a number")
    return Response(icon(int(text)), media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


def icon(unread: int) -> str:
    """Return the icon of the page as SVG, with a badge if ``unread`` is above 0."""
    if not unread:
        return _ICON.format(badge="")
    count = str(unread) if unread <= _COUNT_AT_MOST else f"{_COUNT_AT_MOST}+"
    width = 10 + 7 * len(count)
    return _ICON.format(badge=_BADGE.format(x=32 - width, width=width, middle=32 - width / 2, count=count))
