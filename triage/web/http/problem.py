"""Error responses: a JSON object that says what is wrong and what to do, never a page of HTML."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

ExceptionHandler = Callable[[Request, Exception], Response | Awaitable[Response]]


def problem(status: int, error: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error response."""
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def exception_handlers(process: str, headers: Mapping[str, str]) -> dict[type[Exception], ExceptionHandler]:
    """Return the exception handlers of an application.

    Args:
        process: Name of the process whose log explains an internal error.
        headers: Headers of a response to an internal error, which no middleware sees.
    """

    def internal_error(request: Request, error: Exception) -> Response:
        # Starlette raises the error again after this response, and uvicorn logs it.
        return problem(500, f"internal error: see the log of {process}", headers)

    return {HTTPException: _http_error, ClientDisconnect: _disconnected, Exception: internal_error}


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)


def _disconnected(request: Request, error: Exception) -> Response:
    """Return a response that no client receives: the connection ended within the request, which is no error here."""
    return problem(400, "the request was not whole")
