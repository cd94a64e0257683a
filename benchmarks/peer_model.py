"""The adult model behind HTTP, as `dicom-ai-router` asks for one; `peers.py` starts it. Usage: peer_model.py PORT

A request is multipart/form-data with one DICOM file. It is decoded, preprocessed and scored with our own functions, so
that a router in front of it has the same decoder, the same preprocessing and the same ONNX file as our service.
"""

from __future__ import annotations

import json
import sys
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

from triage.model.card import ModelCard, load_cards
from triage.model.registry import RegistryPolicy
from triage.model.session import ModelSession
from triage.runtime.heap import keep_freed_memory
from triage.scoring.assess import AssessmentPolicy, prepare

MODEL = "rsna-adult"
_MODELS = Path(__file__).parent.parent / "models"


@cache
def loaded() -> tuple[dict[str, ModelCard], ModelSession]:
    """Return the cards and the session, loaded once."""
    cards = load_cards(_MODELS, ())
    session = ModelSession(_MODELS / MODEL, cards[MODEL])
    session.warm()
    return cards, session


def score(data: bytes) -> float | None:
    """Return the probability of a DICOM file; None for one that must not be scored."""
    cards, session = loaded()
    policy = AssessmentPolicy(registry=RegistryPolicy(allow_demo=True))
    prepared = prepare(data, cards, policy, model_name=MODEL)
    if prepared.model_input is None:
        return None
    return float(session.score(prepared.model_input[None]).probability[0, 0])


class Handler(BaseHTTPRequestHandler):
    """Answers with the fields that `dicom-ai-router` 0.3 reads."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        began = time.perf_counter()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        probability = score(body[body.index(b"\r\n\r\n") + 4 : body.rindex(b"\r\n--" + boundary)])
        answer = {
            "model": MODEL,
            "model_version": "2",
            "result": "SCORED" if probability is not None else "REFUSED",
            "summary_lines": [["Probability", f"{probability}"]],
            "display_window": [2048, 4096],
            "processing_ms": round(1e3 * (time.perf_counter() - began)),
        }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    keep_freed_memory()
    cv2.setNumThreads(1)
    loaded()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
