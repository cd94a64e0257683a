"""Search of workitems, in reading order (PS3.18 8.3.4 and 11.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from re import fullmatch

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from triage.decision.accession_number import first_number
from triage.decision.types import TriageDecision
from triage.web.api import wild_cards
from triage.web.api.sources import Sources
from triage.web.api.worklist import DEFAULT_LIMIT, LARGEST_LIMIT, BadRequestError
from triage.worklist import workitem_state
from triage.worklist.workitem_store import UnreadWorkitemError, Workitems

_MORE = "The number of results exceeded the maximum supported by the server. Additional results can be requested."
_UNREAD = "Workitems are missing whose images cannot be read now, so that their patient is not known. Search again."
_EXAMINED = 5000  # studies whose files one search may read
_LARGEST_OFFSET = 1_000_000
_REQUEST = "ReferencedRequestSequence."
_ISSUER = "IssuerOfAccessionNumberSequence."
_KEYS = (
    "SOPInstanceUID",
    "ScheduledProcedureStepPriority",
    "ProcedureStepState",
    "ProcedureStepLabel",
    "WorklistLabel",
    "InputReadinessState",
    "StudyInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "ScheduledProcedureStepStartDateTime",
    "AccessionNumber",
    "LocalNamespaceEntityID",
)
_UIDS = ("SOPInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True)
class WorkitemQuery:
    """A query: wanted values by keyword, and the page of results."""

    keys: dict[str, str]
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    fuzzy: bool = False

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> WorkitemQuery:
        """Parse the query of an address. Raises BadRequestError."""
        keys: dict[str, str] = {}
        numbers = {"offset": 0, "limit": DEFAULT_LIMIT}
        fuzzy = False
        for name, value in parameters:
            if name in numbers:
                numbers[name] = _number(name, value)
            elif name == "fuzzymatching":
                fuzzy = value == "true"
            elif name != "includefield":  # a workitem is always returned whole
                keys[_keyword(name)] = value
        if not 1 <= numbers["limit"] <= LARGEST_LIMIT:
            raise BadRequestError(f"limit must be a whole number from 1 to {LARGEST_LIMIT}")
        return cls({key: value for key, value in keys.items() if value not in ("", "*")}, fuzzy=fuzzy, **numbers)


def search(sources: Sources, workitems: Workitems, query: WorkitemQuery) -> tuple[list[Dataset], list[str]]:
    """Return the workitems that match in reading order, and warnings for the client.

    Raises OSError while the store gives no objects; one that cannot be read alone is missing, and a warning says so.
    """
    found: list[Dataset] = []
    warnings, unread = list[str](), list[str]()
    if query.fuzzy:
        warnings.append("The fuzzymatching parameter is not supported. Only literal matching has been performed.")
    passed = examined = 0
    for uid in _candidates(sources, workitems, query):
        if not query.keys and passed < query.offset:
            passed += 1
            continue
        if len(found) == query.limit or examined == _EXAMINED:
            warnings.append(_MORE)
            break
        examined += 1
        try:
            item = workitems.current(uid)
        except UnreadWorkitemError:
            unread = [_UNREAD]
            continue
        if item is None or not matches(item, query.keys):
            continue
        if passed < query.offset:
            passed += 1
        else:
            found.append(item)
    return found, [*warnings, *unread]


def matches(workitem: Dataset, keys: dict[str, str]) -> bool:
    """Return True if a workitem matches: wild cards * and ?, lists of UIDs, ranges of times (PS3.4 C.2.2.2)."""
    return all(_matches(key, _value(workitem, key), wanted) for key, wanted in keys.items())


def _matches(key: str, value: str, wanted: str) -> bool:
    if key in _UIDS:
        return value in wanted.replace("\\", ",").split(",")
    if key == "ScheduledProcedureStepStartDateTime":
        return _in_range(value, wanted)
    if key == "PatientName":
        value, wanted = value.casefold(), wanted.casefold()
    return wild_cards.matches(value, wanted)


def _in_range(value: str, wanted: str) -> bool:
    lowest, dash, highest = wanted.partition("-")
    if not dash:
        return value.startswith(wanted)
    return (not lowest or value[: len(lowest)] >= lowest) and (not highest or value[: len(highest)] <= highest)


def _value(workitem: Dataset, key: str) -> str:
    if key == "AccessionNumber":
        return str(workitem.ReferencedRequestSequence[0].AccessionNumber or "")
    if key == "LocalNamespaceEntityID":  # the issuer of the accession number
        issuers = workitem.ReferencedRequestSequence[0].IssuerOfAccessionNumberSequence
        return str(issuers[0].get("LocalNamespaceEntityID", "")) if issuers else ""
    value: object = workitem.get(key)
    return "" if value is None else str(value)


def _candidates(sources: Sources, workitems: Workitems, query: WorkitemQuery) -> Iterator[str]:
    """Yield studies that may match, in reading order: by UID where the query has one, else from the worklist.

    After the listed studies come those that were read, the last first, if the keys of the query may match them.
    """
    if "SOPInstanceUID" in query.keys:
        entries = (workitems.find(uid) for uid in query.keys["SOPInstanceUID"].replace("\\", ",").split(",")[:100])
        yield from dict.fromkeys(entry[0] for entry in entries if entry is not None)
        return
    cursor = None
    while True:
        page = sources.worklist.page(cursor, LARGEST_LIMIT, sources.now(), sources.waiting_cap_s)
        yield from (each.study_instance_uid for each in page.entries if _may_match(each, query.keys))
        cursor = page.next_cursor
        if cursor is None:
            break
    # Completed studies have left the list. A query for open workitems, or without keys, needs none of them.
    if query.keys and query.keys.get("ProcedureStepState") not in workitem_state.OPEN:
        read = sources.worklist.last_read(_EXAMINED)
        yield from (each.study_instance_uid for each in read if _may_match(each, query.keys))


def _may_match(decision: TriageDecision, keys: dict[str, str]) -> bool:
    """Return False if the index alone shows that the study does not match, so that few files are read."""
    known = {
        "StudyInstanceUID": decision.study_instance_uid,
        "AccessionNumber": first_number(decision.accession_number)[:16],
    }
    return all(_matches(key, value, keys[key]) for key, value in known.items() if key in keys)


def _keyword(name: str) -> str:
    """Return the keyword of a query key: a keyword, or tags as 8 hexadecimal digits."""
    path = name.removeprefix("0040A370.").removeprefix(_REQUEST)
    path = path.removeprefix("00080051.").removeprefix(_ISSUER)
    keyword = keyword_for_tag(int(path, 16)) if fullmatch("[0-9A-Fa-f]{8}", path) else path
    if keyword not in _KEYS:
        raise BadRequestError(f"{name[:80]!r} is no key of this worklist; its keys are {', '.join(_KEYS)}")
    return keyword


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and int(text) <= _LARGEST_OFFSET):
        raise BadRequestError(f"{name} must be a whole number up to {_LARGEST_OFFSET}")
    return int(text)
