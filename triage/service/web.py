"""`triage web`: serve the worklist page and the API until SIGTERM."""

from __future__ import annotations

from functools import partial

from triage.adjudication.rules import AdjudicationRules
from triage.service.access import access_places
from triage.service.running import running
from triage.settings.schema import Settings
from triage.spool.store import Store


def _rules(settings: Settings) -> AdjudicationRules:
    return AdjudicationRules(settings.adjudication.blinded, settings.adjudication.reader_studies)


def web(settings: Settings, spool: Store, redis_url: str) -> None:
    """Serve the worklist until SIGTERM; ``triage.web.server`` starts, loops and stops."""
    from triage.model.card_library import CardLibrary
    from triage.model.installed import models_folder
    from triage.web.auth.setup import AccessSettings
    from triage.web.server import Lifetime, ListOptions, RedisAddress, run

    cards = CardLibrary(partial(models_folder, settings.models.path))
    worklist, decision = settings.worklist, settings.decision
    run(
        settings.web,
        spool,
        RedisAddress(redis_url, settings.redis.timeout_s),
        ListOptions(worklist.waiting_cap_s, decision.lower_normal, settings.paging.on, cards, _rules(settings)),
        AccessSettings(
            settings.sign_in,
            settings.audit,
            settings.oidc,
            settings.web.idle_lock_minutes,
            access_places(settings, "triage web"),
        ),
        Lifetime(running(settings), settings.listener.drain_s),
    )
