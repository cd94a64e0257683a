"""Images for the page: decoded by the service's own code in a child process, and cached."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass

import numpy as np
from starlette.responses import Response

from triage.dicom.byte_source import Openable
from triage.errors import cause
from triage.radiograph.display import DisplayImage, view
from triage.radiograph.preview import preview_of
from triage.radiograph.ruler import Ruler
from triage.radiograph.types import Rejected
from triage.runtime.child_pool import DecodePool, DecoderDiedError
from triage.web.api.bounded_cache import BoundedCache
from triage.web.http.problem import problem

LONGEST_PREVIEW = 1024
"""Pixels on the longer side of a preview, at most."""

_CACHED = 8  # of up to some tens of megabytes each: current and next case of a few readers
_CACHED_BYTES = 512 << 20
_PREVIEWS = 256
_PREVIEW_BYTES = 64 << 20
_DECODE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Picture:
    """Pixels of an image, and the window ``black`` to ``white`` to show them with.

    ``content`` holds the values, uint16 little-endian by rows; if ``masked``, a byte for each pixel follows, 0 for
    pixels without a value. ``rows`` and ``columns`` are those of the content; ``level`` is how often it was halved,
    from ``whole`` (rows, columns). ``ruler`` and ``orientation`` are of the whole image.
    """

    content: bytes
    rows: int
    columns: int
    black: float
    white: float
    masked: bool
    level: int
    whole: tuple[int, int]
    ruler: Ruler
    orientation: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(self.content)


@dataclass(frozen=True)
class UndecodableImage:
    """An image that cannot be shown, and the reason."""

    reason: str

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return 0


Shown = Picture | UndecodableImage


class PictureCache:
    """Decodes images on demand and caches them, with a preview of each. Thread-safe.

    A preview is made with the picture, once, and kept longer: it is a twentieth of it.
    """

    def __init__(self) -> None:
        self._pool = DecodePool(1, _DECODE_TIMEOUT_S)
        self._decoding = threading.Lock()
        self._pictures = BoundedCache[Openable, Shown](_CACHED, _CACHED_BYTES)
        self._previews = BoundedCache[Openable, Shown](_PREVIEWS, _PREVIEW_BYTES)

    def get(self, image: Openable) -> Shown:
        """Return the picture, or the reason why it cannot be shown."""
        return self._found(self._pictures, image)

    def preview(self, image: Openable) -> Shown:
        """Return the picture of at most ``LONGEST_PREVIEW`` pixels on a side, or why it cannot be shown."""
        return self._found(self._previews, image)

    def close(self) -> None:
        """End the child process."""
        self._pool.close()

    def _found(self, cache: BoundedCache[Openable, Shown], image: Openable) -> Shown:
        if (cached := cache.get(image)) is not None:
            return cached
        with self._decoding:  # one at a time; a thread that waited for the same image finds it cached
            if (cached := cache.get(image)) is not None:
                return cached
            self._forget_removed()
            whole, small = self._decode(image)
            self._pictures.put(image, whole)
            self._previews.put(image, small)
            return whole if cache is self._pictures else small

    def _forget_removed(self) -> None:
        """Drop what retention has removed from the spool since."""
        for cache in (self._pictures, self._previews):
            cache.keep(_is_there)

    def _decode(self, image: Openable) -> tuple[Shown, Shown]:
        try:
            return self._pool.submit(pictures, image).result()
        except DecoderDiedError as error:
            failed = UndecodableImage(str(error))
            return failed, failed


def _is_there(image: Openable) -> bool:
    try:
        image.open("rb").close()
    except OSError:
        return False
    return True


def pictures(image: Openable) -> tuple[Shown, Shown]:
    """Decode a file to its picture and a preview. A reason names no file, as readers know none."""
    try:
        data = image.read_bytes()
    except OSError as error:
        return (UndecodableImage(f"the file cannot be read: {cause(error)}"),) * 2
    viewed = view(data)
    if isinstance(viewed, Rejected):
        return (UndecodableImage(viewed.detail),) * 2
    rows, columns = viewed.values.shape
    small, level = preview_of(viewed, LONGEST_PREVIEW)
    return _picture(viewed, 0, (rows, columns)), _picture(small, level, (rows, columns))


def _picture(viewed: DisplayImage, level: int, whole: tuple[int, int]) -> Picture:
    masked = not bool(viewed.valid.all())
    content = viewed.values.astype("<u2").tobytes()
    if masked:
        content += viewed.valid.astype(np.uint8).tobytes()
    rows, columns = viewed.values.shape
    shown = (viewed.black, viewed.white, masked, level, whole, viewed.ruler, viewed.orientation)
    return Picture(content, rows, columns, *shown)


def picture_response(found: Shown) -> Response:
    """Return the response with a picture: its values, and its dimensions, window and ruler in ``X-Picture``."""
    if isinstance(found, UndecodableImage):
        return problem(422, found.reason)
    names = ("rows", "columns", "black", "white", "masked", "level", "whole", "orientation")
    about = {**{name: getattr(found, name) for name in names}, "ruler": asdict(found.ruler)}
    headers = {"X-Picture": json.dumps(about)}
    return Response(found.content, media_type="application/octet-stream", headers=headers)
