"""The entries ``paging`` of the store, from which paging goes on after any end.

    marks/<study>        the study has a decision that paging has not seen: made by the worker, under the study's lock
    events/<study>.json  the paging of a raised study that is not read: ``PagingEvent``
    sent.json            times of the pages of the last hour, for the cap
    pages.jsonl of the study    a record for each page that arrived
    status.json          what the page and `triage paging` show, with the time as a sign of life

Written through the store only.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.errors import cause
from triage.paging.event import PagingEvent
from triage.paging.status import PagingStatus
from triage.spool.store import Store

logger = logging.getLogger(__name__)

_PAGES = "pages.jsonl"


@dataclass(frozen=True)
class SentPage:
    """A page that arrived ``at`` (POSIX seconds); ``rota`` and ``routes``: where."""

    number: int
    at: float
    rota: str
    routes: tuple[str, ...]


def pages_of(spool: Store, study_instance_uid: str) -> list[SentPage]:
    """Return the pages about a study, oldest first. A page that was noted twice, before and after a kill, is one."""
    records = spool.study_entries(study_instance_uid).records(_PAGES)
    found = [SentPage(**{**record, "routes": tuple(record["routes"])}) for record in records]
    return list({(page.number, page.at): page for page in found}.values())


class PagingFiles:
    """All reading and writing of these entries."""

    def __init__(self, spool: Store) -> None:
        self._spool = spool
        self._site = spool.entries("paging")
        self._marks = spool.entries("paging", "marks")
        self._events = spool.entries("paging", "events")

    def prepare(self) -> None:
        """Make the places. Raises OSError."""
        for each in (self._site, self._marks, self._events):
            each.prepare()

    def mark(self, study_instance_uid: str) -> None:
        """Note a new decision of the study. Hold its lock. Durable with ``Batch.settle``. Raises OSError."""
        self.prepare()
        self._marks.note(valid_uid(study_instance_uid))

    def marked(self) -> list[str]:
        """Return the studies with a mark."""
        return [uid for name in sorted(self._marks.names()) if (uid := _uid(name))]

    def unmark(self, study_instance_uid: str) -> None:
        """Remove the mark of a study. Hold its lock: no decision may fall in between. Raises OSError."""
        self._marks.remove(study_instance_uid)

    def events(self) -> dict[str, PagingEvent]:
        """Return all events by study. One that cannot be read is marked, so that paging looks at its study anew."""
        found = {}
        for name in sorted(self._events.names()):
            if not name.endswith(".json") or not (uid := _uid(name.removesuffix(".json"))):
                continue
            try:
                found[uid] = PagingEvent.from_record(json.loads(self._events.get(name)))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                logger.error("the paging of study %s cannot be read (%s): it begins anew", uid, cause(error))
                self.mark(uid)
        return found

    def save(self, event: PagingEvent) -> None:
        """Write an event durably. Raises OSError."""
        self._events.put(f"{valid_uid(event.study_instance_uid)}.json", json.dumps(event.to_record(), indent=1))

    def close(self, study_instance_uid: str) -> None:
        """Remove an event that is over. Raises OSError."""
        self._events.remove(f"{study_instance_uid}.json")

    def note_page(self, event: PagingEvent, page: SentPage) -> None:
        """Note with the study that a page arrived. Raises OSError."""
        self._spool.study_entries(event.study_instance_uid).append(_PAGES, asdict(page))

    def sent(self) -> list[float]:
        """Return the times of the last pages, in POSIX seconds; none of a file that cannot be read."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            times = [float(each) for each in json.loads(self._site.get("sent.json"))]
            return [each for each in times if math.isfinite(each)]
        return []

    def save_sent(self, times: Sequence[float]) -> None:
        """Write the times of the last pages durably. Raises OSError."""
        self._site.put("sent.json", json.dumps(list(times)))

    def status(self) -> PagingStatus | None:
        """Return the last status; None where there is none that can be read."""
        with suppress(OSError, ValueError, TypeError):
            return PagingStatus(**json.loads(self._site.get("status.json")))
        return None

    def save_status(self, status: PagingStatus) -> None:
        """Write the status. Raises OSError."""
        self._site.put("status.json", json.dumps(asdict(status)))


def _uid(name: str) -> str:
    """Return a file's name if it is a UID; empty for a file of another program."""
    try:
        return valid_uid(name)
    except InvalidUIDError:
        return ""
