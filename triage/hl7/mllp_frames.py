"""PURE: messages out of a stream of MLLP (HL7 v2.5.1 appendix C), with a bound on what is kept of one."""

from __future__ import annotations

from triage.hl7.mllp import END, START


class TooLongError(Exception):
    """A message without an end; ``begun`` is its beginning."""

    def __init__(self, begun: bytes) -> None:
        super().__init__("a message without an end")
        self.begun = begun


class Frames:
    """Takes what arrives, gives whole messages without their frame. What stands between two frames is dropped."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._looked_at = 0

    @property
    def begun(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that end in ``data``. Raises TooLongError."""
        self._buffer += data
        found = []
        while self._at_a_start() and (end := self._buffer.find(END, self._looked_at)) >= 0:
            if end > self._longest:
                break
            # A sender that broke off and began anew: no message has this byte in it.
            found.append(bytes(self._buffer[:end]).rpartition(START)[2])
            del self._buffer[: end + len(END)]
            self._looked_at = 0
        if len(self._buffer) > self._longest:
            raise TooLongError(bytes(self._buffer[len(START) : 4096]))
        self._looked_at = max(len(self._buffer) - len(END), 0)
        return found

    def _at_a_start(self) -> bool:
        start = self._buffer.find(START)
        if start != 0:
            del self._buffer[: start if start > 0 else len(self._buffer)]
            self._looked_at = 0
        return bool(self._buffer)
