"""JSON request bodies, bounded and validated."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

_LARGEST_BODY = 4096


Model = TypeVar("Model", bound=BaseModel)


async def body(request: Request, model: type[Model]) -> Model:
    """What was sent, as JSON and nothing else: no form of another page can send that."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _LARGEST_BODY:
            raise HTTPException(413, "too long")
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise HTTPException(400, f"not what is expected here: {wrong}") from error
