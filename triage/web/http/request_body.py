"""Request bodies: bounded in size, of one media type, and validated. Every route that takes a body reads it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class MediaType:
    """Media type that a route accepts, with the largest body in bytes and the error for another type."""

    name: str
    largest: int
    error: str = ""


_JSON = MediaType("application/json", 4096)


async def read_body(request: Request, accepted: MediaType) -> bytes:
    """Read the body. Raises HTTPException 413 if it is too large, 415 for another media type."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > accepted.largest:
            raise HTTPException(413, f"the body is larger than {accepted.largest} bytes")
    if request.headers.get("content-type", "").partition(";")[0].strip() != accepted.name:
        raise HTTPException(415, accepted.error or f"send {accepted.name}")
    return content


async def read_json(request: Request, model: type[Model]) -> Model:
    """Read a JSON body, a type that no form of another site's page can send.

    Raises HTTPException: as ``read_body``, and 400 if the body is not valid.
    """
    content = await read_body(request, _JSON)
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise HTTPException(400, f"not what is expected here: {wrong}") from error
