"""Validation of ID tokens: signature, issuer, audience, times and nonce (OpenID Connect Core 1.0, 3.1.3.7).

The one module that uses joserfc, of the extra `oidc`.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from triage.errors import TriageError, cause
from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem, invalid

_KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "Ed25519": "OKP",
}
"""Accepted signature algorithms with their key types: asymmetric ones only."""

_SMALLEST_RSA = 2048  # bits (RFC 7518 3.3)
_REGISTRY = jws.JWSRegistry(algorithms=list(_KEY_TYPES), strict_check_header=False)  # ignores others (RFC 7515 4)
_TRIED = 4


class UnknownKeyError(TriageError):
    """The key that signed the token is unknown: fetch the provider's keys again."""


@dataclass(frozen=True)
class ExpectedToken:
    """Expected claims of a token, and the time (POSIX seconds); clocks may differ by ``skew_s`` seconds.

    ``authenticated_after``: time since which the user must have been authenticated (auth_time); None for any.
    """

    issuer: str
    client_id: str
    nonce: str
    now: float
    skew_s: float
    authenticated_after: float | None = None


def verified(token: str, keys: Sequence[object], expected: ExpectedToken) -> Mapping[str, object]:
    """Return the claims of a valid token. Raises NotSignedInError for an invalid one, UnknownKeyError."""
    candidates = _candidates(token, keys)
    claims = next((found for each in candidates if (found := _signed(token, each)) is not None), None)
    if claims is None:
        raise invalid("the ID token's signature is wrong")
    _issued(claims, expected)
    _timely(claims, expected)
    _fresh(claims, expected)
    if not _same(claims.get("nonce"), expected.nonce):
        raise invalid("the ID token is of another attempt (nonce)")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise invalid("the ID token names no subject (sub)")
    return claims


def _candidates(token: str, keys: Sequence[object]) -> list[Mapping[str, object]]:
    """Return the keys that fit the algorithm and the key ID in the header of the token."""
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise invalid(f"this is no ID token ({cause(error)})") from error
    algorithm, name = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _KEY_TYPES:
        raise invalid("the ID token is not signed by an asymmetric algorithm that is accepted here (alg)")
    fitting = [
        each
        for each in keys
        if isinstance(each, Mapping)
        and each.get("kty") == _KEY_TYPES[algorithm]
        and each.get("use", "sig") == "sig"
        and each.get("alg", algorithm) == algorithm
        and (name is None or each.get("kid") == name)
    ]
    if not fitting:
        raise UnknownKeyError
    if name is None and len(fitting) > 1:
        raise invalid("the ID token does not name which of several keys signed it (kid)")
    return fitting[:_TRIED]


def _signed(token: str, key: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the claims if ``key`` signed the token, else None."""
    try:
        found = jwk.import_key(dict(key))  # type: ignore[arg-type]  # any JSON: errors are caught below
        if isinstance(found, jwk.RSAKey) and found.public_key.key_size < _SMALLEST_RSA:
            return None
        return jwt.decode(token, found, registry=_REGISTRY).claims
    except Exception:  # a key may be any JSON, and the library raises many kinds of errors
        return None


def _issued(claims: Mapping[str, object], expected: ExpectedToken) -> None:
    if claims.get("iss") != expected.issuer:
        raise invalid("the ID token is of another issuer (iss)")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        raise invalid("the ID token is for another client (aud)")
    party = claims.get("azp")
    if (len(audiences) > 1 or party is not None) and party != expected.client_id:
        raise invalid("the ID token was requested by another client (azp)")


def _timely(claims: Mapping[str, object], expected: ExpectedToken) -> None:
    ends, begun = _time(claims, "exp"), _time(claims, "iat")
    if ends is None or begun is None:
        raise invalid("the ID token has no times of validity (iat, exp)")
    if expected.now - expected.skew_s >= ends:
        raise invalid(f"the ID token expired {expected.now - ends:.0f} s ago: compare the clocks of both machines")
    begins = max(begun, _time(claims, "nbf") or begun)
    if expected.now + expected.skew_s < begins:
        raise invalid(f"the ID token begins in {begins - expected.now:.0f} s: compare the clocks of both machines")


def _fresh(claims: Mapping[str, object], expected: ExpectedToken) -> None:
    """Refuse a user whom the provider let in without asking again (max_age, OpenID Connect Core 3.1.2.1)."""
    if expected.authenticated_after is None:
        return
    authenticated = _time(claims, "auth_time")
    if authenticated is None:
        raise NotSignedInError(
            SignInProblem.NOT_ASKED,
            "the identity provider does not say when it authenticated the user (auth_time), which "
            "web.idle_lock_minutes needs: have it add the claim",
        )
    if authenticated < expected.authenticated_after - expected.skew_s:
        raise NotSignedInError(
            SignInProblem.NOT_ASKED,
            "the identity provider let a user in without asking again (prompt=login, max_age=0)",
        )


def _time(claims: Mapping[str, object], name: str) -> float | None:
    """Return a claim in POSIX seconds; None if it is no finite number (Python's JSON reads NaN)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e12 and math.isfinite(value) else None


def _same(value: object, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode("utf-8", "replace"), expected.encode())
