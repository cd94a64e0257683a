"""Searching workitems: which match, in reading order (PS3.18 8.3.4 and 11.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from re import fullmatch
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from triage.decision.accession_number import first_number
from triage.decision.types import TriageDecision
from triage.web.api import wild_cards
from triage.web.api.sources import Sources
from triage.web.api.worklist import DEFAULT_LIMIT, LARGEST_LIMIT, BadRequestError
from triage.worklist import workitem_state
from triage.worklist.workitem_store import Workitems

_MORE = "The number of results exceeded the maximum supported by the server. Additional results can be requested."
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
    """What is asked for: values by keyword; some of many."""

    keys: dict[str, str]
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    fuzzy: bool = False

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> WorkitemQuery:
        """The query in an address. Raises BadRequestError."""
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
    """The workitems that match, and what has to be said beside. Order: that of reading, as the worklist has it."""
    found: list[Dataset] = []
    warnings = []
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
        made = workitems.current(uid)
        if made is None or not matches(made, query.keys):
            continue
        if passed < query.offset:
            passed += 1
        else:
            found.append(made)
    return found, warnings


def matches(workitem: Dataset, keys: dict[str, str]) -> bool:
    """Whether a workitem has what is asked: wild cards * and ?, lists of UIDs, ranges of times (PS3.4 C.2.2.2)."""
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
    if key == "LocalNamespaceEntityID":  # who issued the accession number
        issuers = workitem.ReferencedRequestSequence[0].IssuerOfAccessionNumberSequence
        return str(issuers[0].get("LocalNamespaceEntityID", "")) if issuers else ""
    value: Any = workitem.get(key)
    return "" if value is None else str(value)


def _candidates(sources: Sources, workitems: Workitems, query: WorkitemQuery) -> Iterator[str]:
    """Studies that may match, in reading order: looked up where a UID is asked for, else from the worklist.

    After those that are listed those that were read, the last first, where the query has keys that may want them.
    """
    if "SOPInstanceUID" in query.keys:
        places = (workitems.find(uid) for uid in query.keys["SOPInstanceUID"].replace("\\", ",").split(",")[:100])
        yield from dict.fromkeys(place[0] for place in places if place is not None)
        return
    cursor = None
    while True:
        page = sources.worklist.page(cursor, LARGEST_LIMIT, sources.now(), sources.waiting_cap_s)
        yield from (each.study_instance_uid for each in page.entries if _may_match(each, query.keys))
        cursor = page.next_cursor
        if cursor is None:
            break
    # Completed, they have left the list. Who asks for what is to be done, or for no more than the list, needs none.
    if query.keys and query.keys.get("ProcedureStepState") not in workitem_state.OPEN:
        read = sources.worklist.last_read(_EXAMINED)
        yield from (each.study_instance_uid for each in read if _may_match(each, query.keys))


def _may_match(decision: TriageDecision, keys: dict[str, str]) -> bool:
    """What the index says already, so that few files are read."""
    known = {
        "StudyInstanceUID": decision.study_instance_uid,
        "AccessionNumber": first_number(decision.accession_number)[:16],
    }
    return all(_matches(key, value, keys[key]) for key, value in known.items() if key in keys)


def _keyword(name: str) -> str:
    """The keyword that a key of the query stands for: a keyword, or tags as 8 hex digits."""
    path = name.removeprefix("0040A370.").removeprefix(_REQUEST)
    path = path.removeprefix("00080051.").removeprefix(_ISSUER)
    keyword = keyword_for_tag(int(path, 16)) if fullmatch("[0-9A-Fa-f]{8}", path) else path
    if keyword not in _KEYS:
        raise BadRequestError(f"{name[:80]!r} is no key of this worklist; there are {', '.join(_KEYS)}")
    return keyword


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and int(text) <= _LARGEST_OFFSET):
        raise BadRequestError(f"{name} must be a whole number up to {_LARGEST_OFFSET}")
    return int(text)
