"""A correction in an ORU: OBX-11 (table 0085) C or W, and what was said before and is said no more, with W."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from triage.decision.correction import CorrectionStatus
from triage.hl7.text import Encoded, segment
from triage.spool.study import Study

_IDENTIFIER, _SUB_ID, _STATUS = 3, 4, 11
_WRONG = "W"  # "post original as wrong, e.g. transmitted for wrong patient"
_STATUSES = {CorrectionStatus.CORRECTED: "C", CorrectionStatus.WRONG: _WRONG}


def correction_notes(study: Study, before: int) -> list[Encoded]:
    """Return the NTE that says who corrected, when and why; ``before``: the number of NTE before it."""
    if study.correction is None:
        return []
    return [segment("NTE", {1: str(before + 1), 2: "L", 3: study.correction.sentence})]


def corrected(said: Sequence[Encoded], study: Study) -> list[Encoded]:
    """Return the OBX of a message; those of a correction with its status, and behind them what they do not replace.

    OBR-25 stays as the destination has it: it is the status of the order, which no correction of ours closes.
    """
    if study.correction is None:
        return list(said)
    status = _STATUSES[study.correction.status]
    now = [each.split("|") for each in said]
    replaced = {_key(fields) for fields in now}
    earlier = [fields for fields in _earlier(study) if _key(fields) not in replaced]
    lines = [_with(fields, status) for fields in now] + [_with(fields, _WRONG) for fields in earlier]
    return [_numbered(fields, number) for number, fields in enumerate(lines, 1)]


def withdrawal(study: Study, ours: bytes) -> bytes:
    """Return the message that takes back what was said of another patient than ``ours`` names; empty if none was.

    It has PID and OBR of the earlier message, to the byte, and each of its values with W.
    """
    if study.correction is None or study.before is None:
        return b""
    then, now = (_segments(message) for message in (study.before.payload, ours))
    if not all(name in then for name in (b"PID", b"OBR")) or _field(then[b"PID"], 3) == _field(now[b"PID"], 3):
        return b""
    wrong = [_numbered(_with(fields, _WRONG), number) for number, fields in enumerate(_earlier(study), 1)]
    if not wrong:
        return b""
    header = now[b"MSH"].split(b"|")
    for at in (17, 19):  # MSH-18 and -20: the characters of the earlier segments
        if at < len(header):
            header[at] = _field(then[b"MSH"], at)
    lines = [b"|".join(header), then[b"PID"], then[b"OBR"]]
    lines += [each.encode("ascii", "replace") for each in (*correction_notes(study, 0), *wrong)]
    return b"".join(line + b"\r" for line in lines)


def _segments(message: bytes) -> dict[bytes, bytes]:
    """Return the first segment of each name."""
    found: dict[bytes, bytes] = {}
    for line in message.split(b"\r"):
        found.setdefault(line[:3], line)
    return found


def _field(line: bytes, number: int) -> bytes:
    fields = line.split(b"|")
    return fields[number] if number < len(fields) else b""


def _earlier(study: Study) -> Iterator[list[str]]:
    """Yield the fields of each OBX of the last message that was not taken back by it already."""
    payload = study.before.payload if study.before else b""
    for line in payload.split(b"\r"):
        if line.startswith(b"OBX|") and line.isascii():
            fields = line.decode().split("|")
            if len(fields) > _STATUS and fields[_STATUS] != _WRONG:
                yield fields


def _key(fields: Sequence[str]) -> tuple[str, str]:
    return fields[_IDENTIFIER], fields[_SUB_ID]


def _with(fields: Sequence[str], status: str) -> list[str]:
    return [*fields[:_STATUS], status, *fields[_STATUS + 1 :]]


def _numbered(fields: Sequence[str], number: int) -> Encoded:
    return Encoded("|".join([fields[0], str(number), *fields[2:]]))
