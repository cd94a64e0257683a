"""ID tokens that are valid, and those that are not."""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwe, jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter

from tests.support.identity_provider import a_key
from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem
from triage.web.auth.oidc.id_token import ExpectedToken, UnknownKeyError, verified

NOW = 1_800_000_000.0
ISSUER = "https://id.hospital.example"
EXPECTED = ExpectedToken(ISSUER, "us", "the nonce", NOW, 60)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER, "aud": "us", "sub": "1", "nonce": "the nonce", "iat": int(NOW), "exp": int(NOW) + 300,
}  # fmt: skip
KEYS = [a_key("one").as_dict(private=False)]


def signed(changes: dict[str, Any], key: Any = None, **header: Any) -> str:
    """A token with changed claims (None: without); by default it is signed as it should be."""
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    registry = JWSRegistry(algorithms=[header.get("alg", "ES256")], strict_check_header=False)
    return jwt.encode({"alg": "ES256", "kid": "one", **header}, claims, key or a_key("one"), registry=registry)


def test_a_token_that_is_as_it_should_be_gives_its_claims():
    assert verified(signed({"roles": ["radiology"]}), KEYS, EXPECTED)["roles"] == ["radiology"]
    assert verified(signed({"aud": ["us", "them"], "azp": "us"}), KEYS, EXPECTED)["sub"] == "1"


@pytest.mark.parametrize("authenticated", [None, NOW - 3600, "now", float("nan"), True])
def test_where_each_sign_in_must_ask_a_user_who_was_not_asked_is_refused(authenticated: object):
    asked = replace(EXPECTED, authenticated_after=NOW)
    assert verified(signed({"auth_time": int(NOW) - 30}), KEYS, asked)["sub"] == "1"  # clocks differ
    with pytest.raises(NotSignedInError, match=r"auth_time|without asking") as refused:
        verified(signed({"auth_time": authenticated}), KEYS, asked)
    assert refused.value.problem is SignInProblem.NOT_ASKED


@pytest.mark.parametrize(
    ("algorithm", "make"),
    [
        ("RS256", lambda: RSAKey.generate_key(2048, {"kid": "k"})),
        ("PS256", lambda: RSAKey.generate_key(2048, {"kid": "k"})),
        ("ES384", lambda: ECKey.generate_key("P-384", {"kid": "k"})),
        ("Ed25519", lambda: OKPKey.generate_key("Ed25519", {"kid": "k"})),
    ],
)
def test_the_signatures_that_providers_make_are_taken(algorithm: str, make: Callable[[], Any]):
    key = make()
    others = [{"kty": "OKP", "kid": "k", "crv": "unheard of"}, {"kty": "AKP", "kid": "k"}, "no key", *KEYS]
    token = signed({}, key, alg=algorithm, kid="k", x_of_theirs="a header that we do not know")
    assert verified(token, [*others, key.as_dict(private=False)], EXPECTED)["sub"] == "1"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://id.hospital.example/"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "them"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": {"us": "us"}}, "aud"),
        ({"aud": ["us", "them"]}, "azp"),
        ({"azp": "them"}, "azp"),
        ({"exp": int(NOW) - 60}, "expired 60 s ago"),
        ({"exp": None}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": "2099"}, "exp"),
        ({"iat": None}, "iat"),
        ({"iat": int(NOW) + 61}, "begins in 61 s"),
        ({"nbf": int(NOW) + 61}, "begins in 61 s"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": ["the nonce"]}, "nonce"),
        ({"sub": None}, "sub"),
        ({"sub": 1}, "sub"),
        ({"sub": ""}, "sub"),
    ],
)
def test_a_token_of_somebody_else_or_of_another_time_does_not_hold(changes: dict[str, Any], why: str):
    with pytest.raises(NotSignedInError, match=why) as refused:
        verified(signed(changes), KEYS, EXPECTED)
    assert refused.value.problem is SignInProblem.INVALID


def test_clocks_may_differ_by_a_minute():
    assert verified(signed({"exp": int(NOW) - 59}), KEYS, EXPECTED)
    assert verified(signed({"iat": int(NOW) + 60, "nbf": int(NOW) + 60}), KEYS, EXPECTED)


def _unsigned(header: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in (header, CLAIMS)]
    return f"{parts[0]}.{parts[1]}."


def _with_the_public_key_as_secret() -> str:
    content = _unsigned({"alg": "HS256", "kid": "one"}).rstrip(".")
    digest = hmac.digest(a_key("one").as_pem(private=False), content.encode(), "sha256")
    return f"{content}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _that_has_to_be_understood() -> str:
    understood = JWSRegistry({"x": HeaderParameter("x", "int")}, ["ES256"])
    return jwt.encode({"alg": "ES256", "kid": "one", "crit": ["x"], "x": 1}, CLAIMS, a_key("one"), registry=understood)


def _for_its_own_key() -> str:
    key = ECKey.generate_key("P-256", {"kid": "one"})
    return signed({}, key, jwk=key.as_dict(private=False))


def _changed() -> str:
    header, _, signature = signed({}).split(".")
    return f"{header}.{signed({'sub': 'admin'}).split('.')[1]}.{signature}"


def _encrypted() -> str:
    header = {"alg": "ECDH-ES", "enc": "A128GCM", "kid": "one"}
    key = ECKey.import_key({**KEYS[0], "use": "enc", "alg": "ECDH-ES"})
    return jwe.encrypt_compact(header, json.dumps(CLAIMS), key)


@pytest.mark.parametrize(
    "make",
    [
        lambda: _unsigned({"alg": "none"}),
        lambda: _unsigned({"alg": "none", "kid": "one"}),
        lambda: _unsigned({"alg": "nOnE", "kid": "one"}),
        lambda: _unsigned({"alg": ["ES256"], "kid": "one"}),
        lambda: _unsigned({"kid": "one"}),
        lambda: _unsigned({"alg": "ES256", "kid": "one"}),
        lambda: _unsigned({"alg": "ES256", "kid": {"one": 1}}),
        _that_has_to_be_understood,
        _with_the_public_key_as_secret,
        _for_its_own_key,
        _changed,
        _encrypted,
        lambda: "",
        lambda: "a.b",
        lambda: "ä.ö.ü",
        lambda: base64.urlsafe_b64encode(b"[" * 30_000).decode() + "..",
    ],
)
def test_what_the_provider_has_not_signed_does_not_hold(make: Callable[[], str]):
    with pytest.raises((NotSignedInError, UnknownKeyError)):
        verified(make(), KEYS, EXPECTED)


def test_the_key_is_the_one_that_is_named_and_one_of_several_has_to_be():
    two = [*KEYS, a_key("two").as_dict(private=False)]
    assert verified(signed({}, a_key("two"), kid="two"), two, EXPECTED)
    with pytest.raises(NotSignedInError, match="signature"):
        verified(signed({}, a_key("two"), kid="one"), two, EXPECTED)
    with pytest.raises(UnknownKeyError):
        verified(signed({}, kid="three"), two, EXPECTED)
    unnamed = jwt.encode({"alg": "ES256"}, CLAIMS, ECKey.import_key({**a_key("one").as_dict(private=True), "kid": ""}))
    assert verified(unnamed, KEYS, EXPECTED)
    with pytest.raises(NotSignedInError, match="kid"):
        verified(unnamed, two, EXPECTED)


@pytest.mark.parametrize("use", [{"use": "enc"}, {"alg": "ES512"}])
def test_a_key_that_is_for_something_else_has_signed_nothing(use: dict[str, str]):
    with pytest.raises(UnknownKeyError):
        verified(signed({}), [{**KEYS[0], **use}], EXPECTED)


def test_an_rsa_key_that_is_too_small_has_signed_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        small = RSAKey.generate_key(1024, {"kid": "one"})
        token = signed({}, small, alg="RS256")
        with pytest.raises(NotSignedInError, match="signature"):
            verified(token, [small.as_dict(private=False)], EXPECTED)
