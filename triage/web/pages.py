"""The page that a browser shows: by its address the list, a study or the state of the service."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from triage.web.http import static

_PAGE = Path(__file__).parent / "page"


def routes() -> list[Route]:
    """Return the routes of the page. They hold no data: the API provides that, to callers with access."""
    return [
        Route("/", _page),
        Route("/studies/{study_instance_uid}", _page),
        Route("/operations", _page),
        Route("/locked", partial(_page, name="locked.html")),
        Route("/adjudication", partial(_page, name="adjudication.html")),
        Route("/favicon.ico", _no_icon),
        static.files(_PAGE, static.SHARED),
    ]


async def _page(request: Request, name: str = "page.html") -> Response:
    # Relative addresses, so that the page works below any path of a reverse proxy.
    up = "../" * (request.url.path.count("/") - 1)
    content = Template((_PAGE / name).read_text(encoding="utf-8")).substitute(up=up)
    return Response(content, media_type="text/html")


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)  # browsers request it, and would log an error
