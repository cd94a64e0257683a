"""Audit messages in the XML of DICOM PS3.15 A.5: an event, its participants and its objects. Pure.

A message holds a Patient ID, as the standard requires, and no patient name: the element that the schema requires is
empty. Values that a browser sent are shortened and stripped of characters that XML cannot carry.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from xml.etree.ElementTree import Element, SubElement, tostring

from triage.decision.finding_codes import PRIVATE_SCHEME

SCHEME = PRIVATE_SCHEME
"""Private coding scheme of the acts on a study; docs/reference/conformance.md lists its codes."""

UNKNOWN_PATIENT = "<none>"
"""Placeholder for a Patient ID that the images lack, or that can no longer be read."""

_LONGEST = 1024
_LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class AuditOutcome(StrEnum):
    """Event Outcome Indicator (A.5.2)."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"
    SERIOUS_FAILURE = "8"


@dataclass(frozen=True)
class CodedValue:
    """A coded value: code, scheme, meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Participant:
    """A person or program that takes part in an event (Active Participant, PS3.15 A.5.2).

    ``address`` is the network address, empty on this machine itself. ``alternative_id`` is the subject identifier of an
    identity provider, empty for none.
    """

    name: str
    address: str = ""
    alternative_id: str = ""


@dataclass(frozen=True)
class AuditSource:
    """The sender of messages: its name among the audit sources of the site, and the name of the process."""

    name: str
    process: str


@dataclass(frozen=True)
class AuditSubject:
    """A study and its Patient ID, which is empty where it is not known."""

    study_instance_uid: str
    patient_id: str = ""


@dataclass(frozen=True)
class AuditEvent:
    """Time (POSIX seconds), participant and outcome of an event."""

    at: float
    participant: Participant
    outcome: AuditOutcome = AuditOutcome.SUCCESS


@dataclass(frozen=True)
class ParticipantObject:
    """An object of an event (Participant Object, PS3.15 A.5.2): a study, a patient, a query or a URI.

    ``id_type`` says what ``identifier`` is. The schema requires a name or a query: with a ``query`` there is no name.
    ``details`` are pairs of type and value.
    """

    id_type: CodedValue
    identifier: str
    type_code: str
    role: str
    name: str = ""
    query: str | None = None
    details: tuple[tuple[str, str], ...] = ()


def intent(act: CodedValue) -> CodedValue:
    """Return the code of an act that is about to be done; a second message has its outcome (ADR 36)."""
    return CodedValue(f"INTENT-{act.value}", act.scheme, f"About to be done: {act.meaning}")


def dcm(value: str, meaning: str) -> CodedValue:
    """Return a code of the scheme DCM."""
    return CodedValue(value, "DCM", meaning)


def rfc3881(value: str, meaning: str) -> CodedValue:
    """Return a code of the schema itself, which stems from RFC 3881 (A.5.1.2)."""
    return CodedValue(value, "RFC-3881", meaning)


ACCESSED = dcm("110103", "DICOM Instances Accessed")
LOG_USED = dcm("110101", "Audit Log Used")
ACTIVITY = dcm("110100", "Application Activity")
EXPORT = dcm("110106", "Export")
QUERY = dcm("110112", "Query")
SECURITY_ALERT = dcm("110113", "Security Alert")
AUTHENTICATION = dcm("110114", "User Authentication")
LOGIN, LOGOUT = dcm("110122", "Login"), dcm("110123", "Logout")
START, STOP = dcm("110120", "Application Start"), dcm("110121", "Application Stop")
CONFIGURED = dcm("110131", "Software Configuration")
RESTRICTED = dcm("110132", "Use of Restricted Function")
USER_CHANGED = dcm("110137", "User Security Attributes Changed")

_APPLICATION = dcm("110150", "Application")
_DESTINATION = dcm("110152", "Destination Role ID")
_ORIGIN = dcm("110153", "Source Role ID")
_MEDIA = dcm("110154", "Destination Media")
_URI_MEDIA = dcm("110037", "URI")
_STUDY_UID = dcm("110180", "Study Instance UID")
_PATIENT_NUMBER = rfc3881("2", "Patient Number")
_SEARCH_CRITERIA = rfc3881("10", "Search Criteria")
_URI = rfc3881("12", "URI")


@dataclass(frozen=True)
class AuditMessages:
    """Builds the messages of one source; each method returns one message as a line of XML."""

    source: AuditSource

    def accessed(self, event: AuditEvent, subject: AuditSubject, act: CodedValue | None = None) -> str:
        """Return the message of a study that was viewed (A.5.3.6) or, with an ``act``, changed."""
        message = _begin(event, ACCESSED, "R" if act is None else "U", act)
        _add_participant(message, event.participant)
        self._add_application(message)
        self._add_source(message)
        _add_study(message, subject)
        _add_patient(message, subject.patient_id)
        return _line(message)

    def query(self, event: AuditEvent, path: str, query: str) -> str:
        """Return the message of a search (A.5.3.10), from the path and the query string of its address."""
        message = _begin(event, QUERY, "E")
        _add_participant(message, event.participant, _ORIGIN)
        self._add_application(message, _DESTINATION)
        self._add_source(message)
        _add_object(message, ParticipantObject(_SEARCH_CRITERIA, path, "2", "3", query=query))
        return _line(message)

    def authentication(self, event: AuditEvent, kind: CodedValue) -> str:
        """Return the message of a person who signed in or out, or tried to (A.5.3.12)."""
        message = _begin(event, AUTHENTICATION, "E", kind)
        _add_participant(message, event.participant)
        self._add_application(message)
        self._add_source(message)
        return _line(message)

    def alert(self, event: AuditEvent, kind: CodedValue, uri: str, name: str, description: str) -> str:
        """Return the message of an event that concerns security (A.5.3.11).

        Args:
            event: The event.
            kind: Type of the alert.
            uri: URI of the object that it concerns.
            name: Name of that object, empty for none.
            description: What was done to it.
        """
        message = _begin(event, SECURITY_ALERT, "E", kind)
        _add_participant(message, event.participant)
        self._add_application(message)
        self._add_source(message)
        details = (("Alert Description", description),)
        _add_object(message, ParticipantObject(_URI, uri, "2", "13", name, details=details))
        return _line(message)

    def export(
        self, event: AuditEvent, uri: str, subjects: Iterable[AuditSubject], kind: CodedValue | None = None
    ) -> str:
        """Return the message of patient data that are written to the file ``uri`` (A.5.3.4)."""
        message = _begin(event, EXPORT, "R", kind)
        _add_participant(message, event.participant, _ORIGIN)
        self._add_application(message, _ORIGIN)
        media = _add_participant(message, Participant(uri), _DESTINATION, _MEDIA, requests=False)
        _add_code(SubElement(media, "MediaIdentifier"), "MediaType", _URI_MEDIA)
        self._add_source(message)
        known = list(subjects)
        for each in known:
            _add_study(message, each)
        for patient_id in dict.fromkeys(each.patient_id for each in known):
            _add_patient(message, patient_id)
        return _line(message)

    def log_used(self, event: AuditEvent, uri: str) -> str:
        """Return the message of a person who reads the audit trail at ``uri`` (A.5.3.2)."""
        message = _begin(event, LOG_USED, "R")
        _add_participant(message, event.participant)
        self._add_application(message)
        self._add_source(message)
        _add_object(message, ParticipantObject(_URI, uri, "2", "13", "Security Audit Log"))
        return _line(message)

    def activity(self, event: AuditEvent, kind: CodedValue) -> str:
        """Return the message of a process that started or stopped (A.5.3.1)."""
        message = _begin(event, ACTIVITY, "E", kind)
        self._add_application(message)
        _add_participant(message, event.participant, dcm("110151", "Application Launcher"))
        self._add_source(message)
        return _line(message)

    def _add_application(self, message: Element, role: CodedValue = _APPLICATION) -> None:
        _add_participant(message, Participant(self.source.process), role, requests=False)

    def _add_source(self, message: Element) -> None:
        """Add the audit source, which follows the participants and precedes the objects."""
        source = SubElement(message, "AuditSourceIdentification", {"AuditSourceID": _clean(self.source.name)})
        SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})  # application server process


def _begin(event: AuditEvent, event_id: CodedValue, action: str, kind: CodedValue | None = None) -> Element:
    message = Element("AuditMessage")
    when = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    attributes = {"EventActionCode": action, "EventDateTime": when, "EventOutcomeIndicator": str(event.outcome)}
    identification = SubElement(message, "EventIdentification", attributes)
    _add_code(identification, "EventID", event_id)
    if kind is not None:
        _add_code(identification, "EventTypeCode", kind)
    return message


def _add_participant(message: Element, participant: Participant, *roles: CodedValue, requests: bool = True) -> Element:
    attributes = {"UserID": _clean(participant.name), "UserIsRequestor": "true" if requests else "false"}
    if participant.alternative_id:
        attributes["AlternativeUserID"] = _clean(participant.alternative_id)
    if participant.address:
        attributes |= {
            "NetworkAccessPointID": _clean(participant.address),
            "NetworkAccessPointTypeCode": "2",
        }  # IP address
    element = SubElement(message, "ActiveParticipant", attributes)
    for role in roles:
        _add_code(element, "RoleIDCode", role)
    return element


def _add_study(message: Element, subject: AuditSubject) -> None:
    _add_object(message, ParticipantObject(_STUDY_UID, subject.study_instance_uid, "2", "3"))


def _add_patient(message: Element, patient_id: str) -> None:
    _add_object(message, ParticipantObject(_PATIENT_NUMBER, patient_id or UNKNOWN_PATIENT, "1", "1"))


def _add_object(message: Element, item: ParticipantObject) -> None:
    attributes = {
        "ParticipantObjectID": _clean(item.identifier),
        "ParticipantObjectTypeCode": item.type_code,
        "ParticipantObjectTypeCodeRole": item.role,
    }
    element = SubElement(message, "ParticipantObjectIdentification", attributes)
    _add_code(element, "ParticipantObjectIDTypeCode", item.id_type)
    # The schema requires one of the two. A patient's name must not be here, so the name may be empty.
    if item.query is None:
        SubElement(element, "ParticipantObjectName").text = _clean(item.name)
    else:
        SubElement(element, "ParticipantObjectQuery").text = _base64(item.query)
    for key, value in item.details:
        SubElement(element, "ParticipantObjectDetail", {"type": key, "value": _base64(value)})


def _add_code(parent: Element, name: str, code: CodedValue) -> None:
    attributes = {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning}
    SubElement(parent, name, attributes)


def _base64(text: str) -> str:
    return base64.b64encode(text[:_LONGEST].encode("utf-8", "surrogateescape")).decode()


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text[:_LONGEST])


def _line(message: Element) -> str:
    # Line breaks in attributes are written as character references, and our own texts have none. The same holds for
    # characters that only Unicode counts as line ends: a program that reads lines may split there.
    text = tostring(message, encoding="unicode").replace("\n", " ")
    return "".join(f"&#{ord(each)};" if each in _LINE_ENDS else each for each in text)
