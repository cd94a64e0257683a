"""The identity provider, as we ask it. Everything here waits for it: never on the event loop.

Needs the extra `oidc`.
"""

from __future__ import annotations

import logging
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from triage.web.auth.oidc.attempt import Attempt
from triage.web.auth.oidc.claims import ClaimNames, Person
from triage.web.auth.oidc.errors import invalid, unreachable
from triage.web.auth.oidc.id_token import ExpectedToken, UnknownKeyError, verified
from triage.web.auth.oidc.kept import CachedDocument
from triage.web.auth.oidc.metadata import Metadata, address_of, metadata_of
from triage.web.auth.oidc.wire import ProviderResponse, Wire

logger = logging.getLogger(__name__)

_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_LONGEST_HINT = 4096  # of an address that a browser asks for
_LARGEST_SECRET = 4096


@dataclass(frozen=True)
class Client:
    """What the provider knows of us, and we of it."""

    issuer: str
    client_id: str
    page_address: str
    secret_file: Path | None
    scopes: tuple[str, ...]
    skew_s: float

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends people back to."""
        return f"{self.page_address}sign-in/callback"

    def secret(self) -> str:
        """As it is in its file now; empty for a public client. Raises OSError, ValueError."""
        if self.secret_file is None:
            return ""
        with self.secret_file.open("rb") as file:
            found = file.read(_LARGEST_SECRET).decode().strip()
        if not found or "\n" in found:
            raise ValueError(f"{self.secret_file} has to have one line, the secret")
        return found


class Provider:
    """Asked for its document at the first use: where it is down, the service starts all the same."""

    def __init__(self, client: Client, reading: ClaimNames, wire: Wire, now: Callable[[], float] = time.time) -> None:
        self._client, self._reading, self._wire, self._now = client, reading, wire, now
        self._metadata = CachedDocument(self._fetched_metadata)
        self._keys = CachedDocument(self._fetched_keys)

    def reached_at(self, until: float) -> list[str]:
        """Its hosts, once its document and its keys were read. Nobody is signed in."""
        self._keys.get(until)
        return self._metadata.get(until).hosts

    def where_to(self, attempt: Attempt, until: float) -> str:
        """The address at which people sign in. Raises NotSignedInError, as all here."""
        return _with_query(
            self._metadata.get(until).authorization,
            {
                "response_type": "code",
                "client_id": self._client.client_id,
                "redirect_uri": self._client.redirect_uri,
                "scope": " ".join(self._client.scopes),
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": attempt.challenge,
                "code_challenge_method": "S256",
            },
        )

    def who(self, code: str, issuer: str | None, attempt: Attempt, until: float) -> tuple[Person, str]:
        """Who came back with ``code``, and the ID token that says so. ``issuer``: who says that it is its answer."""
        metadata = self._metadata.get(until)
        if issuer != self._client.issuer and (issuer is not None or metadata.names_itself):
            raise invalid("the answer is another issuer's (RFC 9207)")
        answer = self._redeemed(metadata, code, attempt, until)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise invalid("the identity provider gives no ID token")
        claims = self._claims(token, attempt, until)
        if not self._reading.is_whole(claims) and metadata.userinfo:
            claims = {**self._more(metadata, answer, str(claims["sub"]), until), **claims}
        return self._reading.person(claims), token

    def where_to_leave(self, token: str, until: float) -> str:
        """The address at which people sign out of the provider, too; empty where it has none."""
        address = self._metadata.get(until).end_session
        said = {"client_id": self._client.client_id, "post_logout_redirect_uri": f"{self._client.page_address}sign-in"}
        hint = {"id_token_hint": token} if 0 < len(token) <= _LONGEST_HINT else {}
        return _with_query(address, {**hint, **said}) if address else ""

    def _redeemed(self, metadata: Metadata, code: str, attempt: Attempt, until: float) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        secret = self._secret()
        authorization = _basic(self._client.client_id, secret) if secret and metadata.basic else ""
        if not authorization:
            form["client_id"] = self._client.client_id
            form |= {"client_secret": secret} if secret else {}
        said = self._wire.ask(metadata.token, until, form=form, authorization=authorization)
        if said.status == 200 and said.content is not None:
            return said.content
        error = _error(said)
        if said.status == 400 and error == "invalid_grant":
            raise invalid("the identity provider does not know the code (invalid_grant): it was used, or is too old")
        hint = ": see oidc.client_id and client_secret_file" if "client" in error else ""
        raise unreachable(f"the identity provider gave no token: HTTP {said.status}, {error}{hint}")

    def _claims(self, token: str, attempt: Attempt, until: float) -> Mapping[str, Any]:
        expected = ExpectedToken(
            self._client.issuer, self._client.client_id, attempt.nonce, self._now(), self._client.skew_s
        )
        for renewed in (False, True):
            try:
                return verified(token, self._keys.get(until, renewed=renewed), expected)
            except UnknownKeyError:  # the provider may have changed its keys
                continue
        raise invalid("the ID token is signed with a key that the identity provider does not publish (kid)")

    def _more(self, metadata: Metadata, answer: Mapping[str, Any], subject: str, until: float) -> Mapping[str, Any]:
        """Claims that are not in the ID token (OpenID Connect Core 5.3): what it says counts for its subject alone."""
        access = answer.get("access_token")
        if not isinstance(access, str) or not access.isascii() or not access.isprintable():
            return {}
        found = self._wire.document(metadata.userinfo, until, authorization=f"Bearer {access}")
        if found.get("sub") != subject:
            raise invalid("what the identity provider says of the user is another's (userinfo, sub)")
        return found

    def _secret(self) -> str:
        try:
            return self._client.secret()
        except (OSError, ValueError) as error:
            raise unreachable(f"oidc.client_secret_file: {error}") from error

    def _fetched_metadata(self, until: float) -> Metadata:
        found = metadata_of(self._wire.document(address_of(self._client.issuer), until), self._client.issuer)
        logger.info("sign-in: the identity provider is asked at %s", ", ".join(found.hosts))
        return found

    def _fetched_keys(self, until: float) -> Sequence[Any]:
        keys = self._wire.document(self._metadata.get(until).keys, until).get("keys")
        if not isinstance(keys, list):
            raise unreachable("the identity provider publishes no keys (jwks_uri)")
        return keys


def _basic(name: str, secret: str) -> str:
    """RFC 6749 2.3.1: both are form-encoded first."""
    pair = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _with_query(address: str, values: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(values)}"


def _error(said: ProviderResponse) -> str:
    """The code of an error (RFC 6749 5.2), if it looks like one."""
    code = (said.content or {}).get("error")
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else "no error code"
