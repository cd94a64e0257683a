"""An error as the API says it: what is wrong and what to do, never a page of HTML."""

from __future__ import annotations

from starlette.responses import JSONResponse


def problem(status: int, error: str) -> JSONResponse:
    """The answer."""
    return JSONResponse({"error": error}, status_code=status)
