"""The signature of a request to S3: AWS Signature Version 4 with the payload's digest in it.

Source: Amazon Simple Storage Service API Reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote

EMPTY = sha256(b"").hexdigest()
"""The digest of a request without a body."""
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class S3Request:
    """One request, before it is signed. ``payload`` is the SHA-256 of its body in hex."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: str = EMPTY

    @property
    def target(self) -> str:
        """Path and query as they are sent, and signed."""
        query = _canonical_query(self.query)
        return _encoded_path(self.path) + (f"?{query}" if query else "")


@dataclass(frozen=True)
class Signer:
    """The keys that sign, and the region that they sign for."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str

    def headers(self, request: S3Request, host: str, at: float) -> dict[str, str]:
        """Return all headers of the request, signed at a time (POSIX seconds): a store accepts it for 15 minutes."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        headers = {**request.headers, "Host": host, "x-amz-content-sha256": request.payload, "x-amz-date": stamp}
        names = ";".join(sorted(name.lower() for name in headers))
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        digest = sha256(_canonical(request, headers, names).encode()).hexdigest()
        signature = self._sign(scope, "\n".join((_ALGORITHM, stamp, scope, digest)))
        authorization = f"{_ALGORITHM} Credential={self.access_key}/{scope},SignedHeaders={names},Signature={signature}"
        return {**headers, "Authorization": authorization}

    def _sign(self, scope: str, text: str) -> str:
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(request: S3Request, headers: Mapping[str, str], names: str) -> str:
    lines = sorted(f"{name.lower()}:{value.strip()}" for name, value in headers.items())
    parts = (request.method, _encoded_path(request.path), _canonical_query(request.query))
    return "\n".join((*parts, *lines, "", names, request.payload))


def _encoded_path(path: str) -> str:
    return quote(path, safe="/-_.~")


def _canonical_query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))
