"""PURE: the acknowledgement of a message (HL7 v2.5.1 section 2.9, tables 0008 and 0357)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from triage.hl7.text import escape
from triage.inbound_reports.message import Header


class Code(StrEnum):
    """What is answered. AE: the message is at fault, and will be again. AR: not taken now, or not from this sender."""

    ACCEPTED = "AA"
    ERROR = "AE"
    REJECTED = "AR"


_COMMIT = {Code.ACCEPTED: "CA", Code.ERROR: "CE", Code.REJECTED: "CR"}
_CONDITION = "207^Application internal error^HL70357"  # table 0357 has none that says more; the text does


def acknowledgement(header: Header, code: Code, text: str, control_id: str, now: float) -> bytes:
    """The answer to the message of ``header``, in ASCII. ``text`` is for people, and names no patient."""
    ends = [escape(each) for each in (*header.receiving, *header.sending)]  # the other way round
    event = escape(header.kind.partition("^")[2])
    at = datetime.fromtimestamp(now).astimezone().strftime("%Y%m%d%H%M%S%z")
    mode = escape(header.processing_id)
    said = _COMMIT[code] if header.commit_only else code
    segments = [
        ["MSH", "^~\\&", *ends, at, "", f"ACK^{event}^ACK" if event else "ACK", control_id, mode, "2.5.1"],
        ["MSA", said, escape(header.control_id), escape(text)],
    ]
    if code is not Code.ACCEPTED:
        segments.append(["ERR", "", "", _CONDITION, "E", "", "", "", escape(text)])
    return "".join("|".join(segment) + "\r" for segment in segments).encode("ascii", "replace")
