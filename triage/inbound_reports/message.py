"""PURE: what an HL7 v2 message says of orders that were reported: ORU^R01 and ORM^O01.

Only the segments that are needed are parsed, each of them bounded: a message may carry a report of many pages, a
document, or nonsense.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import hl7

from triage.decision.identity import Issuer, PatientIdentifier
from triage.errors import TriageError
from triage.hl7.message_types import ORM, ORU, SCHEME
from triage.hl7.segments import segments_of
from triage.hl7.text import decode, unescape

KINDS = (ORU, ORM)
_ONLY_EVENT = dict(kind.split("^") for kind in KINDS)
_LONGEST_SEGMENT = 16_384
_MOST_SEGMENTS = 2_000
_STUDY_INSTANCE_UID = "110180"  # DCM, as our own results have it in OBX-3
_ORDER_STATUS_CHANGED = ("SC", "RE")  # ORC-1 (table 0119): status changed, observations follow


class MalformedError(TriageError, ValueError):
    """Not a message that can be understood; the text names no value of it."""


@dataclass(frozen=True)
class MessageHeader:
    """MSH: who says it, and how it wants to be answered. ``commit_only``: it asks for no more than CA, CE or CR."""

    control_id: str = ""
    sending: tuple[str, str] = ("", "")
    receiving: tuple[str, str] = ("", "")
    kind: str = ""
    processing_id: str = "P"
    version: str = ""
    character_set: str = ""
    sent_at: str = ""
    commit_only: bool = False


@dataclass(frozen=True)
class ReportedOrder:
    """One order that a message speaks of: its identifiers by their place, and its status (OBR-25, or ORC-5).

    ``patients`` are the repetitions of PID-3 (CX), ``issuers`` those of ``identifiers`` that say one (EI.2 to EI.4).
    ``reported_at`` is OBR-22 as it was written; ``reporter`` OBR-32, who interpreted the images. ``ours``: it is a
    result of a triage service, and no report.
    """

    status: str = ""
    identifiers: dict[str, str] = field(default_factory=dict)
    study_instance_uid: str = ""
    patients: tuple[PatientIdentifier, ...] = ()
    reported_at: str = ""
    reporter: str = ""
    ours: bool = False
    issuers: dict[str, Issuer] = field(default_factory=dict)

    @property
    def patient_ids(self) -> tuple[str, ...]:
        """The IDs alone."""
        return tuple(each.value for each in self.patients)


def header_of(content: bytes) -> MessageHeader:
    """The header of a message, which is ASCII whatever the rest is. Raises MalformedError.

    Behind the headers of a batch (FHS, BHS) is the first message's.
    """
    beginning = segments_of(content[: 4 * _LONGEST_SEGMENT].decode("ascii", "replace"))
    first = next((each for each in beginning if each[:3] not in ("FHS", "BHS")), "")
    if not first.startswith("MSH") or len(first) > _LONGEST_SEGMENT:
        raise MalformedError("no MSH segment at the start")
    msh = _parsed(first)[0]
    accept, application = _value(msh, 15), _value(msh, 16)
    return MessageHeader(
        control_id=_value(msh, 10),
        sending=(_value(msh, 3), _value(msh, 4)),
        receiving=(_value(msh, 5), _value(msh, 6)),
        kind=_kind(_value(msh, 9), _value(msh, 9, 2)),
        processing_id=_value(msh, 11) or "P",
        version=_value(msh, 12),
        character_set=str(msh[18]) if len(msh) > 18 else "",
        sent_at=_value(msh, 7),
        commit_only=accept not in ("", "NE") and application in ("", "NE"),
    )


def _kind(code: str, event: str) -> str:
    """MSH-9; before HL7 2.3 many senders wrote no event."""
    return f"{code}^{event or _ONLY_EVENT.get(code, '')}"


def orders_of(content: bytes, kind: str, character_set: str) -> list[ReportedOrder]:
    """The orders of a message of ``kind``, in its order. Raises MalformedError."""
    try:
        text = decode(content, character_set)
    except ValueError as error:
        raise MalformedError(str(error)) from error
    needed = list(_needed(text))
    if sum(line.startswith("MSH") for line in needed) > 1:
        raise MalformedError("several MSH segments in one message")
    message = _parsed("\r".join(needed))
    return _of_results(message) if kind == ORU else _of_orders(message)


def _needed(text: str) -> Iterator[str]:
    count = 0
    for line in segments_of(text):
        name = line[:3]
        wanted = name in ("MSH", "PID", "ORC", "OBR", "ZDS") or (name == "OBX" and _STUDY_INSTANCE_UID in line[:200])
        if not wanted:
            continue
        count += 1
        if len(line) > _LONGEST_SEGMENT or count > _MOST_SEGMENTS:
            raise MalformedError(f"a segment {name} that is too long, or too many segments")
        yield line.replace("\r", " ")  # in a text, where segments end with LF


class _Segment(hl7.Segment):  # type: ignore[misc]
    """A segment whose values are unescaped here.

    The library writes as many line feeds as a formatting command asks for, a gigabyte of them if need be.
    """

    esc: str

    def extract_field(self, *place: int) -> str:
        """Return the value by numbers of segment, field, repetition, component and subcomponent."""
        escape, self.esc = self.esc, "\r"  # which no value has: the library leaves all values as they are
        try:
            return unescape(str(super().extract_field(*place)), self.separators, escape)
        finally:
            self.esc = escape


class _Factory(hl7.Factory):  # type: ignore[misc]
    create_segment = _Segment


def _parsed(text: str) -> hl7.Message:
    """``text`` with CR between its segments."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return hl7.parse(text, factory=_Factory)
    except Exception as error:  # the edge: whatever the peer wrote, and the library raises many kinds
        raise MalformedError("it cannot be parsed") from error


def _of_results(message: hl7.Message) -> list[ReportedOrder]:
    """Yield the orders of ORU^R01: each OBR reports the order of the ORC and the patient of the PID before it."""
    orders: list[ReportedOrder] = []
    patient: tuple[PatientIdentifier, ...] = ()
    order = ReportedOrder()
    for segment in message:
        name = str(segment[0])
        if name == "PID":
            patient, order = _patients(segment), ReportedOrder()
        elif name == "ORC":
            order = _of_orc(segment)
        elif name == "OBR":
            orders.append(_result(segment, order, patient))
            order = ReportedOrder()
        elif name in ("OBX", "ZDS") and orders and (uid := _study_uid(segment)):
            orders[-1] = replace(orders[-1], study_instance_uid=uid)
    if not orders:
        raise MalformedError("an ORU^R01 without OBR")
    return orders


def _of_orders(message: hl7.Message) -> list[ReportedOrder]:
    """Yield the orders of ORM^O01: each ORC changes one; its status counts if ORC-1 says that the status changed."""
    orders: list[ReportedOrder] = []
    patient: tuple[PatientIdentifier, ...] = ()
    for segment in message:
        name = str(segment[0])
        if name == "PID":
            patient = _patients(segment)
        elif name == "ORC":
            status = _value(segment, 5) if _value(segment, 1) in _ORDER_STATUS_CHANGED else ""
            orders.append(replace(_of_orc(segment), status=status, patients=patient))
        elif name == "OBR" and orders:
            result = _result(segment, orders[-1], patient)
            orders[-1] = replace(result, status=orders[-1].status)
        elif name == "ZDS" and orders and (uid := _study_uid(segment)):
            orders[-1] = replace(orders[-1], study_instance_uid=uid)
    if not orders:
        raise MalformedError("an ORM^O01 without ORC")
    return orders


def _of_orc(segment: hl7.Segment) -> ReportedOrder:
    numbers = {"ORC-2": _value(segment, 2), "ORC-3": _value(segment, 3)}
    return ReportedOrder(identifiers=_filled(numbers), issuers=_issuers(segment, "ORC"))


def _result(segment: hl7.Segment, of_orc: ReportedOrder, patient: tuple[PatientIdentifier, ...]) -> ReportedOrder:
    places = {f"OBR-{number}": _value(segment, number) for number in (2, 3, 18, 19, 20)}
    schemes = (_value(segment, 4, 3), _value(segment, 4, 6))
    return ReportedOrder(
        status=_value(segment, 25),
        identifiers={**of_orc.identifiers, **_filled(places)},
        issuers={**of_orc.issuers, **_issuers(segment, "OBR")},
        patients=patient,
        reported_at=_value(segment, 22),
        reporter=_reporter(segment),
        ours=SCHEME in schemes,
    )


def _reporter(segment: hl7.Segment) -> str:
    """OBR-32 (NDL): the name as CNN in its subcomponents; some senders write XCN in its components."""
    in_subcomponents = [_value(segment, 32, 1, part) for part in (1, 2, 3)]
    in_components = [_value(segment, 32, part) for part in (1, 2, 3)]
    number, family, given = in_subcomponents if in_subcomponents[1] else in_components
    return " ".join(filter(None, (given, family))) or number


def _study_uid(segment: hl7.Segment) -> str:
    if str(segment[0]) == "ZDS":  # IHE RAD TF-2 4.4: UID^Application^DICOM
        return _value(segment, 1)
    return _value(segment, 5) if _value(segment, 3) == _STUDY_INSTANCE_UID else ""


def _patients(segment: hl7.Segment) -> tuple[PatientIdentifier, ...]:
    """The repetitions of PID-3: CX.1 with CX.4, its assigning authority (HD)."""
    count = len(segment[3]) if len(segment) > 3 else 0
    found = []
    for repetition in range(1, count + 1):
        authority = [_value(segment, 3, 4, part, repetition=repetition) for part in (1, 2, 3)]
        found.append(PatientIdentifier(_value(segment, 3, repetition=repetition), Issuer(*authority)))
    return tuple(each for each in found if each.value)


def _issuers(segment: hl7.Segment, name: str) -> dict[str, Issuer]:
    """Return the issuers of placer and filler order number (EI)."""
    found = {
        f"{name}-{number}": Issuer(*(_value(segment, number, component) for component in (2, 3, 4)))
        for number in (2, 3)
    }
    return {place: issuer for place, issuer in found.items() if issuer}


def _filled(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _value(segment: hl7.Segment, number: int, component: int = 1, part: int = 1, *, repetition: int = 1) -> str:
    """A value with its escapes undone; empty where there is none."""
    try:
        found = segment.extract_field(1, number, repetition, component, part)
    except (IndexError, KeyError, ValueError):
        return ""
    return str(found).strip()
