"""What a browser sees: one page, that shows the list, a study or the state of the service by its address."""

from __future__ import annotations

from pathlib import Path
from string import Template

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
    # Relative addresses, so that it is whole below any path at which a reverse proxy shows it.
    up = "../" * (request.url.path.count("/") - 1)
    content = Template((_PAGE / "page.html").read_text(encoding="utf-8")).substitute(up=up)
    return Response(content, media_type="text/html")


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)  # browsers ask, and would log an error
