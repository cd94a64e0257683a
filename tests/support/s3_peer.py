"""An S3 server of the tests' own on loopback, and the faults between a client and it or a real one.

A ``Backend`` answers requests: ``KeptInMemory``, or ``Forwarded`` to a real store. ``faults`` of the peer are applied
to the next requests, one each.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from triage.spool.cluster.address import BucketAddress

BUCKET, ACCESS_KEY, SECRET_KEY = "radiographs", "triagekey", "triagesecret"

Fault = Literal[
    "corrupt the body", "corrupt the answer", "cut", "cut the answer", "lose the answer", "hold", "end without a word"
]


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Backend = Callable[[Asked], Said]


def error(status: int, code: str) -> Said:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>-</Message></Error>'
    return Said(status, {"content-type": "application/xml"}, body.encode())


@dataclass
class KeptInMemory:
    """A store in memory. It verifies checksums unless told otherwise; ``page`` keys come in one list."""

    objects: dict[str, bytes] = field(default_factory=dict)
    verifies: bool = True
    states_checksums: bool = True
    states_etags: bool = True
    knows_ranges: bool = True
    keeps: Callable[[bytes], bytes] = lambda body: body
    page: int = 2

    def __call__(self, asked: Asked) -> Said:
        path, _, query = asked.target.partition("?")
        if f"Credential={ACCESS_KEY}/" not in asked.headers["authorization"]:
            return error(403, "InvalidAccessKeyId")
        _, bucket, key = (*path.split("/", 2), "")[:3]
        if bucket != BUCKET:
            return error(404, "NoSuchBucket")
        acts = {"PUT": self.put, "GET": self.get if key else self.list, "DELETE": self.delete}
        return acts[asked.method](key or query, asked)

    def put(self, key: str, asked: Asked) -> Said:
        stated = asked.headers.get("x-amz-checksum-sha256", "")
        if self.verifies and stated and b64decode(stated) != sha256(asked.body).digest():
            return error(400, "BadDigest")
        self.objects[key] = self.keeps(asked.body)
        etag = {"etag": f'"{md5(self.objects[key]).hexdigest()}"'} if self.states_etags else {}
        return Said(200, {**etag, **({"x-amz-checksum-sha256": stated} if self.states_checksums else {})})

    def get(self, key: str, asked: Asked) -> Said:
        if key not in self.objects:
            return error(404, "NoSuchKey")
        content = self.objects[key]
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", ""))
        if part is None or not self.knows_ranges:
            return Said(200, {}, content)
        first, last = int(part[1]), min(int(part[2]), len(content) - 1)
        if first >= len(content):
            return Said(416, {"content-range": f"bytes */{len(content)}"}, b"")
        return Said(206, {"content-range": f"bytes {first}-{last}/{len(content)}"}, content[first : last + 1])

    def delete(self, key: str, asked: Asked) -> Said:
        return error(404, "NoSuchKey") if self.objects.pop(key, None) is None else Said(204)

    def list(self, query: str, asked: Asked) -> Said:
        words = {name: values[0] for name, values in parse_qs(query).items()}
        prefix, delimiter = words.get("prefix", ""), words.get("delimiter", "")
        found = sorted({_up_to(delimiter, prefix, key) for key in self.objects if key.startswith(prefix)})
        found = [key for key in found if key > max(words.get("continuation-token", ""), words.get("start-after", ""))]
        more = (
            f"<NextContinuationToken>{found[self.page - 1]}</NextContinuationToken>" if len(found) > self.page else ""
        )
        listed = "".join(self._item(key, delimiter) for key in found[: self.page])
        kind = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        return Said(200, {}, f"<ListBucketResult {kind}>{listed}{more}</ListBucketResult>".encode())

    def _item(self, key: str, delimiter: str) -> str:
        if delimiter and key.endswith(delimiter):
            return f"<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>"
        size, at = len(self.objects[key]), "2026-11-30T03:13:59.000Z"
        return f"<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>{at}</LastModified></Contents>"


@dataclass(frozen=True)
class Forwarded:
    """The requests as they came, to a server at ``host``: their signature holds, as they keep their Host."""

    host: str

    def __call__(self, asked: Asked) -> Said:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.putrequest(asked.method, asked.target, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                connection.putheader(name, value)
            connection.endheaders(asked.body)
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in _OF_THE_CONNECTION}
            return Said(response.status, headers, response.read())
        finally:
            connection.close()


_OF_THE_CONNECTION = {"connection", "content-length", "transfer-encoding", "date", "server"}


@dataclass
class S3Peer:
    """``faults``: what happens to the next requests, one each: a fault, or the answer that they get."""

    backend: Backend
    port: int = 0
    remembers: bool = True
    tls: bool = False
    faults: list[Fault | Said] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> BucketAddress:
        kind = "https" if self.tls else "http"
        return BucketAddress(f"{kind}://127.0.0.1:{self.port}", BUCKET, ACCESS_KEY, SECRET_KEY, timeout_s=20.0)


@contextmanager
def s3_peer(
    backend: Backend,
    tls: ssl.SSLContext | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    remembers: bool = True,
) -> Iterator[S3Peer]:
    """A peer at an address. ``remembers``: it keeps what it was asked."""
    peer = S3Peer(backend, tls=tls is not None, remembers=remembers)

    class Handler(_Handler):
        served_by = peer

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    peer.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield peer
    finally:
        peer.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served_by: S3Peer

    def setup(self) -> None:
        super().setup()
        self.served_by.connections += 1

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        peer = self.served_by
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        if peer.remembers:
            peer.asked.append(asked)
        fault = peer.faults.pop(0) if peer.faults else None
        if isinstance(fault, Said):
            return self._say(fault)
        if fault == "hold":
            peer.ended.wait(60)
        if fault in ("hold", "cut"):
            return self._end()
        if fault == "corrupt the body":
            asked = Asked(asked.method, asked.target, asked.headers, corrupted(asked.body))
        said = peer.backend(asked)
        if fault == "lose the answer":
            return self._end()
        if fault == "corrupt the answer":
            said = Said(said.status, said.headers, corrupted(said.body))
        self._say(said, half=fault == "cut the answer")
        if fault == "end without a word":
            self._end()

    do_PUT = _answer  # noqa: N815
    do_GET = _answer  # noqa: N815
    do_DELETE = _answer  # noqa: N815

    def _say(self, said: Said, half: bool = False) -> None:
        self.send_response_only(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body[: len(said.body) // 2] if half else said.body)
        if half:
            self._end()

    def _end(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()


def _up_to(delimiter: str, prefix: str, key: str) -> str:
    """The key, or what of it ends with the first delimiter behind the prefix."""
    head, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else (key, "", "")
    return f"{prefix}{head}{found}" if found else key


def corrupted(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def host_of(address: BucketAddress) -> str:
    return urlsplit(address.endpoint).netloc
