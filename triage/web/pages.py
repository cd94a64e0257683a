"""The page that a browser shows: by its address the list, a study or the state of the service."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from triage.web.http import static
from triage.web.languages import filled, language_of

_PAGE = Path(__file__).parent / "page"


def routes(language: str) -> list[Route]:
    """Return the routes of the page. They hold no data: the API provides that, to callers with access.

    ``language``: the setting, for users who have chosen none.
    """
    page = partial(_page, language)
    return [
        Route("/", page),
        Route("/studies/{study_instance_uid}", page),
        Route("/operations", page),
        Route("/locked", partial(page, name="locked.html")),
        Route("/adjudication", partial(page, name="adjudication.html")),
        Route("/favicon.ico", _no_icon),
        static.files(_PAGE, static.SHARED),
    ]


async def _page(setting: str, request: Request, name: str = "page.html") -> Response:
    # Relative addresses, so that the page works below any path of a reverse proxy.
    up = "../" * (request.url.path.count("/") - 1)
    content = filled(_PAGE / name, language_of(request, setting), {"up": up})
    return Response(content, media_type="text/html", headers={"Vary": "Accept-Language, Cookie"})


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)  # browsers request it, and would log an error
