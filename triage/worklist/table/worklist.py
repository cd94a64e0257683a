"""The worklist as a table of the store: a row changes in the transaction that changes what it is of.

Nothing has to be told to it afterwards, compared or built anew: a study's row goes with the study, and a decision
writes it (triage/spool/cluster/list_rows.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from triage.decision.types import ImageAssessment, Priority, TriageDecision
from triage.errors import cause
from triage.spool.store import Store
from triage.spool.tables import Row, Tables, storable
from triage.worklist.index_keys import microseconds
from triage.worklist.index_state import FirstToRead
from triage.worklist.page import Page
from triage.worklist.query import ListRequest
from triage.worklist.table.completion import CompletionTurns, RowCompletion
from triage.worklist.table.query import TableQuery
from triage.worklist.table.rows import decision_in

_PAGE = 1000
_RANKS = {Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 3}

_HERE = "tenant = :tenant AND partition = :partition"
_ONE = f"{_HERE} AND study_uid = :study"
_READ = f"""
UPDATE listed_study SET read_revision = :revision, read_at = CAST(:at AS float8) WHERE {_ONE}
"""
_UNREAD = f"UPDATE listed_study SET read_revision = NULL, read_at = NULL WHERE {_ONE}"
_REMOVE = f"DELETE FROM listed_study WHERE {_ONE}"
_TOUCH = "SELECT pg_notify('cxr_triage_list', CAST(:tenant AS text) || '/' || CAST(:partition AS text))"
_DECISION = f"""
SELECT s.decision FROM listed_study l JOIN study s USING (tenant, partition, study_uid)
WHERE {_ONE} AND NOT silent
"""
_PLACE = f"SELECT unread, rank, revision FROM listed_study WHERE {_ONE}"
_WITH_NUMBER = """
left(accession_number, 64) = ANY(CAST(:starts AS text[])) AND accession_number = ANY(CAST(:numbers AS text[]))
"""
_LISTED = f"""
SELECT s.decision FROM listed_study l JOIN study s USING (tenant, partition, study_uid)
WHERE {_HERE} AND unread AND (study_uid = ANY(CAST(:uids AS text[])) OR ({_WITH_NUMBER})) ORDER BY study_uid
"""
_OF_NUMBER = f"SELECT study_uid FROM listed_study WHERE {_HERE} AND NOT silent AND {_WITH_NUMBER} ORDER BY study_uid"
_ARRIVED = f"""
SELECT rank, arrival, study_uid FROM listed_study WHERE {_HERE} AND unread AND arrival < CAST(:before AS bigint)
AND rank = CAST(:rank AS smallint) AND (arrival, study_uid) > (CAST(:arrival AS bigint), CAST(:after AS text))
ORDER BY arrival, study_uid LIMIT CAST(:page AS int)
"""
_HIGH = f"SELECT count(*) FROM listed_study WHERE {_HERE} AND unread AND rank = 1"
_LAST_HIGH = f"""
SELECT study_uid FROM listed_study WHERE {_HERE} AND unread AND rank = 1 ORDER BY arrival DESC, study_uid DESC
LIMIT CAST(:limit AS int)
"""
_PAST_CAP = f"""
SELECT count(*) FROM listed_study WHERE {_HERE} AND unread AND arrival < CAST(:cutoff AS bigint) AND rank > 1
"""
_COUNT = f"SELECT count(*) FROM listed_study WHERE {_HERE} AND unread"
_TAGGED = f"""
SELECT count(*) FROM listed_study WHERE {_HERE} AND NOT silent
AND tagged_at BETWEEN CAST(:moment AS float8) AND CAST(:moment AS float8) + 3600
"""
_LAST_TAGGED = f"SELECT max(tagged_at) FROM listed_study WHERE {_HERE} AND NOT silent"


class TableWorklist:
    """A ``Worklist`` of a store in PostgreSQL. Methods raise OSError."""

    is_of_store = True

    def __init__(self, spool: Store, tables: Tables) -> None:
        self._tables = tables
        self._completion = RowCompletion(spool, tables)
        self._spool = spool

    # Changes.

    def deciding(
        self, study_instance_uids: Collection[str], new: Collection[ImageAssessment] = ()
    ) -> Callable[[str], None]:
        """Return what completes a study's row by the headers of its objects, which are read here; see ``Worklist``."""
        headers = {uid: self._completion.headers(uid, new) for uid in sorted(set(study_instance_uids))}

        def decided(study_instance_uid: str) -> None:
            self._completion.complete(study_instance_uid, headers[study_instance_uid])

        return decided

    def complete(self, at_most: int, turns: CompletionTurns | None = None) -> int:
        """Complete rows that a decision wrote alone, or whose objects could not be read; return how many are now.

        ``turns`` are those of the call before. None: begin anew.
        """
        count = 0
        for uid in (turns or CompletionTurns()).next(self._completion.incomplete, at_most):
            if self._completion.is_resting():
                break
            headers = self._completion.headers(uid)
            with self._spool.study_lock(uid):
                if not self._spool.decision(uid):  # removed meanwhile
                    continue
                count += self._completion.complete(uid, headers)
        return count

    def put_all(self, decisions: Iterable[TriageDecision]) -> None:
        """Do nothing: a decision was listed with the transaction that wrote it."""

    def read(self, study_instance_uid: str, revision: str, at: float) -> None:
        """Remove a study from the list that was read as ``revision`` of its decision; a new revision lists it again."""
        self._tables.write(_READ, study=study_instance_uid, revision=revision, at=at)

    def unread(self, study_instance_uid: str) -> None:
        """List a study again, at its position."""
        self._tables.write(_UNREAD, study=study_instance_uid)

    def remove(self, study_instance_uid: str | bytes) -> None:
        """Remove a study's row, which would go with the study."""
        uid = study_instance_uid if isinstance(study_instance_uid, str) else study_instance_uid.decode()
        self._tables.write(_REMOVE, study=uid)

    def touch(self, study_instance_uid: str) -> None:
        """Tell those who show the list that something of a study has changed that the list does not have."""
        self._tables.write(_TOUCH)

    def rehearse(self, decision: TriageDecision) -> None:
        """Look that a decision of this partition, which no reader sees, is in its row. Raises RuntimeError if not."""
        found = self._tables.read(_PLACE, study=decision.study_instance_uid)
        if found != [[True, _RANKS[decision.priority], decision.revision]]:
            raise RuntimeError("the worklist did not list a decision that was put into it")

    # Studies.

    def get(self, study_instance_uid: str) -> TriageDecision | None:
        """Return a study's decision, read or not; None if it has none."""
        return next(iter(_decisions(self._tables.read(_DECISION, study=storable(study_instance_uid)))), None)

    def page(self, cursor: str | None, limit: int, now: float, waiting_cap_s: float = 0.0) -> Page:
        """Return at most ``limit`` entries in reading order. Raises BadCursorError."""
        found = TableQuery(self._tables, waiting_cap_s).studies(ListRequest(limit, cursor), now)
        return Page(tuple(each.decision for each in found.studies), found.next_cursor)

    def last_read(self, limit: int) -> tuple[TriageDecision, ...]:
        """Return the studies that were read last, the last one first."""
        return tuple(each.decision for each in TableQuery(self._tables, 0.0).last_read(limit))

    def listed(
        self, study_instance_uids: Collection[str], accession_numbers: Collection[str]
    ) -> tuple[TriageDecision, ...]:
        """Return the listed studies with one of these UIDs or accession numbers."""
        uids = [storable(each) for each in study_instance_uids]
        return tuple(_decisions(self._tables.read(_LISTED, uids=uids, **_numbers(accession_numbers))))

    def with_accession_number(self, accession_number: str) -> tuple[str, ...]:
        """Return the studies with exactly this accession number, read or not."""
        return tuple(str(uid) for (uid,) in self._tables.read(_OF_NUMBER, **_numbers([accession_number])))

    def arrived_before(self, moment: float) -> Iterator[str]:
        """Yield the listed studies whose first object came before ``moment`` (POSIX s), of each priority by arrival."""
        for rank in _RANKS.values():
            arrival, after = -1, ""
            while rows := self._tables.read(
                _ARRIVED, before=microseconds(moment), rank=rank, arrival=arrival, after=after, page=_PAGE
            ):
                yield from (str(uid) for _, _, uid in rows)
                arrival, after = int(str(rows[-1][1])), str(rows[-1][2])

    # Numbers.

    def unread_high(self, at_most: int) -> tuple[int, tuple[str, ...]]:
        """Return the number of listed studies of priority HIGH, and up to ``at_most`` of them, those that came last."""
        uids = [str(uid) for (uid,) in self._tables.read(_LAST_HIGH, limit=at_most)]
        return self._number(_HIGH), tuple(reversed(uids))

    def first_to_read(self, now: float, waiting_cap_s: float) -> FirstToRead:
        """Return the numbers of those that come first at ``now`` (POSIX seconds); waiting cap in seconds, 0: none."""
        cutoff = microseconds(now - waiting_cap_s) if waiting_cap_s else 0
        return FirstToRead(self._number(_HIGH), self._number(_PAST_CAP, cutoff=max(cutoff, 0)))

    def count(self) -> int:
        """Return how many studies are listed."""
        return self._number(_COUNT)

    def tagged_since(self, moment: float) -> int:
        """Return how many studies were tagged since ``moment`` (POSIX seconds), which is at most an hour ago."""
        return self._number(_TAGGED, moment=moment)

    def last_result_at(self) -> float | None:
        """Return when the last study was tagged, in POSIX seconds; None if none was."""
        ((at,),) = self._tables.read(_LAST_TAGGED)
        return None if at is None else float(str(at))

    def changes(self) -> int:
        """Return a number that is another one after each change, for this process."""
        return self._tables.list_changes()

    def is_built(self) -> bool:
        """Return True: every decision has its row."""
        return True

    def why_away(self) -> str:
        """Return why the table does not answer; empty if it does."""
        try:
            self._tables.read(_PLACE, study="")
        except OSError as error:
            return f"the worklist's database does not answer ({cause(error)})"
        return ""

    def _number(self, sql: str, **values: float) -> int:
        ((number,),) = self._tables.read(sql, **values)
        return int(str(number))


def _decisions(rows: Iterable[Row]) -> Iterator[TriageDecision]:
    return (decision for (content,) in rows if (decision := decision_in(content)) is not None)


def _numbers(accession_numbers: Iterable[str]) -> dict[str, list[str]]:
    numbers = [storable(each) for each in accession_numbers if each]
    return {"numbers": numbers, "starts": [each[:64] for each in numbers]}
