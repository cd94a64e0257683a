"""The faults of an S3 store as OSError with the system's numbers, which are all that the rooms know (ADR 71)."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
from dataclasses import dataclass

from triage.spool.errors import BUCKET_SCHEME

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,80})</Code>")
_NO_SPACE = {"XMinioStorageFull", "StorageFull", "InsufficientStorage", "InsufficientCapacity", "NoSpaceLeft"}
_QUOTA = {"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "QuotaExceededException", "TooManyBytes"}
_DIGEST = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody"}
_BUSY = {"SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "InternalError", "RequestTimeout"}
_BUSY_STATUS = {429, 500, 502, 503, 504}

_KEYS = "give the bucket's access key and secret key"
_RIGHTS = "let its user read, write, delete and list the objects of this bucket"
_REFUSED = {
    "InvalidAccessKeyId": f"it does not know the access key: {_KEYS}",
    "SignatureDoesNotMatch": f"the secret key is not that of the access key: {_KEYS}",
    "RequestTimeTooSkewed": "its clock and this machine's differ by more than 15 minutes: synchronise both",
}


@dataclass(frozen=True)
class S3Answer:
    """One response: its status, its headers with names in lower case, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The store's own code of an error; empty where it gives none."""
        found = _CODE.search(self.body)
        return found.group(1).decode() if found else ""


def fault_of(answer: S3Answer, what: str, host: str) -> OSError:
    """Return the error of an answer that is none of success. ``what``: the act and its object, for the message."""
    number, why = _judged(answer)
    said = f"HTTP {answer.status}" + (f", {answer.code}" if answer.code else "")
    return OSError(number, f"{what}: {why} ({said})", _named(host))


def fault_of_exchange(error: Exception, late: bool, host: str) -> OSError:
    """Return the error of an exchange that ended without an answer. ``late``: its time was over."""
    found = _without_answer(error, late, f"S3 at {host}")
    found.filename = _named(host)
    return found


def _named(host: str) -> str:
    """Return the name that an error of the bucket has where that of a file has its path."""
    return f"{BUCKET_SCHEME}{host}"


def _without_answer(error: Exception, late: bool, what: str) -> OSError:
    if late or isinstance(error, TimeoutError):
        return OSError(errno.ETIMEDOUT, f"{what}: the store did not answer in time")
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted ({error.verify_message}): name the authority that signed it"
        return OSError(errno.EPROTO, f"{what}: {why}")
    if isinstance(error, ssl.SSLError):
        return OSError(errno.EPROTO, f"{what}: no TLS connection ({error.reason or type(error).__name__})")
    if isinstance(error, ConnectionRefusedError):
        return OSError(errno.ECONNREFUSED, f"{what}: no server answers at this address")
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return OSError(errno.EHOSTUNREACH, f"{what}: the name of the endpoint cannot be looked up now")
        return OSError(errno.ENXIO, f"{what}: the name of the endpoint is not known: correct s3.endpoint")
    if isinstance(error, http.client.IncompleteRead | http.client.HTTPException | ConnectionError):
        return OSError(errno.ECONNRESET, f"{what}: the connection ended before the answer did ({type(error).__name__})")
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    why = getattr(error, "strerror", None) or type(error).__name__
    return OSError(number, f"{what}: {why}")


def _judged(answer: S3Answer) -> tuple[int, str]:
    """Return the number of an answer's fault, and the fault in words."""
    code, status = answer.code, answer.status
    if code == "NoSuchBucket":
        return errno.ENXIO, "there is no such bucket: make it, or correct the bucket's name"
    if status == 404:
        return errno.ENOENT, "it is not there"
    if code in _REFUSED:
        return errno.EACCES, _REFUSED[code]
    if status in (401, 403) and code not in _QUOTA | _NO_SPACE | _DIGEST:
        return errno.EACCES, f"the store refuses: {_RIGHTS}"
    if code in _QUOTA:
        return errno.EDQUOT, "its quota is used up"
    if status == 507 or code in _NO_SPACE:
        return errno.ENOSPC, "the store is full"
    if code in _DIGEST:
        return errno.EIO, "other bytes arrived than were sent"
    if status == 413 or code == "EntityTooLarge":
        return errno.EFBIG, "it is too large for the store"
    if status in _BUSY_STATUS or code in _BUSY:
        return errno.EAGAIN, "the store cannot do it now"
    return errno.EIO, _unexpected(answer)


def _unexpected(answer: S3Answer) -> str:
    if answer.status // 100 == 3 or answer.code == "AuthorizationHeaderMalformed":
        return "the store points elsewhere: give its own endpoint and its region"
    return "the store answers with an error that is not expected"
