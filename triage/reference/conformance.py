"""The tables of docs/reference/conformance.md, generated from the code; ``make reference`` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydicom.datadict import dictionary_description, dictionary_VR, keyword_dict
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from triage.channels.c_store_scu import of_status, proposed_contexts
from triage.channels.hl7.channel import Receiver, of_acknowledgement
from triage.channels.patient_study import SOFTWARE_VERSION
from triage.channels.secondary_capture.channel import SOP_CLASSES as MAP_SOP_CLASSES
from triage.channels.sr.channel import DOCUMENTS, SOP_CLASSES
from triage.dicom import command_set
from triage.dicom.association_request import APPLICATION_CONTEXT_NAME
from triage.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from triage.hl7.text import of_dicom
from triage.listener.negotiation import REJECTIONS, VERIFICATION, supported_contexts
from triage.metrics.labels import Rejection
from triage.radiograph.attributes import read_attributes
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.radiograph.eligibility import ineligible
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.rejection_note import KEY_OBJECT_SELECTION
from triage.radiograph.types import Attributes
from triage.reference.marked_page import table
from triage.settings.schema import Settings

Row = tuple[str, ...]
Table = tuple[Row, Sequence[Row]]
"""Headings and rows."""

_STORE_STATUSES = {
    command_set.SUCCESS: "the object is durable in the spool (fsync), or was there before: duplicates and objects that "
    "cannot be decoded are taken too",
    command_set.OUT_OF_RESOURCES: "the spool is above its high-water mark, or could not be written: nothing was kept; "
    "send it again",
    command_set.DATA_SET_MISMATCH: "data set and command differ in SOP Class or SOP Instance UID: nothing was kept",
    command_set.CANNOT_UNDERSTAND: "no data set, or none with a valid Study and SOP Instance UID before a fault in it: "
    "kept in quarantine where there is anything to keep",
    command_set.UNRECOGNIZED_OPERATION: "not C-STORE and not C-ECHO",
}
_REJECTED = {
    Rejection.CALLED_AE_TITLE: "another AE title than ours is called (`listener.require_called_ae_title`)",
    Rejection.CALLING_AE_TITLE: "not one of `listener.calling_ae_titles`",
    Rejection.SOURCE_ADDRESS: "not from one of `listener.source_addresses`",
    Rejection.TOO_MANY: "`listener.max_associations` are open, and none of them is idle",
    Rejection.TOO_MANY_OF_ADDRESS: "`listener.max_associations_per_address` are open from its address",
    Rejection.SHUTTING_DOWN: "the listener is being stopped",
    Rejection.OTHER: "another application context than DICOM's",
}
_ANSWERS = (0x0000, 0x0111, 0xB000, 0xB006, 0xB007, 0xA700, 0xA900, 0xC000, 0x0122, 0x0110)
_FAMILIES = {0xA700: "0xA7xx", 0xA900: "0xA9xx", 0xC000: "0xCxxx", 0x0110: "0x0110, any other"}
_DEFINED_TERMS = (
    *("", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127", "ISO_IR 126"),
    *("ISO_IR 138", "ISO_IR 148", "ISO_IR 203", "ISO_IR 13", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO_IR 192"),
    *("GB18030", "GBK"),
)


def tables() -> dict[str, str]:
    """Return every table by its name, as Markdown."""
    return {name: table(*make()) for name, make in _TABLES.items()}


def _implementation() -> Table:
    listener = Settings().listener
    return ("what", "value"), [
        ("Application Context Name", APPLICATION_CONTEXT_NAME),
        ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
        ("Software version", SOFTWARE_VERSION),
        ("AE title, by default", listener.ae_title),
        ("Port, by default", str(listener.port)),
        ("Maximum PDU length received, by default", f"{listener.max_pdu_bytes} bytes"),
        ("Associations at once, by default", f"{listener.max_associations} for each process"),
        ("Silence until an association is aborted, by default", f"{listener.network_timeout_s:g} s"),
    ]


def _syntaxes() -> Table:
    rows = [(str(number), UID(uid).name, uid) for number, uid in enumerate(TRANSFER_SYNTAXES, 1)]
    return ("preference", "transfer syntax", "UID"), rows


def _verification() -> Table:
    syntaxes = supported_contexts(TRANSFER_SYNTAXES)[VERIFICATION]
    return _contexts([(VERIFICATION, syntaxes)], "SCP")


def _storage() -> Table:
    uids = [uid for uid in supported_contexts(TRANSFER_SYNTAXES) if uid != VERIFICATION]
    rows = [(_known(uid), uid, _use(uid)) for uid in sorted(uids, key=lambda uid: (_use(uid) != "scored", uid))]
    return ("SOP class", "UID", "what is done with its objects"), rows


def _known(uid: str) -> str:
    name = UID(uid).name
    return name if name != uid else "(newer than pydicom's dictionary)"


def _use(sop_class_uid: str) -> str:
    """Return "scored" for a SOP class in which a frontal chest radiograph is, else the reason for which it is not."""
    attributes = Attributes(sop_class_uid=sop_class_uid, body_part_examined="CHEST", view_position="PA")
    refused = ineligible(attributes, EligibilityPolicy())
    notes = "; rejection notes (IHE IOCM): read" if sop_class_uid == KEY_OBJECT_SELECTION else ""
    return f"listed: `{refused.reason}`{notes}" if refused else "scored"


def _rejections() -> Table:
    rows = [tuple(map(str, (*REJECTIONS[each], f"`{each}`", _REJECTED[each]))) for each in Rejection]
    return ("result", "source", "reason", "in metrics and logs", "when"), rows


def _store_statuses() -> Table:
    return ("status", "when"), [(f"0x{status:04X}", when) for status, when in _STORE_STATUSES.items()]


def _proposed() -> Table:
    return _proposing(SOP_CLASSES)


def _proposed_for_maps() -> Table:
    return _proposing(MAP_SOP_CLASSES)


def _proposing(sop_classes: Sequence[str]) -> Table:
    contexts = [(str(each.abstract_syntax), each.transfer_syntax) for each in proposed_contexts(sop_classes)]
    return _contexts(contexts, "SCU")


def _contexts(contexts: Iterable[tuple[str, Iterable[str]]], role: str) -> Table:
    rows = [(UID(abstract).name, abstract, _names(transfer), role) for abstract, transfer in contexts]
    return ("abstract syntax", "UID", "transfer syntaxes", "role"), rows


def _names(syntaxes: Iterable[str]) -> str:
    return ", ".join(f"{UID(uid).name} ({uid})" for uid in syntaxes)


def _documents() -> Table:
    rows = [(f"`{name}`", UID(uid).name, uid) for name, uid in zip(DOCUMENTS, SOP_CLASSES, strict=True)]
    return ("`document`", "SOP class", "UID"), rows


def _answers() -> Table:
    outcomes = ((_FAMILIES.get(status, f"0x{status:04X}"), of_status(status)) for status in _ANSWERS)
    rows = [(status, each.detail.rpartition(",")[0], str(each.status)) for status, each in outcomes]
    return ("status", "what we read", "what we do"), rows


def _attributes() -> Table:
    recording = _RecordingDataset()
    read_attributes(recording)
    tags = sorted(Tag(keyword_dict[keyword]) for keyword in recording.keywords)
    rows = [(dictionary_description(tag), f"({tag.group:04X},{tag.element:04X})", dictionary_VR(tag)) for tag in tags]
    return ("attribute", "tag", "VR"), rows


class _RecordingDataset(Dataset):
    """An empty data set that records the attributes that are read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["keywords"] = set()

    def get(self, key: Any, default: Any = None) -> Any:
        """Record ``key``, and return ``default``."""
        self.keywords.add(key)
        return default


def _acknowledgements() -> Table:
    receiver = Receiver("", 0, 0.0)
    outcomes = [(code, of_acknowledgement(code, "", receiver)) for code in ("AA", "CA", "AR", "CR", "AE", "CE")]
    rows = [
        (
            code,
            each.detail.partition("(")[2].rstrip(")"),
            f"{each.status}, at most {each.tries} times" if each.tries else str(each.status),
        )
        for code, each in outcomes
    ]
    return ("MSA-1", "meaning", "what we do"), rows


def _character_sets() -> Table:
    rows = []
    for term in _DEFINED_TERMS:
        chosen = of_dicom([term] if term else [])
        rows.append((term or "(none)", chosen.name or "(empty)", chosen.scheme or "(empty)"))
    return ("Specific Character Set (0008,0005)", "MSH-18", "MSH-20"), rows


_TABLES: dict[str, Callable[[], Table]] = {
    "implementation": _implementation,
    "verification": _verification,
    "transfer-syntaxes": _syntaxes,
    "rejections": _rejections,
    "store-statuses": _store_statuses,
    "attributes": _attributes,
    "proposed-contexts": _proposed,
    "proposed-map-contexts": _proposed_for_maps,
    "documents": _documents,
    "store-answers": _answers,
    "acknowledgements": _acknowledgements,
    "character-sets": _character_sets,
    "storage-classes": _storage,
}
