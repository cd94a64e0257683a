"""Audit messages held against the schema of DICOM PS3.15 A.5.1, as far as it says what is there and in what order."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

_CODED = {"csd-code", "codeSystemName", "originalText"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def messages(path: Path) -> list[Element]:
    """Every message of an audit file, each checked."""
    return [checked(line) for line in path.read_text().splitlines()] if path.exists() else []


def checked(line: str) -> Element:
    """The message in a line; AssertionError where it is none."""
    message = fromstring(line)
    assert (message.tag, message.attrib) == ("AuditMessage", {})
    names = "".join({"EventIdentification": "e", "ActiveParticipant": "p", "AuditSourceIdentification": "s"}.get(
        each.tag, "o" if each.tag == "ParticipantObjectIdentification" else "?") for each in message)  # fmt: skip
    assert re.fullmatch("ep+so*", names), names
    _event(message[0])
    for each in message.iter("ActiveParticipant"):
        _participant(each)
    source = one(message, "AuditSourceIdentification")
    assert set(source.attrib) == {"AuditSourceID"}
    assert [each.attrib for each in source] == [{"csd-code": "4"}]
    for each in message.iter("ParticipantObjectIdentification"):
        _object(each)
    return message


def one(parent: Element, name: str) -> Element:
    """The only element of that name."""
    (found,) = parent.findall(name)
    return found


def event(message: Element) -> tuple[str, str, str]:
    """Event ID, action, outcome."""
    identification = message[0]
    return (
        one(identification, "EventID").get("csd-code", ""),
        identification.get("EventActionCode", ""),
        identification.get("EventOutcomeIndicator", ""),
    )


def kind(message: Element) -> str:
    """The Event Type Code, empty for none."""
    found = message[0].find("EventTypeCode")
    return "" if found is None else found.get("csd-code", "")


def who(message: Element) -> tuple[str, str]:
    """Who asked, and from where."""
    (found,) = [each for each in message.iter("ActiveParticipant") if each.get("UserIsRequestor") == "true"]
    return found.get("UserID", ""), found.get("NetworkAccessPointID", "")


def objects(message: Element) -> dict[str, str]:
    """The objects' IDs, by the code of what kind of ID each is."""
    return {
        one(each, "ParticipantObjectIDTypeCode").get("csd-code", ""): each.get("ParticipantObjectID", "")
        for each in message.iter("ParticipantObjectIdentification")
    }


def query(message: Element) -> str:
    """What was searched."""
    (found,) = message.iter("ParticipantObjectQuery")
    return base64.b64decode(found.text or "", validate=True).decode()


def _event(identification: Element) -> None:
    assert set(identification.attrib) == {"EventActionCode", "EventDateTime", "EventOutcomeIndicator"}
    assert identification.get("EventActionCode") in set("CRUDE")
    assert identification.get("EventOutcomeIndicator") in {"0", "4", "8", "12"}
    assert _TIME.fullmatch(identification.get("EventDateTime", ""))
    assert [each.tag for each in identification] in (["EventID"], ["EventID", "EventTypeCode"])
    for each in identification:
        assert set(each.attrib) == _CODED


def _participant(participant: Element) -> None:
    optional = {"NetworkAccessPointID", "NetworkAccessPointTypeCode", "AlternativeUserID"}
    assert set(participant.attrib) - optional == {"UserID", "UserIsRequestor"}
    assert ("NetworkAccessPointID" in participant.attrib) == ("NetworkAccessPointTypeCode" in participant.attrib)
    assert participant.get("UserIsRequestor") in ("true", "false")
    assert re.fullmatch("r*m?", "".join({"RoleIDCode": "r", "MediaIdentifier": "m"}[each.tag] for each in participant))
    for each in participant.iter("RoleIDCode"):
        assert set(each.attrib) == _CODED


def _object(found: Element) -> None:
    names = {"ParticipantObjectID", "ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole"}
    assert set(found.attrib) == names
    assert found.get("ParticipantObjectID")
    tags = [each.tag.removeprefix("ParticipantObject") for each in found]
    assert tags[0] == "IDTypeCode"
    assert tags[1] in ("Name", "Query")
    assert set(tags[2:]) <= {"Detail"}
    assert set(found[0].attrib) == _CODED
    for each in found.iter("ParticipantObjectDetail"):
        base64.b64decode(each.get("value", ""), validate=True)
