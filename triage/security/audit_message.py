"""Audit messages: what happened, who did it and to what, in the XML of DICOM PS3.15 A.5. Pure.

A Patient ID is in them, as the standard asks, and a patient's name is not: its element, that the schema asks for, is
empty. Values that a browser sent are bounded and free of what XML cannot carry.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from xml.etree.ElementTree import Element, SubElement, tostring

SCHEME = "99CXRTRIAGE"
"""Our private coding scheme, for what is done to a study; docs/reference/conformance.md lists its codes."""

UNKNOWN_PATIENT = "<none>"
"""In the place of a Patient ID that the images do not have, or that cannot be read any more."""

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
class Who:
    """A person or program that does something; ``address`` is where from, empty on this machine itself, ``also`` the
    name that an identity provider has for the person.
    """

    name: str
    address: str = ""
    also: str = ""


@dataclass(frozen=True)
class AuditSource:
    """What reports: its name among the site's audit sources, and the name of the process."""

    name: str
    process: str


@dataclass(frozen=True)
class AuditSubject:
    """A study, and whose it is."""

    study_instance_uid: str
    patient_id: str = ""


def intent(act: CodedValue) -> CodedValue:
    """That something is about to be done; another message says what came of it (ADR 36)."""
    return CodedValue(f"INTENT-{act.value}", act.scheme, f"About to be done: {act.meaning}")


def dcm(value: str, meaning: str) -> CodedValue:
    """A code of DICOM's own scheme."""
    return CodedValue(value, "DCM", meaning)


def rfc3881(value: str, meaning: str) -> CodedValue:
    """A code of the schema itself, which began as RFC 3881's (A.5.1.2)."""
    return CodedValue(value, "RFC-3881", meaning)


ACCESSED = dcm("110103", "DICOM Instances Accessed")
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
class Reporter:
    """Makes the messages of one source."""

    source: AuditSource

    def accessed(
        self, at: float, who: Who, subject: AuditSubject, outcome: AuditOutcome, act: CodedValue | None = None
    ) -> str:
        """A study was looked at (A.5.3.6) or, if ``act`` says so, something was done to it."""
        message = self._begun(ACCESSED, "R" if act is None else "U", at, outcome, act)
        _participant(message, who)
        self._application(message)
        self._end(message)
        _study(message, subject)
        _patient(message, subject.patient_id)
        return _line(message)

    def query(self, at: float, who: Who, where: str, query: str, outcome: AuditOutcome) -> str:
        """Something was searched (A.5.3.10); ``where`` and ``query`` are path and query string of the address."""
        message = self._begun(QUERY, "E", at, outcome)
        _participant(message, who, _ORIGIN)
        self._application(message, _DESTINATION)
        self._end(message)
        _object(message, _SEARCH_CRITERIA, where, type_code="2", role="3", query=query)
        return _line(message)

    def authentication(self, at: float, who: Who, what: CodedValue, outcome: AuditOutcome) -> str:
        """Somebody signed in or out, or tried to (A.5.3.12)."""
        message = self._begun(AUTHENTICATION, "E", at, outcome, what)
        _participant(message, who)
        self._application(message)
        self._end(message)
        return _line(message)

    def alert(
        self, at: float, who: Who, what: CodedValue, outcome: AuditOutcome, uri: str, name: str, description: str
    ) -> str:
        """Something that concerns security (A.5.3.11): ``uri`` and ``name`` say what, ``description`` how."""
        message = self._begun(SECURITY_ALERT, "E", at, outcome, what)
        _participant(message, who)
        self._application(message)
        self._end(message)
        details = [("Alert Description", description)]
        _object(message, _URI, uri, type_code="2", role="13", name=name, details=details)
        return _line(message)

    def export(
        self, at: float, who: Who, uri: str, subjects: Iterable[AuditSubject], kind: CodedValue | None = None
    ) -> str:
        """Data of patients were written to a file (A.5.3.4), or are about to be, as ``kind`` says."""
        message = self._begun(EXPORT, "R", at, AuditOutcome.SUCCESS, kind)
        _participant(message, who, _ORIGIN)
        self._application(message, _ORIGIN)
        media = _participant(message, Who(uri), _DESTINATION, _MEDIA, requests=False)
        _coded(SubElement(media, "MediaIdentifier"), "MediaType", _URI_MEDIA)
        self._end(message)
        known = list(subjects)
        for each in known:
            _study(message, each)
        for patient_id in dict.fromkeys(each.patient_id for each in known):
            _patient(message, patient_id)
        return _line(message)

    def activity(self, at: float, what: CodedValue, who: Who) -> str:
        """A process started or stopped (A.5.3.1)."""
        message = self._begun(ACTIVITY, "E", at, AuditOutcome.SUCCESS, what)
        self._application(message)
        _participant(message, who, dcm("110151", "Application Launcher"))
        self._end(message)
        return _line(message)

    def _begun(
        self, event: CodedValue, action: str, at: float, outcome: AuditOutcome, kind: CodedValue | None = None
    ) -> Element:
        message = Element("AuditMessage")
        when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        attributes = {"EventActionCode": action, "EventDateTime": when, "EventOutcomeIndicator": str(outcome)}
        identification = SubElement(message, "EventIdentification", attributes)
        _coded(identification, "EventID", event)
        if kind is not None:
            _coded(identification, "EventTypeCode", kind)
        return message

    def _application(self, message: Element, role: CodedValue = _APPLICATION) -> None:
        _participant(message, Who(self.source.process), role, requests=False)

    def _end(self, message: Element) -> None:
        """What comes after the participants and before the objects."""
        source = SubElement(message, "AuditSourceIdentification", {"AuditSourceID": _clean(self.source.name)})
        SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})  # application server process


def _participant(message: Element, who: Who, *roles: CodedValue, requests: bool = True) -> Element:
    attributes = {"UserID": _clean(who.name), "UserIsRequestor": "true" if requests else "false"}
    if who.also:
        attributes["AlternativeUserID"] = _clean(who.also)
    if who.address:
        attributes |= {"NetworkAccessPointID": _clean(who.address), "NetworkAccessPointTypeCode": "2"}  # IP address
    participant = SubElement(message, "ActiveParticipant", attributes)
    for role in roles:
        _coded(participant, "RoleIDCode", role)
    return participant


def _study(message: Element, subject: AuditSubject) -> None:
    _object(message, _STUDY_UID, subject.study_instance_uid, type_code="2", role="3")


def _patient(message: Element, patient_id: str) -> None:
    _object(message, _PATIENT_NUMBER, patient_id or UNKNOWN_PATIENT, type_code="1", role="1")


def _object(
    message: Element, kind: CodedValue, identifier: str, *, type_code: str, role: str, name: str = "",
    query: str | None = None, details: Iterable[tuple[str, str]] = (),
) -> None:  # fmt: skip
    attributes = {
        "ParticipantObjectID": _clean(identifier),
        "ParticipantObjectTypeCode": type_code,
        "ParticipantObjectTypeCodeRole": role,
    }
    found = SubElement(message, "ParticipantObjectIdentification", attributes)
    _coded(found, "ParticipantObjectIDTypeCode", kind)
    # The schema asks for one of the two, and a patient's name is not to be here: it may be empty.
    if query is None:
        SubElement(found, "ParticipantObjectName").text = _clean(name)
    else:
        SubElement(found, "ParticipantObjectQuery").text = _base64(query)
    for key, value in details:
        SubElement(found, "ParticipantObjectDetail", {"type": key, "value": _base64(value)})


def _coded(parent: Element, name: str, code: CodedValue) -> None:
    attributes = {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning}
    SubElement(parent, name, attributes)


def _base64(text: str) -> str:
    return base64.b64encode(text[:_LONGEST].encode("utf-8", "surrogateescape")).decode()


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text[:_LONGEST])


def _line(message: Element) -> str:
    # Line breaks in attributes are written as character references, and texts of ours have none. So are those that are
    # line ends in Unicode alone: a reader of lines may end one there.
    text = tostring(message, encoding="unicode").replace("\n", " ")
    return "".join(f"&#{ord(each)};" if each in _LINE_ENDS else each for each in text)
