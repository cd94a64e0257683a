"""The web process in a thread, on a real Redis and a spool with phantoms that were received and tagged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.builders import an_assessment
from tests.support.redis_server import RedisServer
from tests.support.service import receive
from tests.support.wait import wait_for
from triage.adjudication.rules import AdjudicationRules
from triage.decision.decide import decide
from triage.decision.reasons import Reason
from triage.decision.records import to_record
from triage.decision.types import PriorityPolicy, Tag, TriageDecision
from triage.model.card_library import CardLibrary
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.runtime.sockets import listen
from triage.spool.spool import Spool
from triage.web.api.site_links import SiteLinks
from triage.web.api.sources import Sources
from triage.web.api.ups_rs import routes as workitem_routes
from triage.web.app import RequestPolicy, client, create_app
from triage.web.auth.guard import AccessControl
from triage.web.auth.sign_in import Loopback
from triage.web.http.middleware import LOOPBACK
from triage.web.http.serving import server_of
from triage.worklist.index import IndexedWorklist
from triage.worklist.opening import worklist_of
from triage.worklist.workitem_store import Workitems


@contextmanager
def served(
    redis: RedisServer,
    spool: Spool,
    hosts: frozenset[str] = LOOPBACK,
    access: AccessControl | None = None,
    ups: bool = False,
    *,
    maps: bool = False,
    names: frozenset[str] = frozenset(),
    waiting_cap_s: float = 0.0,
    patient_names: bool = True,
    links: SiteLinks | None = None,
    paging: bool = False,
    cards: CardLibrary | None = None,
    adjudication: AdjudicationRules | None = None,
) -> Iterator[tuple[str, Sources]]:
    """The address of the page and its sources; ``access``: access control, ``ups``: with workitems."""
    listening = listen("127.0.0.1", 0)
    with listening, client(redis.url, 5.0) as connection:
        shown: dict[str, Any] = {
            "maps": maps,
            "patient_names": patient_names,
            "links": links or SiteLinks(),
            "paging": paging,
        }
        shown["cards"] = cards or CardLibrary()
        shown["adjudication"] = adjudication or AdjudicationRules()
        workitems = Workitems(spool, "CXR triage", low=False) if ups else None
        sources = Sources(
            spool, connection, worklist_of(spool, connection), waiting_cap_s, time.time, workitems=workitems, **shown
        )
        more = workitem_routes(sources, workitems) if workitems else []
        app = create_app(sources, RequestPolicy(hosts, names), more, access=access or AccessControl(Loopback()))
        server = server_of(app)
        app.state.ending = lambda: server.should_exit
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_for(lambda: server.started, "the web server")
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", sources
        finally:
            server.should_exit = True
            thread.join()
            sources.pictures.close()


def tagged(spool: Spool, index: IndexedWorklist, number: int, tag: Tag = Tag.NORMAL, **more: Any) -> TriageDecision:
    """Make the study of ``decided`` and list it."""
    decision = decided(spool, number, tag, **more)
    index.put(decision)
    return decision


def decided(
    spool: Spool,
    number: int,
    tag: Tag = Tag.NORMAL,
    *,
    size: int = 96,
    columns: int = 0,
    age_s: float = 600.0,
    reasons: tuple[Reason, ...] = (),
    **found: Any,
) -> TriageDecision:
    """A phantom's study that was received ``age_s`` seconds ago and tagged. ``found``: of its assessment."""
    subject = PhantomSubject(study=f"study {number}", accession=f"ACC-{number:04d}")
    pixels = draw(number, rows=size, columns=columns or size, opacity=tag is Tag.ABNORMAL)
    file = as_dicom(pixels, subject)
    received_at = time.time() - age_s
    instance = receive(spool, file, received_at)
    uid = instance.study_instance_uid
    assessment = an_assessment(
        study_instance_uid=uid,
        series_instance_uid=f"{uid}.1",
        sop_instance_uid=instance.sop_instance_uid,
        content_digest=instance.content_digest,
        accession_number=subject.accession,
        calling_ae_title=f"MODALITY{number % 3}",
        received_at=received_at,
        assessed_at=received_at + 0.7,
        tag=tag,
        probability={Tag.ABNORMAL: 0.91, Tag.NORMAL: 0.08}.get(tag),
        reasons=reasons,
        age_years=50.0,
        **found,
    )
    spool.write_assessment(instance, to_record(assessment))
    decision = decide([assessment], PriorityPolicy(), received_at + 0.7)
    with spool.study_lock(uid):
        spool.write_decision(uid, to_record(decision))
    spool.file(instance)
    return decision
