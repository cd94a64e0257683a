"""Claims of workitems at a foreign UPS manager, as its polls show them: a study is held at the site's own worklist.

We see the state at a poll, and no more: who claimed it is known where the manager states a performer, and a claim is
shown until a time by which the next polls should have confirmed it. The manager's workitem is its holder's to end.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from triage.spool.store import Store

FILE = "site-claim.json"
_VALID_S = 3600.0


@dataclass(frozen=True)
class SiteClaim:
    """A workitem of the study that is IN PROGRESS at a manager. Times in POSIX seconds.

    Attributes:
        manager: Name of the destination.
        workitem: SOP Instance UID of the workitem.
        by: The performer or station that the manager states; empty if it states none.
        at: When a poll first showed it.
        until: When it counts no more unless a poll shows it again.
    """

    manager: str
    workitem: str
    by: str
    at: float
    until: float


def site_claim(spool: Store, study_instance_uid: str, now: float) -> SiteClaim | None:
    """Return the claim of a study at a foreign manager; None if no poll has shown one of late."""
    found = _read(spool, study_instance_uid)
    return found if found and now < found.until else None


def valid_until(now: float, every_s: float) -> float:
    """Return until when a claim counts that a poll shows now; ``every_s``: seconds between two polls."""
    return now + max(_VALID_S, 2 * every_s)


def note_site_claim(spool: Store, study: str, seen: SiteClaim, now: float) -> bool:
    """Keep a claim that a poll shows; return whether it is another one than before. Raises OSError."""
    before = site_claim(spool, study, now)
    same = before is not None and (before.workitem, before.by) == (seen.workitem, seen.by)
    if before is not None and same:
        if before.until - now > (seen.until - now) / 2:
            return False  # it need not be written at each poll
        seen = replace(seen, at=before.at)
    with spool.study_lock(study):
        if spool.decision(study) is not None:  # else retention removed it meanwhile
            spool.study_entries(study).put(FILE, json.dumps(asdict(seen)))
    return not same


def end_site_claim(spool: Store, study: str, manager: str, now: float) -> bool:
    """Note that a manager shows no claim of the study; return whether it did so before. Raises OSError."""
    before = site_claim(spool, study, now)
    if before is None or before.manager != manager:
        return False
    return spool.study_entries(study).remove(FILE)


def _read(spool: Store, study_instance_uid: str) -> SiteClaim | None:
    try:
        return SiteClaim(**json.loads(spool.study_entries(study_instance_uid).get(FILE)))
    except (OSError, ValueError, TypeError):  # none, or a damaged one, which must not hide a study
        return None
