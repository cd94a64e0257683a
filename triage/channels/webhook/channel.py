"""A webhook: the result as signed JSON, by HTTP POST."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from triage.channels.base import Built, DeliveryStatus, Send, SendResult, result
from triage.decision.correction import Correction
from triage.decision.statement import SCOPE, looked_for
from triage.decision.types import TriageDecision
from triage.dicom.tls import ClientTLS
from triage.errors import UnreachableError
from triage.runtime.http_request import HttpPeer, PeerError
from triage.spool.study import Study

ENCODER_VERSION = "1"
SIGNATURE = "X-CXR-Triage-Signature"
_REFUSED_FOR_EVER = (400, 409, 410, 413, 415, 422)  # about this message; 401, 403, 404 are about the address or the key


@dataclass(frozen=True)
class WebhookChannel:
    """POSTs to ``url``, signed with ``secret``, and by Standard Webhooks with each of ``keys``.

    ``tls`` is our side of https.
    """

    url: str
    secret: bytes
    timeout_s: float
    keys: tuple[bytes, ...] = ()
    tls: ClientTLS | None = None

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder, and the settings that its messages depend on."""
        return f"webhook {ENCODER_VERSION} {self.url}"

    def wants(self, study: Study) -> bool:
        """Return whether this destination gets a message about the study; see ``Channel``."""
        return not study.shadow_only

    def content(self, study: Study) -> list[object]:
        """Return what the receiver learns; see ``Channel``."""
        return [*result(study), study.decision.priority]

    def build(self, study: Study) -> Built:
        """Build the message of a revision; see ``Channel``."""
        decision = study.decision
        content: dict[str, object] = {
            "id": study.revision,
            "number": study.number,
            "replaces": study.before.revision if study.before else None,
            **({} if study.before_findings else {"scope": SCOPE}),
            "study_instance_uid": decision.study_instance_uid,
            "accession_number": decision.accession_number,
            "accession_issuer": decision.accession_issuer,
            "tag": decision.tag,
            "probability": decision.probability,
            "priority": decision.priority,
            "raised": study.raised,
            "prior": decision.prior,
            "reasons": list(decision.reasons),
            "model": decision.model_id,
            "tagged_at": decision.tagged_at,
        }
        if not study.before_findings:
            content |= _findings(decision)
        if study.correction:
            content |= {"event": "correction", "correction": _correction(study.correction)}
        if study.test:
            content["test"] = True
        return Built(json.dumps(content).encode(), {"id": study.revision})

    @contextmanager
    def connect(self) -> Iterator[Send]:
        """Open a connection for messages. Raises UnreachableError."""
        peer = HttpPeer(self.url, self.timeout_s, self._context())
        try:
            peer.connect()
        except PeerError as error:
            peer.close()
            raise UnreachableError(f"{self._host} cannot be reached ({error})") from error
        try:
            yield lambda payload: self._post(peer, payload)
        finally:
            peer.close()

    def reach(self) -> list[str]:
        """Connect without a message and return what is wrong. Raises UnreachableError."""
        with self.connect():
            parts = urlsplit(self.url)
        if self.tls and (why := self.tls.handshake_failure(parts.hostname or "", parts.port or 443, self.timeout_s)):
            raise UnreachableError(f"no TLS with {self._host}: {why}")
        return []

    def check(self) -> list[str]:
        """POST a signed message about an invented patient, with ``test`` true."""
        payload = json.dumps({"test": True, "id": f"test-{int(time.time())}"}).encode()
        with self.connect() as send:
            outcome = send(payload)
        return [f"Connected to {self._host}.", f"Answer to a signed test message: {outcome.detail}."]

    def _context(self) -> ssl.SSLContext | None:
        try:
            return self.tls.context() if self.tls else None
        except (OSError, ValueError) as error:
            raise UnreachableError(f"our files of TLS for {self._host} cannot be used: {error}") from error

    @property
    def _host(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def _post(self, peer: HttpPeer, payload: bytes) -> SendResult:
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: sign(self.secret, payload, now),
            **standard_headers(self.keys or (self.secret,), payload, now),
        }
        try:
            return of_status(peer.ask("POST", payload, headers).status)
        except PeerError as error:
            return SendResult(DeliveryStatus.RETRY, f"no answer ({error})", lost=True)


def _findings(decision: TriageDecision) -> dict[str, object]:
    """Return the urgency, each finding, and sentences that say what was looked for and what was not."""
    return {
        "urgency": decision.urgency,
        "findings": [asdict(each) for each in decision.findings],
        "looked_for": list(looked_for(decision)),
    }


def _correction(act: Correction) -> dict[str, object]:
    """Return the act by which the earlier messages are corrected; ``status``: corrected, or wrong (disregard them)."""
    return {"id": act.identifier, "status": act.status, "at": act.at, "by": act.by, "reason": act.reason}


def sign(secret: bytes, payload: bytes, at: int) -> str:
    """The header that proves the sender: ``t=<POSIX seconds>,v1=<HMAC-SHA256 of "t.payload" as hex>``.

    The time is that of the attempt, so that a receiver may refuse old ones; the payload is the same each time.
    """
    digest = hmac.new(secret, f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def standard_headers(keys: Sequence[bytes], payload: bytes, at: int) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0: ``webhook-id``, ``-timestamp``, and ``-signature`` with one of each key.

    The id is that of the result, the same at each attempt, so that a receiver can drop what it has. The time is the
    attempt's.
    """
    identifier = str(json.loads(payload)["id"])
    signed = f"{identifier}.{at}.".encode() + payload
    digests = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    signatures = " ".join(f"v1,{each}" for each in digests)
    return {"webhook-id": identifier, "webhook-timestamp": str(at), "webhook-signature": signatures}


def of_status(status: int) -> SendResult:
    """Return the result for an HTTP status. Redirects are not followed: the site has to correct the address."""
    detail = f"HTTP {status}"
    if 200 <= status < 300:
        return SendResult(DeliveryStatus.DELIVERED, detail)
    return SendResult(DeliveryStatus.DEAD if status in _REFUSED_FOR_EVER else DeliveryStatus.RETRY, detail)
