"""The state of the service for the page: waiting work, workers, destinations and dead letters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from triage.delivery.outbox import Outbox
from triage.queue.score_queue import PRIORS, ScoreQueue
from triage.spool.store import Store
from triage.spool.usage import read_state
from triage.web.api.sources import Sources
from triage.web.api.worklist import iso_utc
from triage.web.auth.caller import Role, user_of
from triage.worklist.worklist import AWAY

_DEAD_LETTERS_SHOWN = 100


@dataclass(frozen=True)
class DestinationStatus:
    """State of a destination in the response. ``why``: its last error, empty if its last attempt succeeded."""

    name: str
    waiting: int
    dead: int
    disabled: bool
    why: str


@dataclass(frozen=True)
class ListedDeadLetter:
    """A dead letter in the response. ``destination`` is empty for an object that could not be scored."""

    destination: str
    key: str
    at: str | None
    why: str
    study_instance_uid: str


def routes(sources: Sources) -> list[Route]:
    """Return the route of the state."""
    return [Route("/api/operations", partial(_operations, sources))]


def _operations(sources: Sources, request: Request) -> JSONResponse:
    user = user_of(request)
    spool, outbox = sources.spool, Outbox(sources.spool)
    state = read_state(spool)
    destinations = [_destination(outbox, name) for name in sorted(outbox.known())]
    alive, died = spool.workers.count()
    return JSONResponse(
        {
            **_from_queue(sources),
            **_from_list(sources),
            "inbox_objects": state.inbox.objects,
            "oldest_untagged_received_at": iso_utc(state.inbox.oldest) if state.inbox.oldest else None,
            "quarantined_objects": state.quarantine.objects,
            "spool_free_bytes": state.usage.free_bytes,
            "spool_used_fraction": round(state.usage.used_fraction, 4),
            "disabled_models": sorted(spool.model_switches.disabled()),
            "workers": alive,
            "workers_died": died,
            "destinations": [asdict(each) for each in destinations],
            "dead_letters": [asdict(each) for each in _dead_letters(spool, outbox)],
            "dead_letters_total": state.dead.objects + sum(each.dead for each in destinations),
            "may_requeue": user.role is Role.ADMIN,
        }
    )


def _from_queue(sources: Sources) -> dict[str, object]:
    """Return the values of the queue; None for each while Redis is away."""
    try:
        depths = ScoreQueue(sources.redis).depths()
    except RedisError:
        return dict.fromkeys(("queue_depth", "queue_priors"))
    return {"queue_depth": sum(depths.values()), "queue_priors": depths[PRIORS]}


def _from_list(sources: Sources) -> dict[str, object]:
    """Return the values of the list; None for each while it is away."""
    index, now = sources.worklist, sources.now()
    try:
        return {
            "tagged_last_5_min": index.tagged_since(now - 300),
            "tagged_last_hour": index.tagged_since(now - 3600),
            "worklist_studies": index.count(),
            "worklist_complete": index.is_built(),
        }
    except AWAY:
        names = ("tagged_last_5_min", "tagged_last_hour", "worklist_studies", "worklist_complete")
        return dict.fromkeys(names)


def _destination(outbox: Outbox, name: str) -> DestinationStatus:
    failures, _, why = outbox.pause(name)
    waiting = len(outbox.waiting(name)) + len(outbox.marked(name))
    return DestinationStatus(name, waiting, outbox.dead.count(name), outbox.disabled(name), why if failures else "")


def _dead_letters(spool: Store, outbox: Outbox) -> list[ListedDeadLetter]:
    found = [
        ListedDeadLetter(
            "", instance.key, _time(record.get("buried_at")), record.get("error", ""), instance.study_instance_uid
        )
        for instance, record in islice(spool.dead_letters(), _DEAD_LETTERS_SHOWN)
    ]
    for name in sorted(outbox.known()):
        for key, at, _, why in islice(outbox.dead.letters(name), _DEAD_LETTERS_SHOWN):
            found.append(ListedDeadLetter(name, str(key), _time(at), why, key.study_instance_uid))
    return found


def _time(seconds: float | None) -> str | None:
    return iso_utc(seconds) if seconds else None
