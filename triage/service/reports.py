"""`triage reports`: take studies off the list whose reports arrive, until SIGTERM."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event

from prometheus_client import CollectorRegistry

from triage.channels.hl7.settings import HL7Destination
from triage.channels.ups.settings import UPSDestination
from triage.errors import StartError
from triage.inbound_reports.early_store import EarlyReports, EarlyReportStore, NoEarlyReports, RetentionLimits
from triage.inbound_reports.matching import Issuers
from triage.inbound_reports.receiver import ReportPolicy
from triage.metrics.reports import ReportMetrics
from triage.queue.score_queue import connect
from triage.runtime.drain import Drain
from triage.runtime.health import Readiness
from triage.runtime.lasting_thread import lasting_thread
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.service.health import health_server
from triage.service.leadership import Leadership
from triage.service.readiness import ready_until, ready_with_list
from triage.service.running import introduce, watch_clock
from triage.service.store_probe import asked_aside
from triage.settings.schema import Settings
from triage.settings.sections.reports import ReportsSettings
from triage.spool.store import Store
from triage.worklist.opening import worklist_of
from triage.worklist.worklist import Worklist

_LONGEST_ROUND_S = 900.0  # of one comparison of all remembered reports
_LOOKS_UP_S = 1.0  # how long a wait may hide that this process gives its place back


def reports(settings: Settings, spool: Store, redis_url: str) -> None:
    """Receive reports until SIGTERM: messages over MLLP, and workitems that were completed."""
    from triage.inbound_reports.receiver import ReportReceiver
    from triage.inbound_reports.serve import Lifecycle, run
    from triage.inbound_reports.ups_watcher import watchers_of

    stopping, registry = StopSignal(), CollectorRegistry()
    # Without a port there is nothing that a load balancer could send elsewhere.
    drain = Drain(stopping, settings.listener.drain_s if settings.reports.port else 0.0)
    leadership = Leadership("reports", settings.store, spool, stopping, registry)
    metrics = ReportMetrics(registry)
    introduce("reports", settings, metrics)
    watch_clock(spool, metrics)
    hl7 = settings.channels.all_of_type(HL7Destination)
    own = frozenset((each.sending_application, each.sending_facility) for each in hl7)
    started = Event()
    with connect(redis_url, settings.redis.timeout_s) as client:
        port = settings.reports.port
        index = worklist_of(spool, client)
        why_away = asked_aside(index.why_away, settings.store.kind)
        working = partial(ready_with_list, why_away, started, "receiving reports")
        ready = partial(_ready, leadership, bool(port), working)
        ready = partial(ready_until, drain, ready, "new messages are for other hosts")
        shown = leadership.shown({ReportMetrics.reports_remembered.name})
        with health_server(shown, ready, settings.reports):
            matching = ProgressWatch("matching remembered reports", _LONGEST_ROUND_S)
            stop = _stop(leadership, stopping, matching)
            watchers = watchers_of(settings.channels.of_type(UPSDestination), spool, index, metrics, *stop)
            if not (port or watchers):
                raise StartError("there is no source of reports: set reports.port, or look_s of a UPS destination")
            early = early_store(settings.reports, spool, index, metrics)
            watchers.append(partial(early.watch, *stop, matching))
            receiver = ReportReceiver(spool, index, report_policy(settings.reports, own), metrics, memory=early)
            watching = [partial(_watch, leadership, watchers, stopping, matching)]
            lifecycle = Lifecycle(lambda: drain.is_over, stopping.wait, started.set)
            run(settings.reports, receiver, metrics, watching, lifecycle)
    leadership.exit_if_lost()


def _ready(leadership: Leadership, receives: bool, working: Readiness) -> tuple[bool, str]:
    """Return whether it works: messages are received on each host, whichever one leads."""
    well, words = leadership.ready(working)
    received, what = working()
    if receives and not received:  # a standby, too
        return False, what
    if not (receives and well) or words.startswith(what):  # the leader says so itself
        return well, words
    return True, f"{what}; {words}"


def _stop(
    leadership: Leadership, stopping: StopSignal, matching: ProgressWatch
) -> tuple[Callable[[], bool], Callable[[float], None]]:
    """Return whether watchers are to end, as the process does or leaves it to another host, and a wait until then."""

    def ended() -> bool:
        return stopping.received or leadership.gives_way(matching)

    def wait(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not ended():
            stopping.wait(min(left, _LOOKS_UP_S))

    return ended, wait


def _watch(
    leadership: Leadership, watchers: Sequence[Callable[[], None]], stopping: StopSignal, matching: ProgressWatch
) -> None:
    """Run ``watchers``, which one host runs for all, whenever this process leads."""
    gave_way = True
    while gave_way and not stopping.received:
        _watch_once(leadership, watchers, stopping, matching)
        gave_way = leadership.gives_way()


def _watch_once(
    leadership: Leadership, watchers: Sequence[Callable[[], None]], stopping: StopSignal, matching: ProgressWatch
) -> None:
    with leadership.taken() as lead:
        if lead is None:
            return
        matching.begin()
        threads = [lasting_thread(f"leader's watcher {n}", each, stopping.go_on) for n, each in enumerate(watchers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def report_policy(settings: ReportsSettings, own: frozenset[tuple[str, str]]) -> ReportPolicy:
    """Return the site's rules for reports; ``own`` are sending application and facility of our own messages."""
    return ReportPolicy(
        result_statuses=settings.result_statuses,
        order_statuses=settings.order_statuses,
        accession_in=settings.accession_in,
        sending_applications=settings.sending_applications,
        sending_facilities=settings.sending_facilities,
        own=own,
        time_in=settings.time_in,
        character_set=settings.character_set,
        patient_required=settings.patient_required,
        issuers=Issuers.of(settings.same_issuers),
    )


def early_store(settings: ReportsSettings, spool: Store, index: Worklist, metrics: ReportMetrics) -> EarlyReports:
    """Return the store of reports that come before their study; one that keeps none where it is off."""
    if not (settings.port and settings.remember_hours):
        return NoEarlyReports()
    return EarlyReportStore(
        spool,
        index,
        RetentionLimits(settings.remember_hours * 3600.0, settings.remember_at_most),
        metrics,
        issuers=Issuers.of(settings.same_issuers),
    )
