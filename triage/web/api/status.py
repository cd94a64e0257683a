"""The state of the service for the page: what waits, what works, what was given up."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from triage.delivery.outbox import Outbox
from triage.delivery.record import study_of_key
from triage.queue.score_queue import PRIORS, ScoreQueue
from triage.spool.spool import Spool
from triage.spool.usage import read_state
from triage.web.api.sources import Sources
from triage.web.api.worklist import iso_utc
from triage.web.auth.caller import Role, user_of

_DEAD_LETTERS_SHOWN = 100


def routes(sources: Sources) -> list[Route]:
    """The address of the state."""
    return [Route("/api/operations", partial(_operations, sources))]


def _operations(sources: Sources, request: Request) -> JSONResponse:
    user = user_of(request)
    spool, outbox = sources.spool, Outbox(sources.spool)
    state = read_state(spool)
    destinations = [_destination(outbox, name) for name in sorted(outbox.known())]
    alive, died = spool.workers.count()
    return JSONResponse(
        {
            **_from_redis(sources),
            "inbox_objects": state.inbox.objects,
            "oldest_untagged_received_at": iso_utc(state.inbox.oldest) if state.inbox.oldest else None,
            "quarantined_objects": state.quarantine.objects,
            "spool_free_bytes": state.usage.free_bytes,
            "spool_used_fraction": round(state.usage.used_fraction, 4),
            "disabled_models": sorted(spool.model_switches.disabled()),
            "workers": alive,
            "workers_died": died,
            "destinations": destinations,
            "dead_letters": _dead_letters(spool, outbox),
            "dead_letters_total": state.dead.objects + sum(each["dead"] for each in destinations),
            "may_requeue": user.role is Role.ADMIN,
        }
    )


def _from_redis(sources: Sources) -> dict[str, Any]:
    """What only Redis knows; None for each while it is away."""
    index, now = sources.worklist, sources.now()
    try:
        depths = ScoreQueue(sources.redis).depths()
        return {
            "queue_depth": sum(depths.values()),
            "queue_priors": depths[PRIORS],
            "tagged_last_5_min": index.tagged_since(now - 300),
            "tagged_last_hour": index.tagged_since(now - 3600),
            "worklist_studies": index.count(),
            "worklist_complete": index.is_built(),
        }
    except RedisError:
        names = ("queue_depth", "queue_priors", "tagged_last_5_min", "tagged_last_hour", "worklist_studies")
        return dict.fromkeys([*names, "worklist_complete"])


def _destination(outbox: Outbox, name: str) -> dict[str, Any]:
    failures, _, why = outbox.pause(name)
    return {
        "name": name,
        "waiting": len(outbox.waiting(name)) + len(outbox.marked(name)),
        "dead": outbox.dead_count(name),
        "disabled": outbox.disabled(name),
        "why": why if failures else "",
    }


def _dead_letters(spool: Spool, outbox: Outbox) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for instance, note in islice(spool.dead_letters(), _DEAD_LETTERS_SHOWN):
        at = note.get("buried_at")
        found.append(_dead("", instance.key, at, note.get("error", ""), instance.study_instance_uid))
    for name in sorted(outbox.known()):
        for key, at, _, why in islice(outbox.dead_letters(name), _DEAD_LETTERS_SHOWN):
            found.append(_dead(name, key, at, why, study_of_key(key)))
    return found


def _dead(destination: str, key: str, at: float | None, why: str, study: str) -> dict[str, Any]:
    when = iso_utc(at) if at else None
    return {"destination": destination, "key": key, "at": when, "why": why, "study_instance_uid": study}
