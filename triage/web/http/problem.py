"""An error as the API says it: what is wrong and what to do, never a page of HTML."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse


def problem(status: int, error: str) -> JSONResponse:
    """The answer."""
    return JSONResponse({"error": error}, status_code=status)


def gone(request: Request, error: Exception) -> JSONResponse:
    """The answer to who went away before all of a request was here: nobody hears it, and it is no error of ours."""
    return problem(400, "the request was not whole")
