"""Requests to one bucket of an S3 store: signed, tried again where the store was busy, ended by a deadline."""

from __future__ import annotations

import errno
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from triage.spool.cluster.address import BucketAddress
from triage.spool.cluster.s3_connection import Endpoint, StaleConnectionError
from triage.spool.cluster.s3_faults import S3Answer, fault_of
from triage.spool.cluster.s3_signature import S3Request, Signer

_PASSING = {errno.EAGAIN, errno.ECONNRESET, errno.ECONNREFUSED}
PAUSES_S = (0.2, 1.0)
"""The pauses after a fault that may pass, before each further try."""
_SLOWEST = 1 << 20  # bytes a second, for which a request is given time in addition


@dataclass(frozen=True)
class Body:
    """The body of a request, which can be sent again: its blocks from the start, and their number of bytes."""

    blocks: Callable[[], Iterable[bytes]]
    size: int


NO_BODY = Body(tuple, 0)


class S3Client:
    """The client of one bucket. Safe to share between threads, and to use in a forked child."""

    def __init__(self, address: BucketAddress, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        """Prepare: nothing is sent yet. Raises OSError for a CA file that cannot be read."""
        self._bucket, self._timeout_s, self._pauses_s = address.bucket, address.timeout_s, pauses_s
        self._signer = Signer(address.access_key, address.secret_key, address.region)
        self._endpoint = Endpoint(address.endpoint, address.timeout_s, address.ca_file)
        weakref.finalize(self, self._endpoint.close)

    @property
    def name(self) -> str:
        """The endpoint's host and the bucket."""
        return f"{self._endpoint.host}/{self._bucket}"

    def path(self, key: str = "") -> str:
        """Return the path of a key, or of the bucket: addressed by path, which every store understands."""
        return f"/{self._bucket}/{key}" if key else f"/{self._bucket}"

    def ask(self, request: S3Request, statuses: tuple[int, ...], body: Body = NO_BODY, moved: int = 0) -> S3Answer:
        """Return the answer, whose status is one of ``statuses``. Tried again after a fault that may pass.

        ``moved``: bytes that are expected in the answer. Raises OSError.
        """
        deadline = time.monotonic() + self._timeout_s + (body.size + moved) / _SLOWEST
        for pause_s in self._pauses_s:
            try:
                return self._once(request, statuses, body, deadline)
            except OSError as error:
                if error.errno not in _PASSING or time.monotonic() + pause_s >= deadline:
                    raise
            time.sleep(pause_s)
        return self._once(request, statuses, body, deadline)

    def _once(self, request: S3Request, statuses: tuple[int, ...], body: Body, deadline: float) -> S3Answer:
        headers = self._signer.headers(request, self._endpoint.host, time.time())
        if body.size or request.method == "PUT":
            headers["Content-Length"] = str(body.size)
        while True:
            with suppress(StaleConnectionError):  # each time, there is one connection less that was used before
                answer = self._endpoint.exchange(
                    request.method, request.target, headers, body.blocks(), max(deadline - time.monotonic(), 0)
                )
                break
        if answer.status not in statuses:
            raise fault_of(answer, f"{request.method} {self._endpoint.host}{request.path}", self._endpoint.host)
        return answer
