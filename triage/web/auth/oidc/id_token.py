"""Whether an ID token holds: signature, issuer, audience, times and nonce (OpenID Connect Core 1.0, 3.1.3.7).

The one place that uses joserfc, of the extra `oidc`.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from triage.web.auth.oidc.errors import invalid

_KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "Ed25519": "OKP",
}
"""Signatures that are taken, with the keys that make them. None that needs no key, or one that both sides have."""

_SMALLEST_RSA = 2048  # bits (RFC 7518 3.3)
_REGISTRY = jws.JWSRegistry(algorithms=list(_KEY_TYPES), strict_check_header=False)  # ignores others (RFC 7515 4)
_TRIED = 4


class UnknownKeyError(Exception):
    """Signed with a key that is not among those that we know."""


@dataclass(frozen=True)
class ExpectedToken:
    """Whose token it has to be, and when (POSIX seconds); clocks may differ by ``skew_s``."""

    issuer: str
    client_id: str
    nonce: str
    now: float
    skew_s: float


def verified(token: str, keys: Sequence[Any], expected: ExpectedToken) -> Mapping[str, Any]:
    """The claims. Raises NotSignedInError for a token that does not hold, UnknownKeyError."""
    candidates = _candidates(token, keys)
    claims = next((found for each in candidates if (found := _signed(token, each)) is not None), None)
    if claims is None:
        raise invalid("the ID token's signature is wrong")
    _issued(claims, expected)
    _timely(claims, expected)
    if not _same(claims.get("nonce"), expected.nonce):
        raise invalid("the ID token is of another attempt (nonce)")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise invalid("the ID token does not say whom it is of (sub)")
    return claims


def _candidates(token: str, keys: Sequence[Any]) -> list[Mapping[str, Any]]:
    """The keys that may have signed it, by the algorithm and key ID that its header names."""
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise invalid(f"the ID token is none ({type(error).__name__})") from error
    algorithm, name = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _KEY_TYPES:
        raise invalid("the ID token is not signed by an asymmetric algorithm that is taken here (alg)")
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
        raise invalid("the ID token does not say which of several keys signed it (kid)")
    return fitting[:_TRIED]


def _signed(token: str, key: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The claims, if that key signed them."""
    try:
        found = jwk.import_key(dict(key))
        if isinstance(found, jwk.RSAKey) and found.public_key.key_size < _SMALLEST_RSA:
            return None
        return jwt.decode(token, found, registry=_REGISTRY).claims
    except Exception:  # a key may be any JSON, and what a library makes of that is in no list: it has signed nothing
        return None


def _issued(claims: Mapping[str, Any], expected: ExpectedToken) -> None:
    if claims.get("iss") != expected.issuer:
        raise invalid("the ID token is another issuer's (iss)")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        raise invalid("the ID token is made out to another client (aud)")
    party = claims.get("azp")
    if (len(audiences) > 1 or party is not None) and party != expected.client_id:
        raise invalid("the ID token was asked for by another client (azp)")


def _timely(claims: Mapping[str, Any], expected: ExpectedToken) -> None:
    ends, begun = _time(claims, "exp"), _time(claims, "iat")
    if ends is None or begun is None:
        raise invalid("the ID token does not say from when to when it holds (iat, exp)")
    if expected.now - expected.skew_s >= ends:
        raise invalid(f"the ID token is over since {expected.now - ends:.0f} s: compare the clocks of both machines")
    begins = max(begun, _time(claims, "nbf") or begun)
    if expected.now + expected.skew_s < begins:
        raise invalid(f"the ID token begins in {begins - expected.now:.0f} s: compare the clocks of both machines")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """POSIX seconds; None for what is no number. JSON as Python reads it has NaN, that is never too late."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e12 and math.isfinite(value) else None


def _same(value: object, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode("utf-8", "replace"), expected.encode())
