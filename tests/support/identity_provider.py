"""A small OpenID provider, that does as it is told: right by default, and wrong in whatever way a test wants."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "cxr-triage", "a secret: with ~odd+ characters/"
PAGE = "https://triage.hospital.example/lists/"

Key = ECKey | RSAKey

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the system's authorities take a while to load


@lru_cache
def a_key(name: str) -> ECKey:
    """A signing key, the same for the same name."""
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig", "alg": "ES256"})


@dataclass
class IdentityProvider:
    """``claims`` are of whoever signs in; ``userinfo`` what it says beside them, if anything.

    ``instead``: what is done in place of an answer, by path. ``token``: makes the ID token of its claims.
    """

    issuer: str
    claims: dict[str, Any] = field(
        default_factory=lambda: {"sub": "248289", "preferred_username": "ann", "roles": ["radiology"]}
    )
    userinfo: dict[str, Any] | None = None
    document: dict[str, Any] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=lambda: [a_key("one")])
    secret: str = ""
    says_issuer: str = ""
    instead: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    token: Callable[[IdentityProvider, dict[str, Any]], str] = field(
        default=lambda self, claims: self.signed(claims, self.keys[0])
    )
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    redeemed: list[dict[str, str]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def signed(self, claims: dict[str, Any], key: Key) -> str:
        """An ID token."""
        return jwt.encode({"alg": key.alg or "ES256", "kid": key.kid}, claims, key)

    def metadata(self) -> dict[str, Any]:
        """Its document."""
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/leave",
        }
        return {name: value for name, value in (found | self.document).items() if value is not None}

    def sign_in(self, address: str) -> str:
        """Where a browser is sent back to that was sent to ``address``."""
        asked = dict(parse_qsl(urlsplit(address).query, strict_parsing=True))
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert asked["redirect_uri"] == f"{PAGE}sign-in/callback"
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"]} | ({"iss": self.says_issuer} if self.says_issuer else {})
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def redeem(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The answer of the token endpoint."""
        self.redeemed.append(form | {"authorization": authorization})
        asked = self.codes.pop(form["code"], None)
        if self.secret and not self._is_us(form, authorization):
            return 401, {"error": "invalid_client", "error_description": "patient Smith"}
        digest = base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if not asked or digest != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        token = self.token(self, {**claims, **self.claims})
        return 200, {"access_token": "at", "token_type": "Bearer", "id_token": token}

    def _is_us(self, form: dict[str, str], authorization: str) -> bool:
        pair = f"{quote(CLIENT, safe='')}:{quote(self.secret, safe='')}".encode()
        basic = authorization == f"Basic {base64.b64encode(pair).decode()}"
        return basic or (form.get("client_id"), form.get("client_secret")) == (CLIENT, self.secret)

    def answer(self, path: str, body: bytes, authorization: str) -> tuple[int, dict[str, Any]]:
        """Status and content."""
        if path == "/.well-known/openid-configuration":
            return 200, self.metadata()
        if path == "/keys":
            return 200, {"keys": [each.as_dict(private=False) for each in self.keys]}
        if path == "/token":
            return self.redeem(dict(parse_qsl(body.decode())), authorization)
        if path == "/userinfo" and self.userinfo is not None and authorization == "Bearer at":
            return 200, self.userinfo
        return 404, {}


@contextmanager
def identity_provider(port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[IdentityProvider]:
    """It answers on loopback, at ``port`` or any, with TLS where there is a ``context``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            provider.asked[path] += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if path in provider.instead:
                provider.instead[path](self)
                return
            status, content = provider.answer(path, body, self.headers.get("Authorization", ""))
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # whoever asked has gone away

    with Server(("127.0.0.1", port), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        provider = IdentityProvider(f"{scheme}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Visitor:
    """A browser as far as sign-in needs one: cookies, and no redirect followed by itself."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, method: str = "GET", **options: Any) -> Any:
        """The answer of ours to a request for ``path``."""
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {**self.headers, **({"Cookie": jar} if jar else {})}
        with httpx.Client(verify=_NO_TLS, trust_env=False, timeout=60) as client:
            answer = client.request(method, self.address + path, headers=headers, **options)
        for kept in answer.headers.get_list("set-cookie"):
            name, _, value = kept.partition(";")[0].partition("=")
            if "Max-Age=0" in kept:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value.strip('"')
        return answer

    def begin(self, page: str = "/") -> Any:
        """The answer that sends one to the provider."""
        return self.ask(f"/sign-in/begin?{urlencode({'next': page})}")

    def come_back(self, back: str) -> Any:
        """The answer to the address that the provider sends one back to."""
        parts = urlsplit(back)
        assert f"https://{parts.netloc}{parts.path}" == f"{PAGE}sign-in/callback"
        return self.ask(f"/sign-in/callback?{parts.query}")

    def sign_in(self, provider: IdentityProvider, page: str = "/") -> Any:
        """The answer to who comes back from the provider."""
        sent = self.begin(page)
        assert sent.status_code == 303, sent.text
        assert sent.headers["location"].startswith(provider.metadata()["authorization_endpoint"]), sent.headers
        return self.come_back(provider.sign_in(sent.headers["location"]))
