"""Scripts and styles of the pages, from the folders that hold them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from triage.web.http.middleware import SECURITY_HEADERS

SHARED = Path(__file__).parents[1] / "shared"
"""Files that the pages share: style, image canvas, requests to the server."""

PAGE_HEADERS = {
    **SECURITY_HEADERS,
    # Scripts, styles and data of this server only, and nothing inline.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_KINDS = {".js": "text/javascript", ".css": "text/css"}


def files(*folders: Path) -> Route:
    """Return the route that serves the scripts and styles of ``folders``."""
    return Route("/page/{name}", partial(_file, folders))


def html(path: Path) -> Response:
    """Return a page from its file."""
    return Response(path.read_bytes(), media_type="text/html")


async def _file(folders: tuple[Path, ...], request: Request) -> Response:
    # Only files in the folders, by name: the request never becomes a path.
    found = {path.name: path for folder in folders for path in folder.iterdir() if path.suffix in _KINDS}
    name = request.path_params["name"]
    if name not in found:
        raise HTTPException(404, "no such file")
    return Response(found[name].read_bytes(), media_type=_KINDS[found[name].suffix])
