"""HL7 v2.5.1 messages of a study: ORU^R01 with the result, ORM^O01 with a change of its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import hl7
from pydicom.dataset import Dataset

from triage.decision.types import Tag, TriageDecision
from triage.hl7.message_types import ORM, ORU, SCHEME
from triage.hl7.text import CharacterSet, encode, escape, extended_person_name, fill_segment, of_dicom
from triage.spool.study import Image, Study

SERVICE = f"CXRTRIAGE^Chest radiograph triage^{SCHEME}"
"""OBR-4 of our results: our own code, so that no receiver takes them for the radiologist's."""

_STRUCTURES = {ORU: "ORU^R01^ORU_R01", ORM: "ORM^O01^ORM_O01"}
_ABNORMAL_FLAGS = {Tag.ABNORMAL: "A", Tag.NORMAL: "N", Tag.NOT_ASSESSED: ""}
_PRIORITY_NAMES = {"S": "Stat", "A": "ASAP", "R": "Routine", "P": "Preop", "C": "Callback", "T": "Timing critical"}


@dataclass(frozen=True)
class Profile:
    """What one receiver is to get; see the settings of an HL7 destination."""

    message: str = ORU
    sending: tuple[str, str] = ("CXR_TRIAGE", "")
    receiving: tuple[str, str] = ("", "")
    character_set: CharacterSet | None = None
    result_status: str = "P"
    accession_in: str = "OBR-18"
    priority_in: str = "TQ1-9"
    priority_code: str = "S"
    priority_segment: str = ""


@dataclass(frozen=True)
class Order:
    """What the images say of the order they fulfil; empty where they say nothing."""

    accession_number: str = ""
    placer: str = ""
    filler: str = ""
    procedure: str = ""

    @property
    def known(self) -> bool:
        """Whether a RIS can find it."""
        return bool(self.accession_number or self.placer or self.filler)


@dataclass(frozen=True)
class _Observation:
    """One OBX: what is said of the study."""

    kind: str
    identifier: str
    value: str
    flag: str = ""
    sub_id: str = ""


@dataclass
class _Fields:
    """A segment that is being filled: values by their number, as HL7 counts them."""

    name: str
    values: dict[int, str] = field(default_factory=dict)

    def segment(self) -> hl7.Segment:
        last = max((number for number, value in self.values.items() if value), default=0)
        return hl7.Segment("|", [self.name, *(self.values.get(number, "") for number in range(1, last + 1))])


def message(study: Study, profile: Profile, control_id: str, processing_id: str = "P") -> bytes:
    """The message to send. ``processing_id``: P for production, T for a test."""
    image = _patient_image(study)
    order = order_of(study)
    segments = [_pid(image.header)]
    if profile.message == ORM:
        segments += _order_change(study, order, profile)
    else:
        segments += _result(study, order, profile)
    if profile.priority_in == "segment" and study.raised:
        segments.append(_own_segment(study, order, profile, image.header))
    wanted = profile.character_set or of_dicom(_texts(image.header, "SpecificCharacterSet"))
    body = "\r".join(map(str, segments)) + "\r"
    encoded, taken = encode(body, wanted)
    if profile.character_set is not None:  # the receiver reads nothing else
        encoded, taken = body.encode(profile.character_set.codec, "replace"), profile.character_set
    header = _msh(profile, study.now, control_id, processing_id, taken)
    return f"{header}\r".encode("ascii", "replace") + encoded


def control_id(revision: str) -> str:
    """MSH-10, at most 20 characters: the same for the same bytes, another for an update."""
    return revision[:20].upper()


def order_of(study: Study) -> Order:
    """The order, from the first image that says something of it."""
    headers = [image.header for image in study.images]
    requests = [request for header in headers for request in header.get("RequestAttributesSequence", [])]
    sources = [*headers, *requests]
    return Order(
        accession_number=study.decision.accession_number or _first(sources, "AccessionNumber"),
        placer=_first(sources, "PlacerOrderNumberImagingServiceRequest"),
        filler=_first(sources, "FillerOrderNumberImagingServiceRequest"),
        procedure=_procedure(sources),
    )


def _msh(profile: Profile, now: float, identifier: str, processing_id: str, characters: CharacterSet) -> hl7.Segment:
    header = _Fields("MSH")
    header.values = {
        1: "|",
        2: "^~\\&",
        3: profile.sending[0],
        4: profile.sending[1],
        5: profile.receiving[0],
        6: profile.receiving[1],
        7: _moment(now),
        9: _STRUCTURES[profile.message],
        10: identifier,
        11: processing_id,
        12: "2.5.1",
        18: characters.name,
        20: characters.scheme,
    }
    return header.segment()


def _pid(header: Dataset) -> hl7.Segment:
    issuer = escape(_text(header, "IssuerOfPatientID"))
    for qualifiers in header.get("IssuerOfPatientIDQualifiersSequence", []):
        universal, kind = (escape(_text(qualifiers, f"UniversalEntityID{what}")) for what in ("", "Type"))
        issuer = f"{issuer}&{universal}&{kind}" if universal else issuer
    identifier = escape(_text(header, "PatientID"))
    sex = _text(header, "PatientSex")
    birth_date = _text(header, "PatientBirthDate")
    fields = _Fields("PID")
    fields.values = {
        1: "1",
        3: f"{identifier}^^^{issuer}".rstrip("^"),
        5: extended_person_name(_text(header, "PatientName")),
        7: birth_date if birth_date.isdigit() and len(birth_date) == 8 else "",
        8: sex if sex in ("M", "F", "O") else "",
    }
    return fields.segment()


def _result(study: Study, order: Order, profile: Profile) -> list[hl7.Segment]:
    """OBR, TQ1 if we raise, and an OBX for each thing that we say."""
    decision = study.decision
    request = _obr(study, order, profile, SERVICE)
    request.values |= {22: _moment(decision.tagged_at), 24: "RAD", 25: profile.result_status}
    segments = [request.segment()]
    if study.raised and profile.priority_in == "TQ1-9":
        timing = _Fields("TQ1", {1: "1", 9: _priority(profile.priority_code)})
        segments.append(timing.segment())
    observations = enumerate(_observations(study.decision), 1)
    return segments + [_obx(number, each, decision.tagged_at, profile) for number, each in observations]


def _observations(decision: TriageDecision) -> Iterator[_Observation]:
    yield _Observation("CWE", _ours("tag", "Triage tag"), _coded(decision.tag), flag=_ABNORMAL_FLAGS[decision.tag])
    if decision.probability is not None:
        yield _Observation("NM", _ours("probability", "Probability of abnormality"), f"{decision.probability:.6g}")
    for number, reason in enumerate(decision.reasons, 1):
        yield _Observation("CWE", _ours("reason", "Reason"), _coded(reason), sub_id=str(number))
    if decision.model_id:
        yield _Observation("ST", _ours("model", "Model"), escape(decision.model_id))
    yield _Observation("ST", "110180^Study Instance UID^DCM", decision.study_instance_uid)


def _obx(number: int, said: _Observation, at: float, profile: Profile) -> hl7.Segment:
    fields = _Fields("OBX")
    fields.values = {1: str(number), 2: said.kind, 3: said.identifier, 4: said.sub_id, 5: said.value, 8: said.flag}
    fields.values |= {11: profile.result_status, 14: _moment(at)}
    return fields.segment()


def _ours(code: str, meaning: str) -> str:
    return f"{code}^{meaning}^{SCHEME}"


def _coded(value: str) -> str:
    return _ours(value, value.replace("_", " ").capitalize())


def _order_change(study: Study, order: Order, profile: Profile) -> list[hl7.Segment]:
    """ORC with XO, "change the order", and the order's own procedure: only its priority is another.

    ORM^O01 of 2.5.1 has no TQ1: the priority is component 6 of ORC-7, and of OBR-27.
    """
    timing = "" if profile.priority_in in ("none", "segment") else f"^^^^^{profile.priority_code}"
    control = _Fields("ORC", {1: "XO", 2: order.placer, 3: order.filler, 7: timing, 9: _moment(study.now)})
    request = _obr(study, order, profile, order.procedure or SERVICE)
    request.values[27] = timing
    return [control.segment(), request.segment()]


def _obr(study: Study, order: Order, profile: Profile, service: str) -> _Fields:
    fields = _Fields("OBR", {1: "1", 2: order.placer, 3: order.filler, 4: service, 7: _acquired(study)})
    if order.accession_number:
        fields.values[int(profile.accession_in.partition("-")[2])] = order.accession_number
    if study.raised and profile.priority_in == "OBR-27":
        fields.values[27] = f"^^^^^{profile.priority_code}"
    return fields


def _own_segment(study: Study, order: Order, profile: Profile, header: Dataset) -> str:
    return fill_segment(
        profile.priority_segment,
        {
            "priority": profile.priority_code,
            "accession_number": order.accession_number,
            "placer": order.placer,
            "filler": order.filler,
            "study_instance_uid": study.decision.study_instance_uid,
            "patient_id": escape(_text(header, "PatientID")),
        },
    )


def _priority(code: str) -> str:
    name = _PRIORITY_NAMES.get(code)
    return f"{code}^{name}^HL70485" if name else code


def _patient_image(study: Study) -> Image:
    """The image whose patient's attributes are taken: the first that has any."""
    named = (image for image in study.images if _text(image.header, "PatientID") or _text(image.header, "PatientName"))
    return next(named, study.images[0])


def _procedure(sources: list[Dataset]) -> str:
    for source in sources:
        for keyword in ("RequestedProcedureCodeSequence", "ProcedureCodeSequence"):
            for code in source.get(keyword, []):
                parts = [_text(code, name) for name in ("CodeValue", "CodeMeaning", "CodingSchemeDesignator")]
                if parts[0]:
                    return "^".join(map(escape, parts))
    return ""


def _acquired(study: Study) -> str:
    """When the images were taken, in local time without an offset, as DICOM has it."""
    for image in study.images:
        date, time = _text(image.header, "AcquisitionDate"), _text(image.header, "AcquisitionTime")
        if len(date) == 8 and date.isdigit():
            clock = time[:6] if len(time[:6]) == 6 and time[:6].isdigit() else ""
            return date + clock
    return ""


def _first(sources: list[Dataset], keyword: str) -> str:
    return next((escape(text) for source in sources if (text := _text(source, keyword))), "")


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom raises many kinds for a value that does not fit its VR: it counts as empty
        return None


def _text(dataset: Dataset, keyword: str) -> str:
    value = _value(dataset, keyword)
    return "" if value is None else str(value).strip().strip("\0")


def _texts(dataset: Dataset, keyword: str) -> list[str]:
    value = _value(dataset, keyword)
    return [] if value is None else [value] if isinstance(value, str) else [str(each) for each in value]


def _moment(seconds: float) -> str:
    """POSIX seconds as HL7's TS, local time with its offset."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y%m%d%H%M%S%z")
