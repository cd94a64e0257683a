"""The client of the identity provider. Everything here waits for the provider: never call it on the event loop.

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
from urllib.parse import quote, urlencode

from triage.settings.secret_file import read_secret
from triage.web.auth.oidc.attempt import Attempt
from triage.web.auth.oidc.claims import ClaimMapping, ProviderIdentity
from triage.web.auth.oidc.document_cache import CachedDocument
from triage.web.auth.oidc.errors import invalid, unreachable
from triage.web.auth.oidc.id_token import ExpectedToken, UnknownKeyError, verified
from triage.web.auth.oidc.metadata import Metadata, address_of, metadata_of
from triage.web.auth.oidc.provider_http import ProviderHttp, ProviderResponse

logger = logging.getLogger(__name__)

_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_LONGEST_ID_TOKEN_HINT = 4096  # in an address that a browser requests


@dataclass(frozen=True)
class OidcClient:
    """Registration of this service at the provider. ``asks_again``: each sign-in asks the user who it is."""

    issuer: str
    client_id: str
    page_address: str
    secret_file: Path | None
    scopes: tuple[str, ...]
    skew_s: float
    asks_again: bool = False

    @property
    def redirect_uri(self) -> str:
        """Address that the provider sends browsers back to."""
        return f"{self.page_address}sign-in/callback"

    def secret(self) -> str:
        """Read the client secret from its file; empty for a public client. Raises OSError, ValueError."""
        if self.secret_file is None:
            return ""
        return read_secret(self.secret_file).strip()


class Provider:
    """The provider. It is contacted at first use: the service starts while the provider is down."""

    def __init__(
        self, client: OidcClient, claims: ClaimMapping, http: ProviderHttp, now: Callable[[], float] = time.time
    ) -> None:
        self._client, self._mapping, self._http, self._now = client, claims, http, now
        self._metadata = CachedDocument(self._fetched_metadata)
        self._keys = CachedDocument(self._fetched_keys)

    def reach(self, until: float) -> list[str]:
        """Fetch metadata and keys and return the provider's hosts. Raises NotSignedInError."""
        self._keys.get(until)
        return self._metadata.get(until).hosts

    def sign_in_address(self, attempt: Attempt, until: float) -> str:
        """Return the address at which users sign in. Raises NotSignedInError."""
        again = {"prompt": "login", "max_age": "0"} if self._client.asks_again else {}
        return _with_query(
            self._metadata.get(until).authorization,
            {
                **again,
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

    def redeem(self, code: str, issuer: str | None, attempt: Attempt, until: float) -> tuple[ProviderIdentity, str]:
        """Redeem ``code`` and return the user with the ID token. Raises NotSignedInError.

        Args:
            code: Authorization code of the response.
            issuer: Issuer that the response names (RFC 9207), None for none.
            attempt: The attempt that the response belongs to.
            until: Deadline (time.monotonic).
        """
        metadata = self._metadata.get(until)
        if issuer != self._client.issuer and (issuer is not None or metadata.names_itself):
            raise invalid("the response is of another issuer (RFC 9207)")
        tokens = self._redeemed(metadata, code, attempt, until)
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise invalid("the identity provider sent no ID token")
        claims = self._verified_claims(token, attempt, until)
        if not self._mapping.is_whole(claims) and metadata.userinfo:
            claims = {**self._userinfo(metadata, tokens, str(claims["sub"]), until), **claims}
        return self._mapping.identity(claims), token

    def sign_out_address(self, token: str, until: float) -> str:
        """Return the address at which users sign out of the provider; empty if it has none."""
        address = self._metadata.get(until).end_session
        query = {"client_id": self._client.client_id, "post_logout_redirect_uri": f"{self._client.page_address}sign-in"}
        hint = {"id_token_hint": token} if 0 < len(token) <= _LONGEST_ID_TOKEN_HINT else {}
        return _with_query(address, {**hint, **query}) if address else ""

    def _redeemed(self, metadata: Metadata, code: str, attempt: Attempt, until: float) -> Mapping[str, object]:
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
        response = self._http.send(metadata.token, until, form=form, authorization=authorization)
        if response.status == 200 and response.content is not None:
            return response.content
        error = _error(response)
        if response.status == 400 and error == "invalid_grant":
            raise invalid("the identity provider does not know the code (invalid_grant): it was used, or is too old")
        hint = ": see oidc.client_id and client_secret_file" if "client" in error else ""
        raise unreachable(f"the identity provider gave no token: HTTP {response.status}, {error}{hint}")

    def _verified_claims(self, token: str, attempt: Attempt, until: float) -> Mapping[str, object]:
        expected = ExpectedToken(
            self._client.issuer,
            self._client.client_id,
            attempt.nonce,
            self._now(),
            self._client.skew_s,
            float(attempt.began) if self._client.asks_again else None,
        )
        for renewed in (False, True):
            try:
                return verified(token, self._keys.get(until, renewed=renewed), expected)
            except UnknownKeyError:  # the provider may have changed its keys
                continue
        raise invalid("the ID token is signed with a key that the identity provider does not publish (kid)")

    def _userinfo(
        self, metadata: Metadata, tokens: Mapping[str, object], subject: str, until: float
    ) -> Mapping[str, object]:
        """Return further claims (OpenID Connect Core 5.3), which must be of the same subject."""
        access = tokens.get("access_token")
        if not isinstance(access, str) or not access.isascii() or not access.isprintable():
            return {}
        found = self._http.document(metadata.userinfo, until, authorization=f"Bearer {access}")
        if found.get("sub") != subject:
            raise invalid("the userinfo of the identity provider is of another user (sub)")
        return found

    def _secret(self) -> str:
        try:
            return self._client.secret()
        except (OSError, ValueError) as error:
            raise unreachable(f"oidc.client_secret_file: {error}") from error

    def _fetched_metadata(self, until: float) -> Metadata:
        found = metadata_of(self._http.document(address_of(self._client.issuer), until), self._client.issuer)
        logger.info("sign-in: the identity provider is used at %s", ", ".join(found.hosts))
        return found

    def _fetched_keys(self, until: float) -> Sequence[object]:
        keys = self._http.document(self._metadata.get(until).keys, until).get("keys")
        if not isinstance(keys, list):
            raise unreachable("the identity provider publishes no keys (jwks_uri)")
        return keys


def _basic(name: str, secret: str) -> str:
    """Return the header of HTTP Basic, with both parts form-encoded first (RFC 6749 2.3.1)."""
    pair = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _with_query(address: str, values: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(values)}"


def _error(response: ProviderResponse) -> str:
    """Return the error code of a response (RFC 6749 5.2), if it has the form of one."""
    code = (response.content or {}).get("error")
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else "no error code"
