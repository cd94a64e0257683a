"""What a browser sees: one page, that shows the list, a study or the state of the service by its address."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from triage.web.http import static

_PAGE = Path(__file__).parent / "page"


def routes() -> list[Route]:
    """The page's addresses. They hold no data: that comes from the API, to who may see it."""
    return [
        Route("/", _page),
        Route("/studies/{study_instance_uid}", _page),
        Route("/operations", _page),
        Route("/favicon.ico", _no_icon),
        static.files(_PAGE, static.SHARED),
    ]


async def _page(request: Request) -> Response:
    return static.html(_PAGE / "page.html")


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)  # browsers ask, and would log an error
