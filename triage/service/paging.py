"""Paging, from the settings: its loop in `triage deliver`, and the worker's mark."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from triage.decision.urgency import Urgency
from triage.model.installed import models_folder
from triage.paging.store import PagingFiles
from triage.settings.schema import Settings
from triage.settings.sections.paging import PagingSettings
from triage.spool.store import Store

if TYPE_CHECKING:
    from triage.paging.pager import Pager
    from triage.paging.route import Route


def paging_mark(settings: Settings, spool: Store) -> Callable[[str], None]:
    """Return what a worker calls, under the study's lock, with the UID of a study that it has decided."""
    return PagingFiles(spool).mark if settings.paging.on else lambda study_instance_uid: None


def pager(
    settings: Settings,
    spool: Store,
    registry: CollectorRegistry,
    stopping: Callable[[], bool],
    now: Callable[[], float] = time.time,
) -> Pager:
    """Return the loop that pages the rota of the settings. Raises OSError."""
    from triage.metrics.paging import PagingMetrics
    from triage.paging.cards import InstalledCards
    from triage.paging.facts import SiteTexts
    from triage.paging.pager import Composer, Pager
    from triage.paging.rules import PagingRules
    from triage.paging.sending import Sending
    from triage.paging.watched_studies import WatchedStudies

    paging, files, metrics = settings.paging, PagingFiles(spool), PagingMetrics(registry)
    repeat_s = paging.repeat_minutes * 60
    address, prevalence = paging.page_url.rstrip("/"), settings.models.prevalence_by_name
    texts = SiteTexts(paging.identifies, address, prevalence, paging.zone, repeat_s)
    urgencies = frozenset(map(Urgency, paging.urgencies))
    rules = PagingRules(paging.after_minutes * 60, repeat_s, paging.cap_per_hour, paging.quiet_hours, urgencies)
    watched = WatchedStudies(files)
    composer = Composer(spool, InstalledCards(partial(models_folder, settings.models.path)), texts)
    sending = Sending(routes_of(settings), watched, metrics, now)
    return Pager(spool, files, rules, composer, watched, sending, metrics, stopping)


def routes_of(settings: Settings) -> dict[str, Sequence[Route]]:
    """Return the routes of each rota that is ever paged, by its name."""
    from triage.paging.rules import QUIET, READING

    paging = settings.paging
    found = {READING: _routes(settings, paging.mail_to, paging.chat_url.get_secret_value())}
    if paging.quiet_from:
        found[QUIET] = _routes(settings, paging.quiet_mail_to, paging.quiet_chat_url.get_secret_value())
    return found


def _routes(settings: Settings, mail_to: tuple[str, ...], chat_url: str) -> Sequence[Route]:
    return [*([_mail(settings, mail_to)] if mail_to else []), *([_chat(settings.paging, chat_url)] if chat_url else [])]


def _mail(settings: Settings, to: tuple[str, ...]) -> Route:
    from triage.dicom.tls import ClientTLS
    from triage.paging.mail import MailRoute, MailServer

    smtp = settings.smtp
    tls = ClientTLS(smtp.host, smtp.tls_ca_file)
    password = smtp.password.get_secret_value()
    server = MailServer(smtp.host, smtp.port, smtp.tls, tls, smtp.timeout_s, smtp.user, password)
    return MailRoute(server, smtp.sender, to)


def _chat(paging: PagingSettings, url: str) -> Route:
    from triage.dicom.tls import ClientTLS
    from triage.paging.chat import ChatRoute, ChatTemplate

    tls = ClientTLS(urlsplit(url).hostname or "", paging.chat_ca_file)
    return ChatRoute(url, ChatTemplate.parse(paging.chat_template), paging.chat_timeout_s, tls)
