"""What the provider is asked: JSON over HTTP, over by a deadline and of bounded size, whatever it does."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from triage.dicom.tls import ClientTLS, explain
from triage.runtime.http_request import HttpPeer, PeerError
from triage.web.auth.oidc.errors import unreachable


@dataclass(frozen=True)
class ProviderResponse:
    """A status, and the JSON object that came with it; None for none."""

    status: int
    content: Mapping[str, Any] | None


@dataclass(frozen=True)
class Wire:
    """``ca_file``: authorities that are believed; None: the system's."""

    ca_file: Path | None = None

    def ask(
        self, url: str, until: float, *, form: Mapping[str, str] | None = None, authorization: str = ""
    ) -> ProviderResponse:
        """GET, or POST of a form, answered by ``until`` (time.monotonic). Raises NotSignedInError if it is not.

        Redirects are not followed: what an address says is to come from there.
        """
        host = urlsplit(url).netloc
        remaining = until - time.monotonic()
        if remaining <= 0:
            raise unreachable(f"the identity provider did not answer in time (before {host} was asked)")
        headers = {"Accept": "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        peer = HttpPeer(url, remaining, self._context(url))
        try:
            body = None if form is None else urlencode(form).encode()
            answer = peer.ask("GET" if form is None else "POST", body, headers)
        except PeerError as error:
            raise unreachable(f"the identity provider at {host} did not answer ({_words(error)})") from error
        finally:
            peer.close()
        return ProviderResponse(answer.status, _object(answer.body))

    def document(self, url: str, until: float, *, authorization: str = "") -> Mapping[str, Any]:
        """A JSON object that is there. Raises NotSignedInError."""
        said = self.ask(url, until, authorization=authorization)
        if said.status != 200 or said.content is None:
            what = "no whole JSON object, or more than 64 KiB" if said.status == 200 else "no document"
            raise unreachable(f"{_without_query(url)} answered HTTP {said.status}, and {what}")
        return said.content

    def _context(self, url: str) -> ssl.SSLContext | None:
        if not url.startswith("https:"):
            return None
        try:
            return ClientTLS(urlsplit(url).hostname or "", self.ca_file).context()
        except (OSError, ValueError) as error:
            raise unreachable(f"oidc.ca_file cannot be used: {error}") from error


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _words(error: PeerError) -> str:
    cause = error.__cause__
    return explain(cause) if isinstance(cause, ssl.SSLError) else str(error)


def _without_query(url: str) -> str:
    return url.partition("?")[0]
