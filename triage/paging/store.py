"""The files of paging, in the folder ``paging`` of the spool, from which it goes on after any end.

    marks/<study>        the study has a decision that paging has not seen: made by the worker, under the study's lock
    events/<study>.json  the paging of a raised study that is not read: ``PagingEvent``
    sent.json            times of the pages of the last hour, for the cap
    ../studies/<hh>/<study>/pages.jsonl    a line for each page that arrived
    status.json          what the page and `triage paging` show, with the time as a sign of life

Written through the spool only.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.errors import cause
from triage.paging.event import PagingEvent
from triage.paging.status import PagingStatus
from triage.runtime.durable import append_durably
from triage.spool.spool import Spool

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SentPage:
    """A page that arrived ``at`` (POSIX seconds); ``rota`` and ``routes``: where."""

    number: int
    at: float
    rota: str
    routes: tuple[str, ...]


def pages_of(spool: Spool, study_instance_uid: str) -> list[SentPage]:
    """Return the pages about a study, oldest first. A page that was noted twice, before and after a kill, is one."""
    try:
        lines = _pages(spool, study_instance_uid).read_text().splitlines()
    except FileNotFoundError:
        return []
    records = [json.loads(line) for line in lines if line.endswith("}")]  # a crash may have cut a line
    found = [SentPage(**{**record, "routes": tuple(record["routes"])}) for record in records]
    return list({(page.number, page.at): page for page in found}.values())


class PagingFiles:
    """All reading and writing of these files."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._root = spool.root / "paging"
        self._marks = self._root / "marks"
        self._events = self._root / "events"

    def prepare(self) -> None:
        """Make the folders. Raises OSError."""
        for folder in (self._root, self._marks, self._events):
            self._spool.make_folder(folder)

    def mark(self, study_instance_uid: str) -> None:
        """Note a new decision of the study. Hold its lock. Durable after ``Spool.sync``. Raises OSError."""
        self.prepare()
        self._spool.touch(self._marks / valid_uid(study_instance_uid))

    def marked(self) -> list[str]:
        """Return the studies with a mark."""
        return [uid for path in self._listed(self._marks) if (uid := _uid(path.name))]

    def unmark(self, study_instance_uid: str) -> None:
        """Remove the mark of a study. Hold its lock: no decision may fall in between. Raises OSError."""
        (self._marks / study_instance_uid).unlink(missing_ok=True)

    def events(self) -> dict[str, PagingEvent]:
        """Return all events by study. One that cannot be read is marked, so that paging looks at its study anew."""
        found = {}
        for path in self._listed(self._events):
            if not (uid := _uid(path.stem)) or path.suffix != ".json":
                continue
            try:
                found[uid] = PagingEvent.from_record(json.loads(path.read_bytes()))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                logger.error("the paging of study %s cannot be read (%s): it begins anew", uid, cause(error))
                self.mark(uid)
        return found

    def save(self, event: PagingEvent) -> None:
        """Write an event durably. Raises OSError."""
        path = self._events / f"{valid_uid(event.study_instance_uid)}.json"
        self._spool.write(path, json.dumps(event.to_record(), indent=1))

    def close(self, study_instance_uid: str) -> None:
        """Remove an event that is over. Raises OSError."""
        (self._events / f"{study_instance_uid}.json").unlink(missing_ok=True)

    def note_page(self, event: PagingEvent, page: SentPage) -> None:
        """Note in the study's folder that a page arrived. Raises OSError."""
        # The line break comes first, so that a line that a crash cut does not spoil the next one.
        append_durably(_pages(self._spool, event.study_instance_uid), "\n" + json.dumps(asdict(page)))

    def sent(self) -> list[float]:
        """Return the times of the last pages, in POSIX seconds; none of a file that cannot be read."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            times = [float(each) for each in json.loads((self._root / "sent.json").read_bytes())]
            return [each for each in times if math.isfinite(each)]
        return []

    def save_sent(self, times: Sequence[float]) -> None:
        """Write the times of the last pages durably. Raises OSError."""
        self._spool.write(self._root / "sent.json", json.dumps(list(times)))

    def status(self) -> PagingStatus | None:
        """Return the last status; None where there is none that can be read."""
        with suppress(OSError, ValueError, TypeError):
            return PagingStatus(**json.loads((self._root / "status.json").read_bytes()))
        return None

    def save_status(self, status: PagingStatus) -> None:
        """Write the status. Raises OSError."""
        self._spool.write(self._root / "status.json", json.dumps(asdict(status)))

    def _listed(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except FileNotFoundError:
            return []


def _uid(name: str) -> str:
    """Return a file's name if it is a UID; empty for a file of another program."""
    try:
        return valid_uid(name)
    except InvalidUIDError:
        return ""


def _pages(spool: Spool, study_instance_uid: str) -> Path:
    return spool.study_folder(study_instance_uid) / "pages.jsonl"
