"""Images for the page: decoded by the service's own code in a child process, and cached."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.responses import Response

from triage.errors import cause
from triage.radiograph.display import view
from triage.radiograph.types import Rejected
from triage.runtime.child_pool import DecodePool, DecoderDiedError
from triage.web.http.problem import problem

_CACHED = 8  # of up to some tens of megabytes each: current and next case of a few readers
_DECODE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Picture:
    """Pixels of an image, and the window ``black`` to ``white`` to show them with.

    ``content`` holds the values, uint16 little-endian by rows; if ``masked``, a byte for each pixel follows, 0 for
    pixels without a value.
    """

    content: bytes
    rows: int
    columns: int
    black: float
    white: float
    masked: bool


@dataclass(frozen=True)
class UndecodableImage:
    """An image that cannot be shown, and the reason."""

    reason: str


class PictureCache:
    """Decodes images on demand and caches them. Thread-safe."""

    def __init__(self) -> None:
        self._pool = DecodePool(1, _DECODE_TIMEOUT_S)
        self._decoding = threading.Lock()
        self._lock = threading.Lock()
        self._cached: OrderedDict[Path, Picture | UndecodableImage] = OrderedDict()

    def get(self, image: Path) -> Picture | UndecodableImage:
        """Return the picture, or the reason why it cannot be shown."""
        if (cached := self._lookup(image)) is not None:
            return cached
        with self._decoding:  # one at a time; a thread that waited for the same image finds it cached
            if (cached := self._lookup(image)) is not None:
                return cached
            decoded = self._decode(image)
            self._store(image, decoded)
            return decoded

    def close(self) -> None:
        """End the child process."""
        self._pool.close()

    def _lookup(self, image: Path) -> Picture | UndecodableImage | None:
        with self._lock:
            if image in self._cached:
                self._cached.move_to_end(image)
            return self._cached.get(image)

    def _store(self, image: Path, decoded: Picture | UndecodableImage) -> None:
        with self._lock:
            self._cached[image] = decoded
            while len(self._cached) > _CACHED:
                self._cached.popitem(last=False)

    def _decode(self, image: Path) -> Picture | UndecodableImage:
        try:
            return self._pool.submit(picture, image).result()
        except DecoderDiedError as error:
            return UndecodableImage(str(error))


def picture(image: Path) -> Picture | UndecodableImage:
    """Decode a file. A reason names no file, as readers know none."""
    try:
        data = image.read_bytes()
    except OSError as error:
        return UndecodableImage(f"the file cannot be read: {cause(error)}")
    viewed = view(data)
    if isinstance(viewed, Rejected):
        return UndecodableImage(viewed.detail)
    masked = not bool(viewed.valid.all())
    content = viewed.values.astype("<u2").tobytes()
    if masked:
        content += viewed.valid.astype(np.uint8).tobytes()
    rows, columns = viewed.values.shape
    return Picture(content, rows, columns, viewed.black, viewed.white, masked)


def picture_response(found: Picture | UndecodableImage) -> Response:
    """Return the response with a picture: its values, and its dimensions and window in ``X-Picture``."""
    if isinstance(found, UndecodableImage):
        return problem(422, found.reason)
    about = {name: getattr(found, name) for name in ("rows", "columns", "black", "white", "masked")}
    headers = {"X-Picture": json.dumps(about)}
    return Response(found.content, media_type="application/octet-stream", headers=headers)
