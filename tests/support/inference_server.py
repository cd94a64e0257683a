"""A small server of the Open Inference Protocol v2 on loopback, whose answers and faults a test sets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from triage.model.known_answers import KnownAnswers

NAME = "chest"


def brightness(images: Any, bias: float = 0.0) -> Any:
    """The logistic function of the mean plus ``bias``, as the graph of tests/support/model_folders.py."""
    return 1 / (1 + np.exp(-(np.asarray(images, dtype=np.float64).mean(axis=(1, 2, 3)) + bias)))


def known(size: int = 64, count: int = 3, bias: float = 0.0, around: float = 0.0) -> KnownAnswers:
    """Known answers of ``brightness``: grey images of levels ``around`` one, the first dark and the last bright."""
    levels = np.linspace(around - 1.5, around + 1.5, count, dtype=np.float32)[:, None, None, None]
    images = np.broadcast_to(levels, (count, 1, size, size)).astype(np.float32)
    return KnownAnswers(images, brightness(images, bias).astype(np.float32)[:, None])


@dataclass
class InferenceServer:
    """``model``: images (n, 1, s, s) to probabilities. ``fault``: replaces an answer, by the request's record."""

    port: int = 0
    model: Callable[[Any], Any] = brightness
    version: str | None = "1"
    fault: Callable[[dict[str, Any]], Any] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2/models/{NAME}"

    def answer(self, request: dict[str, Any]) -> Any:
        """A record, or (status, headers, body)."""
        self.asked.append(request)
        changed = self.fault(request) if self.fault else None
        return self.scored(request) if changed is None else changed

    def scored(self, request: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """The right answer; ``changes`` are of its output."""
        (tensor,) = request["inputs"]
        assert tensor["datatype"] == "FP32"
        images = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        said = np.asarray(self.model(images)).reshape(len(images), -1)
        output = {"name": "probability", "datatype": "FP32", "shape": list(said.shape), "data": said.ravel().tolist()}
        stated = {} if self.version is None else {"model_version": self.version}
        return {"model_name": NAME, **stated, "outputs": [{**output, **changes}]}


def images_of(request: dict[str, Any]) -> Any:
    (tensor,) = request["inputs"]
    return np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])


@contextmanager
def inference_server(port: int = 0, **values: Any) -> Iterator[InferenceServer]:
    """The server, from a thread of the test's process."""
    served = InferenceServer(**values)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == f"/v2/models/{NAME}/infer"
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = served.answer(request)
            if isinstance(answer, bytes):  # whatever the test wants on the wire
                self.wfile.write(answer)
                self.close_connection = True
                return
            status, headers, body = answer if isinstance(answer, tuple) else (200, {}, json.dumps(answer).encode())
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        allow_reuse_address = True
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that hung up

    with Server(("127.0.0.1", port), Handler) as server:
        served.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
