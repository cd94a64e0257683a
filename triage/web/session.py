"""Who asks, as the page wants to know it."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from triage.web.access import user_of


def routes(sign_in: str) -> list[Route]:
    """The address that says who has signed in, and how: ``off``, ``proxy`` or ``users``."""
    return [Route("/api/me", partial(_me, sign_in))]


async def _me(sign_in: str, request: Request) -> JSONResponse:
    user = user_of(request)
    return JSONResponse({"name": user.name, "role": user.role, "sign_in": sign_in})
