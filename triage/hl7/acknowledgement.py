"""PURE: an acknowledgement (HL7 v2.5.1 section 2.9), as peers write it."""

from __future__ import annotations

from dataclasses import dataclass

from triage.hl7.segments import segments_of

_LONGEST_SHOWN = 400


@dataclass(frozen=True)
class Acknowledgement:
    """MSA-1, MSA-2 (which message it is about), and what the peer said beside: MSA-3, ERR. That may name a patient."""

    code: str
    about: str
    told: str


def read_acknowledgement(message: bytes) -> Acknowledgement:
    """Raises ValueError for anything else."""
    segments = segments_of(message.decode("utf-8", "replace"))
    acknowledging = next((each for each in segments if each.startswith("MSA")), "")
    code, about, text = [*acknowledging.split(acknowledging[3:4] or "|"), "", "", ""][1:4]
    if not code.strip():
        raise ValueError("not an acknowledgement")
    errors = [each for each in segments if each.startswith("ERR")]
    told = " ".join(filter(None, (text, *errors)))
    return Acknowledgement(code.strip().upper(), about.strip(), shown(told.encode()))


def shown(message: bytes) -> str:
    """What a peer sent, on one line, cut: for the person who looks into it."""
    text = message[: 2 * _LONGEST_SHOWN].decode("utf-8", "replace").strip()
    line = "".join(each if each.isprintable() else " | " if each == "\r" else f"\\x{ord(each):02x}" for each in text)
    return line[:_LONGEST_SHOWN]
