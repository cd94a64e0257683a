"""HL7 v2.5.1 messages of a study: ORU^R01 with the result, ORM^O01 with a change of its order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile

from pydicom.dataset import Dataset

from triage.channels.hl7.correction import corrected, correction_notes
from triage.channels.hl7.observations import LONGEST, Observation, notes, observations
from triage.channels.hl7.priority import code_to_tell, named
from triage.decision.accession_number import first_number
from triage.decision.identity import Issuer
from triage.dicom.attribute_text import character_set_of, items_of, text_of
from triage.dicom.fitting import unreadable
from triage.dicom.identity import ORDER_NUMBERS
from triage.hl7.message_types import ORM, ORU, SCHEME
from triage.hl7.text import (
    CharacterSet,
    Encoded,
    components,
    encode,
    escape,
    extended_person_name,
    fill_segment,
    of_dicom,
    segment,
    subcomponents,
)
from triage.spool.patient import naming_image
from triage.spool.study import Study, StudyImage

SERVICE = components("CXRTRIAGE", "Chest radiograph triage", SCHEME)
"""OBR-4 of our results: our own code, so that no receiver takes them for the radiologist's."""

_STRUCTURES = {ORU: components("ORU", "R01", "ORU_R01"), ORM: components("ORM", "O01", "ORM_O01")}
_LONGEST_ACCESSION = 60  # of OBR-18, -19 and -20 (HL7 v2.5.1 section 4.5.3)
_ENTITY_IDENTIFIERS = (2, 3)  # fields of OBR that are an EI; 18 to 20 are texts, and have no place for an issuer


@dataclass(frozen=True)
class Profile:
    """Form of the messages for one receiver; see the settings of an HL7 destination."""

    message: str = ORU
    sending: tuple[str, str] = ("CXR_TRIAGE", "")
    receiving: tuple[str, str] = ("", "")
    character_set: CharacterSet | None = None
    result_status: str = "P"
    accession_in: str = "OBR-18"
    priority_in: str = "TQ1-9"
    priority_code: str = ""
    priority_segment: str = ""


@dataclass(frozen=True)
class ImagingOrder:
    """The order that the images fulfil, as their attributes give it; empty where they do not.

    Of several accession or order numbers the first: a receiver finds one order by it, and none by all in one. One
    that is longer than its field is left out: the part that fits could be another order's.
    """

    accession_number: str = ""
    placer: str = ""
    filler: str = ""
    procedure: str = ""

    @property
    def known(self) -> bool:
        """Return whether a RIS can find the order."""
        return bool(self.accession_number or self.placer or self.filler)


@dataclass
class _Fields:
    """A segment that is being filled: values by their number, as HL7 counts them."""

    name: str
    values: dict[int, str] = field(default_factory=dict)

    def segment(self) -> Encoded:
        return segment(self.name, self.values)


def message(study: Study, profile: Profile, control_id: str, processing_id: str = "P") -> bytes:
    """The message to send. ``processing_id``: P for production, T for a test."""
    image = _patient_image(study)
    order = order_of(study)
    segments = [_pid(image.header)]
    if profile.message == ORM:
        segments += _order_change(study, order, profile)
    else:
        segments += _result(study, order, profile)
    if profile.priority_in == "segment" and code_to_tell(study):
        segments.append(_own_segment(study, order, profile, image.header))
    wanted = profile.character_set or of_dicom(character_set_of(image.header))
    body = "".join(f"{each}\r" for each in segments)
    encoded, taken = encode(body, wanted)
    if profile.character_set is not None:  # the receiver reads nothing else
        encoded, taken = body.encode(profile.character_set.codec, "replace"), profile.character_set
    header = _msh(profile, study.now, control_id, processing_id, taken)
    return f"{header}\r".encode("ascii", "replace") + encoded


def control_id(revision: str) -> str:
    """MSH-10, at most 20 characters: the same for the same bytes, another for an update."""
    return revision[:20].upper()


def order_of(study: Study) -> ImagingOrder:
    """The order, from the first image that says something of it; of none behind one that cannot be read."""
    headers = [image.header for image in takewhile(lambda image: not image.unread, study.images) if image.is_own]
    requests = [request for header in headers for request in items_of(header, "RequestAttributesSequence")]
    sources = [*headers, *requests]
    decided = _fitting(first_number(study.decision.accession_number), _LONGEST_ACCESSION)
    return ImagingOrder(
        accession_number=decided or _first(sources, "AccessionNumber", _LONGEST_ACCESSION),
        placer=_first(sources, ORDER_NUMBERS[0]),
        filler=_first(sources, ORDER_NUMBERS[1]),
        procedure=_procedure(sources),
    )


def left_out(study: Study) -> tuple[str, ...]:
    """Return the attributes that a message lacks because they are malformed, and why; no value is named."""
    header = _patient_image(study).header
    found = list(unreadable(header, ("PatientID", "IssuerOfPatientID", "PatientName")))
    if text_of(header, "PatientID") and not _patient_identifier(header):
        found.append("PatientID: it or its issuer is too long")
    order = order_of(study)
    if study.decision.accession_number and not order.accession_number:
        found.append("AccessionNumber: too long")
    for image in study.images:
        odd = unreadable(image.header, ("AccessionNumber", *ORDER_NUMBERS))
        found += [each for each in odd if each not in found]
    return tuple(found)


def _msh(profile: Profile, now: float, identifier: str, processing_id: str, characters: CharacterSet) -> Encoded:
    header = _Fields("MSH")
    header.values = {
        2: Encoded("^~\\&"),
        3: profile.sending[0],
        4: profile.sending[1],
        5: profile.receiving[0],
        6: profile.receiving[1],
        7: _moment(now),
        9: _STRUCTURES[profile.message],
        10: identifier,
        11: processing_id,
        12: "2.5.1",
        18: Encoded(characters.name),
        20: characters.scheme,
    }
    return header.segment()


def _pid(header: Dataset) -> Encoded:
    sex = text_of(header, "PatientSex")
    birth_date = text_of(header, "PatientBirthDate")
    fields = _Fields("PID")
    fields.values = {
        1: "1",
        3: _patient_identifier(header),
        5: extended_person_name(text_of(header, "PatientName")),
        7: birth_date if _is_digits(birth_date, 8) else "",
        8: sex if sex in ("M", "F", "O") else "",
    }
    return fields.segment()


def _patient_identifier(header: Dataset) -> Encoded:
    """PID-3 (CX); empty if a part does not fit: what is left of it could be another patient's."""
    issuer = [text_of(header, "IssuerOfPatientID")]
    for qualifiers in items_of(header, "IssuerOfPatientIDQualifiersSequence"):
        if universal := text_of(qualifiers, "UniversalEntityID"):
            issuer = [issuer[0], universal, text_of(qualifiers, "UniversalEntityIDType")]
    identifier = text_of(header, "PatientID")
    if any(len(part) > LONGEST for part in (identifier, *issuer)):
        return Encoded()
    return components(identifier, "", "", subcomponents(*issuer))


def _result(study: Study, order: ImagingOrder, profile: Profile) -> list[Encoded]:
    """OBR with its notes, TQ1 if we raise, and an OBX for each thing that we say."""
    decision = study.decision
    request = _obr(study, order, profile, SERVICE)
    request.values |= {22: _moment(decision.tagged_at), 24: "RAD", 25: profile.result_status}
    segments = [request.segment(), *_notes(study)]
    if (code := code_to_tell(study, profile.priority_code)) and profile.priority_in in ("TQ1-9", "both"):
        timing = _Fields("TQ1", {1: "1", 9: named(code)})
        segments.append(timing.segment())
    numbered = enumerate(observations(decision), 1)
    said = [_obx(number, each, decision.tagged_at, profile) for number, each in numbered]
    return [*segments, *corrected(said, study)]


def _notes(study: Study) -> list[Encoded]:
    said = [] if study.before_findings else list(notes(study.decision))
    return [*said, *correction_notes(study, len(said))]


def _obx(number: int, said: Observation, at: float, profile: Profile) -> Encoded:
    fields = _Fields("OBX")
    fields.values = {1: str(number), 2: said.kind, 3: said.identifier, 4: said.sub_id, 5: said.value, 8: said.flag}
    fields.values |= {11: profile.result_status, 14: _moment(at)}
    return fields.segment()


def _order_change(study: Study, order: ImagingOrder, profile: Profile) -> list[Encoded]:
    """ORC with XO, "change the order", and the order's own procedure: only its priority is another.

    ORM^O01 of 2.5.1 has no TQ1: the priority is component 6 of ORC-7, and of OBR-27.
    """
    written = profile.priority_in not in ("none", "segment")
    timing = _timing(code_to_tell(study, profile.priority_code)) if written else ""
    control = _Fields("ORC", {1: "XO", 2: order.placer, 3: order.filler, 7: timing, 9: _moment(study.now)})
    request = _obr(study, order, profile, order.procedure or SERVICE)
    request.values[27] = timing
    return [control.segment(), request.segment(), *_notes(study)]


def _obr(study: Study, order: ImagingOrder, profile: Profile, service: str) -> _Fields:
    fields = _Fields("OBR", {1: "1", 2: order.placer, 3: order.filler, 4: service, 7: _acquired(study)})
    if order.accession_number:
        place = int(profile.accession_in.partition("-")[2])
        fields.values[place] = _with_issuer(order, study) if place in _ENTITY_IDENTIFIERS else order.accession_number
    if (code := code_to_tell(study, profile.priority_code)) and profile.priority_in in ("OBR-27", "both"):
        fields.values[27] = _timing(code)
    return fields


def _with_issuer(order: ImagingOrder, study: Study) -> Encoded:
    """The accession number as an EI, with who issued it where that is known: two hospitals' numbers collide."""
    issuer = Issuer.from_text(study.decision.accession_issuer)
    parts = (issuer.namespace, issuer.universal_id, issuer.universal_id_type)
    decided = first_number(study.decision.accession_number) == order.accession_number
    known = decided and all(len(part) <= LONGEST for part in parts)
    return components(order.accession_number, *(parts if known and issuer else ()))


def _own_segment(study: Study, order: ImagingOrder, profile: Profile, header: Dataset) -> Encoded:
    return fill_segment(
        profile.priority_segment,
        {
            "priority": code_to_tell(study, profile.priority_code),
            "accession_number": order.accession_number,
            "placer": order.placer,
            "filler": order.filler,
            "study_instance_uid": study.decision.study_instance_uid,
            "patient_id": _fitting(text_of(header, "PatientID"), LONGEST),
        },
    )


def _timing(code: str) -> Encoded:
    """The priority as the sixth component of TQ."""
    return components("", "", "", "", "", code)


def _patient_image(study: Study) -> StudyImage:
    """The image whose patient's attributes are taken; the first one, which names none, where that is unknown."""
    return naming_image(study.images) or study.images[0]


def _procedure(sources: list[Dataset]) -> Encoded:
    for source in sources:
        for keyword in ("RequestedProcedureCodeSequence", "ProcedureCodeSequence"):
            for code in items_of(source, keyword):
                value, meaning, scheme = (
                    text_of(code, name) for name in ("CodeValue", "CodeMeaning", "CodingSchemeDesignator")
                )
                if value and len(value) <= LONGEST and len(scheme) <= LONGEST:
                    return components(value, escape(meaning, LONGEST), scheme)
    return Encoded()


def _acquired(study: Study) -> str:
    """Return the acquisition time of the images, in local time without an offset, as DICOM has it."""
    for image in study.images:
        date, time = text_of(image.header, "AcquisitionDate"), text_of(image.header, "AcquisitionTime")
        if _is_digits(date, 8):
            return date + (time[:6] if _is_digits(time[:6], 6) else "")
    return ""


def _is_digits(text: str, count: int) -> bool:
    return len(text) == count and text.isascii() and text.isdigit()


def _first(sources: list[Dataset], keyword: str, longest: int = LONGEST) -> str:
    """The first number of the first source that has one; empty where it is too long."""
    numbers = (first_number(text_of(source, keyword)) for source in sources)
    return _fitting(next(filter(None, numbers), ""), longest)


def _fitting(text: str, longest: int) -> str:
    return text if len(text) <= longest else ""


def _moment(seconds: float) -> str:
    """POSIX seconds as HL7's TS, local time with its offset."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y%m%d%H%M%S%z")
