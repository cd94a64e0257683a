"""Requests to the provider: JSON over HTTP, with a deadline and a bounded size."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from triage.dicom.tls import ClientTLS, explain
from triage.runtime.http_request import HttpPeer, PeerError
from triage.web.auth.oidc.errors import unreachable


@dataclass(frozen=True)
class ProviderResponse:
    """Status and JSON object of a response; ``content`` is None if the body is no JSON object."""

    status: int
    content: Mapping[str, object] | None


@dataclass(frozen=True)
class ProviderHttp:
    """Sends requests. ``ca_file``: trusted authorities; None for those of the system."""

    ca_file: Path | None = None

    def send(
        self, url: str, until: float, *, form: Mapping[str, str] | None = None, authorization: str = ""
    ) -> ProviderResponse:
        """Send a GET, or a POST of ``form``. Redirects are not followed.

        Raises NotSignedInError without a response by ``until`` (time.monotonic).
        """
        host = urlsplit(url).netloc
        remaining = until - time.monotonic()
        if remaining <= 0:
            raise unreachable(f"the identity provider did not answer in time (before the request to {host})")
        headers = {"Accept": "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        peer = HttpPeer(url, remaining, self._context(url))
        try:
            body = None if form is None else urlencode(form).encode()
            received = peer.ask("GET" if form is None else "POST", body, headers)
        except PeerError as error:
            raise unreachable(f"the identity provider at {host} did not answer ({_described(error)})") from error
        finally:
            peer.close()
        return ProviderResponse(received.status, _parsed(received.body))

    def document(self, url: str, until: float, *, authorization: str = "") -> Mapping[str, object]:
        """Return the JSON object at ``url``. Raises NotSignedInError."""
        response = self.send(url, until, authorization=authorization)
        if response.status != 200 or response.content is None:
            found = "no whole JSON object, or more than 64 KiB" if response.status == 200 else "no document"
            raise unreachable(f"{_without_query(url)} answered HTTP {response.status} with {found}")
        return response.content

    def _context(self, url: str) -> ssl.SSLContext | None:
        if not url.startswith("https:"):
            return None
        try:
            return ClientTLS(urlsplit(url).hostname or "", self.ca_file).context()
        except (OSError, ValueError) as error:
            raise unreachable(f"oidc.ca_file cannot be used: {error}") from error


def _parsed(body: bytes) -> Mapping[str, object] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _described(error: PeerError) -> str:
    cause = error.__cause__
    return explain(cause) if isinstance(cause, ssl.SSLError) else str(error)


def _without_query(url: str) -> str:
    return url.partition("?")[0]
