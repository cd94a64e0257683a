"""PURE: the acknowledgement of a message (HL7 v2.5.1 section 2.9, tables 0008 and 0357)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from triage.hl7.text import Encoded, components, segment
from triage.inbound_reports.message import MessageHeader


class AcknowledgementCode(StrEnum):
    """Acknowledgement code (HL7 Table 0008). AE: never to be sent again. AR: not now, to be sent again."""

    ACCEPTED = "AA"
    ERROR = "AE"
    REJECTED = "AR"


_COMMIT = {AcknowledgementCode.ACCEPTED: "CA", AcknowledgementCode.ERROR: "CE", AcknowledgementCode.REJECTED: "CR"}
_CONDITION = components(
    "207", "Application internal error", "HL70357"
)  # table 0357 has none that says more; the text does


def acknowledgement(header: MessageHeader, code: AcknowledgementCode, text: str, control_id: str, now: float) -> bytes:
    """The answer to the message of ``header``, in ASCII. ``text`` is for people, and names no patient."""
    ends = (*header.receiving, *header.sending)  # the other way round
    event = header.kind.partition("^")[2]
    at = datetime.fromtimestamp(now).astimezone().strftime("%Y%m%d%H%M%S%z")
    kind = components("ACK", event, "ACK" if event else "")
    msh = dict(enumerate([Encoded("^~\\&"), *ends, at, "", kind, control_id, header.processing_id, "2.5.1"], 2))
    said = _COMMIT[code] if header.commit_only else code
    segments = [segment("MSH", msh), segment("MSA", {1: said, 2: header.control_id, 3: text})]
    if code is not AcknowledgementCode.ACCEPTED:
        segments.append(segment("ERR", {3: _CONDITION, 4: "E", 8: text}))
    return "".join(f"{each}\r" for each in segments).encode("ascii", "replace")
