"""Images for the page: decoded by the service's own path, in a child process, and kept for a while."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.responses import JSONResponse, Response

from triage.radiograph.display import view
from triage.radiograph.types import Rejected
from triage.runtime.child_pool import DecodePool, DecoderDiedError

_KEPT = 8  # of up to some tens of megabytes each: the case at hand and the next one, of a few readers
_DECODE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Picture:
    """``content``: the values, uint16 little-endian by rows; if ``masked``, then a byte for each pixel, 0 for nothing.

    The window opens from ``black`` to ``white``.
    """

    content: bytes
    rows: int
    columns: int
    black: float
    white: float
    masked: bool


class Pictures:
    """Decodes when first asked. Safe to share between threads."""

    def __init__(self) -> None:
        self._pool = DecodePool(1, _DECODE_TIMEOUT_S)
        self._decoding = threading.Lock()
        self._keeping = threading.Lock()
        self._kept: OrderedDict[Path, Picture | str] = OrderedDict()

    def get(self, image: Path) -> Picture | str:
        """The picture, or why it cannot be shown."""
        if (kept := self._found(image)) is not None:
            return kept
        with self._decoding:  # one at a time, and who waited for the same image finds it
            if (kept := self._found(image)) is not None:
                return kept
            decoded = self._decode(image)
            self._keep(image, decoded)
            return decoded

    def close(self) -> None:
        """End the child process."""
        self._pool.close()

    def _found(self, image: Path) -> Picture | str | None:
        with self._keeping:
            if image in self._kept:
                self._kept.move_to_end(image)
            return self._kept.get(image)

    def _keep(self, image: Path, decoded: Picture | str) -> None:
        with self._keeping:
            self._kept[image] = decoded
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def _decode(self, image: Path) -> Picture | str:
        try:
            return self._pool.submit(picture, image).result()
        except DecoderDiedError as error:
            return str(error)


def picture(image: Path) -> Picture | str:
    """Decode a file; what is wrong with it names no file, for readers know none."""
    try:
        data = image.read_bytes()
    except OSError as error:
        return f"the file cannot be read: {error.strerror or type(error).__name__}"
    viewed = view(data)
    if isinstance(viewed, Rejected):
        return viewed.detail
    masked = not bool(viewed.valid.all())
    content = viewed.values.astype("<u2").tobytes()
    if masked:
        content += viewed.valid.astype(np.uint8).tobytes()
    rows, columns = viewed.values.shape
    return Picture(content, rows, columns, viewed.black, viewed.white, masked)


def as_answer(found: Picture | str) -> Response:
    """What a page is answered that asks for the picture: its values, and what to know of them in ``X-Picture``."""
    if isinstance(found, str):
        return JSONResponse({"error": found}, status_code=422)
    about = {name: getattr(found, name) for name in ("rows", "columns", "black", "white", "masked")}
    headers = {"X-Picture": json.dumps(about)}
    return Response(found.content, media_type="application/octet-stream", headers=headers)
