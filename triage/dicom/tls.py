"""TLS for DICOM and HL7, by PS3.15 B.12 (BCP 195: RFC 8996, 9325): version 1.2 or later, forward secrecy, AEAD."""

from __future__ import annotations

import logging
import math
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from triage.dicom.certificates import first_certificate, next_update, not_after
from triage.errors import StartError

logger = logging.getLogger(__name__)

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2 (RFC 9325 4.2); those of 1.3 are all of this kind
_ALERT_S = 2.0  # in TLS 1.3 a peer refuses our certificate after the handshake


class TLSFailure(StrEnum):
    """Reason why there is no TLS with a peer; the label of the metric."""

    NOT_TLS = "not_tls"  # the peer speaks something else
    SILENT = "silent"  # it connected and did not finish the handshake
    NO_CERTIFICATE = "no_certificate"  # it presents none
    UNKNOWN_CA = "unknown_ca"  # its certificate is signed by no authority that we know
    EXPIRED = "expired"  # its certificate is out of date, or not valid yet
    REVOKED = "revoked"  # its authority has revoked its certificate
    CRL_EXPIRED = "crl_expired"  # our list of revoked certificates is out of date
    NO_CRL = "no_crl"  # we have no such list of its certificate's authority
    WRONG_NAME = "wrong_name"  # its certificate is another host's
    REFUSED = "refused"  # it does not like our certificate, or that we have none
    NOTHING_COMMON = "nothing_common"  # no version or cipher that both take
    LOST = "lost"  # it closed the connection
    OTHER = "other"


MEANINGS = {
    TLSFailure.NOT_TLS: "it does not speak TLS on this port",
    TLSFailure.SILENT: "it did not finish the handshake in time",
    TLSFailure.NO_CERTIFICATE: "it presents no certificate",
    TLSFailure.UNKNOWN_CA: "its certificate is signed by no authority that we were given",
    TLSFailure.EXPIRED: "its certificate has expired or is not valid yet",
    TLSFailure.REVOKED: "its authority has revoked its certificate",
    TLSFailure.CRL_EXPIRED: "our list of revoked certificates is out of date: renew tls_client_crl",
    TLSFailure.NO_CRL: "tls_client_crl has no list of the authority that signed its certificate",
    TLSFailure.WRONG_NAME: "its certificate is made out to another name",
    TLSFailure.REFUSED: "it refuses our certificate, or asks for one that we were not given",
    TLSFailure.NOTHING_COMMON: "it takes no version of TLS from 1.2 on, or none of our ciphers",
    TLSFailure.LOST: "it ended the connection during the handshake",
    TLSFailure.OTHER: "the handshake failed",
}
_VERIFY_CODES = {  # OpenSSL's X509_V_ERR_...
    **dict.fromkeys((9, 10), TLSFailure.EXPIRED),
    **dict.fromkeys((2, 18, 19, 20, 21, 27), TLSFailure.UNKNOWN_CA),
    **dict.fromkeys((62, 64), TLSFailure.WRONG_NAME),
    23: TLSFailure.REVOKED,
    **dict.fromkeys((11, 12), TLSFailure.CRL_EXPIRED),
    **dict.fromkeys((3, 8, 33), TLSFailure.NO_CRL),
}
_REASONS = {
    "WRONG_VERSION_NUMBER": TLSFailure.NOT_TLS,
    "HTTP_REQUEST": TLSFailure.NOT_TLS,
    "RECORD_LAYER_FAILURE": TLSFailure.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": TLSFailure.NOT_TLS,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": TLSFailure.NO_CERTIFICATE,
    "UNSUPPORTED_PROTOCOL": TLSFailure.NOTHING_COMMON,
    "NO_SHARED_CIPHER": TLSFailure.NOTHING_COMMON,
    "TLSV1_ALERT_PROTOCOL_VERSION": TLSFailure.NOTHING_COMMON,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": TLSFailure.NOTHING_COMMON,
}


def failure_of(error: OSError) -> TLSFailure:
    """Return what an error of a handshake means, on the side of the server and of the client."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, TLSFailure.OTHER)
    if isinstance(error, TimeoutError):
        return TLSFailure.SILENT
    if not isinstance(error, ssl.SSLError) or isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return TLSFailure.LOST
    reason = error.reason or ""
    if failure := _REASONS.get(reason):
        return failure
    refused = "ALERT" in reason and any(word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED"))
    return TLSFailure.REFUSED if refused else TLSFailure.OTHER


def explain(error: OSError) -> str:
    """Return what an error of a handshake means in words for the person who must act, followed by OpenSSL's own."""
    detail = ""
    if isinstance(error, ssl.SSLError):
        detail = (isinstance(error, ssl.SSLCertVerificationError) and error.verify_message) or error.reason or ""
    return MEANINGS[failure_of(error)] + (f" ({detail})" if detail else "")


class ServerTLS:
    """TLS of a server port, from PEM files.

    The files are checked for changes with each connection: a renewed certificate serves from then on, without a
    restart. Renewed files that cannot be used are logged, and the former ones serve on.

    Args:
        certificate: Ours, with those between it and its authority.
        key: The private key of ours, not encrypted.
        client_ca: Authorities of the clients that may connect; without it a client needs no certificate.
        client_crl: Revocation lists of those authorities (RFC 5280), one of each; without it none is checked.
        section: Section of the settings, for messages.

    Raises:
        StartError: A file cannot be used.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        client_ca: Path | None = None,
        client_crl: Path | None = None,
        section: str = "listener",
    ) -> None:
        self._files = (certificate, key, *(path for path in (client_ca, client_crl) if path))
        self._client_ca, self._client_crl = client_ca, client_crl
        self._lock = threading.Lock()
        try:
            self._seen = self._state()
            self._context, self._not_after, self._next_update = self._load()
        except (OSError, ValueError) as error:
            raise StartError(
                f"{section}.tls_certificate, tls_key, tls_client_ca, tls_client_crl: {_described(error)}"
            ) from error

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        with self._lock:
            self._renew()
            return self._context

    def not_after(self) -> float:
        """Return when the certificate that is served expires, in POSIX seconds."""
        with self._lock:
            self._renew()
            return self._not_after

    def next_update(self) -> float:
        """Return when the revocation list expires, in POSIX seconds; ``inf``: never, or there is none."""
        with self._lock:
            self._renew()
            return self._next_update

    def _renew(self) -> None:
        try:
            state = self._state()
            if state == self._seen:
                return
            self._seen = state  # one attempt for each change: certificate and key are seldom replaced at once
            self._context, self._not_after, self._next_update = self._load()
            logger.info("the certificate in %s, or what clients are checked against, was renewed", self._files[0])
        except (OSError, ValueError) as error:
            logger.error("a renewed file cannot be used (%s): the former one serves on", _described(error))

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        stats = [path.stat() for path in self._files]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _load(self) -> tuple[ssl.SSLContext, float, float]:
        context = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.load_cert_chain(self._files[0], self._files[1], password=_no_password)
        if self._client_ca:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context, not_after(self._files[0]), self._revoking(context)

    def _revoking(self, context: ssl.SSLContext) -> float:
        """Have ``context`` refuse revoked certificates; return when the list expires. An expired one refuses all."""
        if self._client_crl is None:
            return math.inf
        until = next_update(self._client_crl)
        context.load_verify_locations(self._client_crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if until <= time.time():
            logger.error("%s has expired: no client is let in over TLS until it is renewed", self._client_crl)
        return until


@dataclass(frozen=True)
class ClientTLS:
    """TLS of a connection that we make. The files are read for each connection: renewed ones need no restart.

    Attributes:
        server_name: The name that the peer's certificate has to be made out to.
        ca_file: Authorities of the peer; the system's if None.
        certificate: Ours, where the peer asks for one.
        key: The private key of ours.
        pinned: The peer has to show the first certificate of this file, or one signed with it; its name and its
            authority do not matter.
        advice: What to do about a failure, for the person who reads of it.
    """

    server_name: str
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    pinned: Path | None = None
    advice: str = ""

    def context(self) -> ssl.SSLContext:
        """Return the context for a connection. Raises OSError, ValueError for files that cannot be used."""
        for path in filter(None, (self.ca_file, self.certificate, self.key, self.pinned)):
            path.stat()  # OpenSSL would not say which one is missing
        context = _strict(_pinning(self.pinned) if self.pinned else ssl.create_default_context(cafile=self.ca_file))
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        return context

    def handshake_failure(self, host: str, port: int, timeout_s: float) -> str:
        """Try one handshake with a peer that can be reached; return why it fails, or an empty string."""
        try:
            connected = socket.create_connection((host, port), timeout_s)
        except (OSError, UnicodeError):
            return ""
        with closing(connected):
            try:
                with self.context().wrap_socket(connected, server_hostname=self.server_name) as secure:
                    _await_alert(secure)
            except (OSError, ValueError) as error:
                return explain(error) if isinstance(error, OSError) else str(error)
        return ""


def not_after_or_zero(certificate: Path) -> float:
    """Return ``not_after`` for a metric: 0 for a file that cannot be read, which counts as expired."""
    try:
        return not_after(certificate)
    except (OSError, ValueError) as error:
        logger.error("certificate %s: %s", certificate, _described(error))
        return 0.0


def _await_alert(secure: ssl.SSLSocket) -> None:
    """Wait for the alert of a peer that refuses our certificate: in TLS 1.3 it comes after our handshake."""
    secure.settimeout(_ALERT_S)
    with suppress(TimeoutError):
        secure.recv(1)


def _pinning(certificate: Path) -> ssl.SSLContext:
    """Return a context that trusts one certificate alone. Its name is not checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=first_certificate(certificate))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _no_password() -> str:
    """Raise ValueError: OpenSSL would ask at the terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted: a service cannot type its password; give it a key without one")


def _described(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{error.reason or error}: no PEM, or certificate and key do not belong together"
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")
    return str(error)
