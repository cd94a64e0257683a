"""`triage reports`: take reports that arrive until SIGTERM."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry

from triage.channels.hl7.settings import HL7Destination
from triage.channels.ups.settings import UPSDestination
from triage.errors import StartError
from triage.inbound_reports.early_store import EarlyReportStore, RetentionLimits
from triage.inbound_reports.matching import Issuers
from triage.inbound_reports.receiver import ReportPolicy
from triage.metrics import process as metric_names
from triage.metrics.reports import ReportMetrics, create_reports
from triage.queue.score_queue import connect
from triage.runtime.health import HealthServer
from triage.runtime.stop_signal import StopSignal
from triage.service.readiness import ready_with_redis
from triage.service.running import introduce
from triage.settings.reports import ReportsSettings
from triage.settings.schema import Settings
from triage.spool.spool import Spool
from triage.worklist.index import Worklist


def report_policy(settings: ReportsSettings, own: frozenset[tuple[str, str]]) -> ReportPolicy:
    """What the settings say; ``own`` are the sending application and facility of our own messages."""
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


def memory_of(
    settings: ReportsSettings, spool: Spool, index: Worklist, metrics: ReportMetrics
) -> EarlyReportStore | None:
    """What remembers reports that come before their study; None where none come, or none is to be remembered."""
    if not (settings.port and settings.remember_hours):
        return None
    return EarlyReportStore(
        spool,
        index,
        RetentionLimits(settings.remember_hours * 3600.0, settings.remember_at_most),
        metrics,
        issuers=Issuers.of(settings.same_issuers),
    )


def reports(settings: Settings, spool: Spool, redis_url: str) -> None:
    """Hear which studies were reported until SIGTERM: messages over MLLP, workitems that were completed."""
    from triage.inbound_reports.receiver import ReportReceiver
    from triage.inbound_reports.serve import Lifecycle, ReportMetricsOfProcess, run
    from triage.inbound_reports.ups_watcher import watchers_of

    stopping = StopSignal()
    registry = CollectorRegistry()
    general, metrics = metric_names.create(registry), create_reports(registry)
    introduce("reports", settings, general)
    own = frozenset(
        (each.sending_application, each.sending_facility) for each in settings.channels.all_of_type(HL7Destination)
    )
    started: list[bool] = []
    with (
        connect(redis_url, settings.redis.timeout_s) as client,
        HealthServer(
            registry,
            partial(ready_with_redis, client, started, "hearing of reports"),
            settings.reports.metrics_port,
            settings.reports.metrics_host,
        ),
    ):
        index = Worklist(client)
        watchers = watchers_of(
            settings.channels.of_type(UPSDestination), spool, index, metrics, lambda: stopping.received, stopping.wait
        )
        if not (settings.reports.port or watchers):
            raise StartError("nothing to hear of reports from: set reports.port, or look_s of a UPS destination")
        memory = memory_of(settings.reports, spool, index, metrics)
        if memory:
            watchers.append(partial(memory.watch, lambda: stopping.received, stopping.wait))
        receiver = ReportReceiver(spool, index, report_policy(settings.reports, own), metrics, memory=memory)
        run(
            settings.reports,
            receiver,
            ReportMetricsOfProcess(general, metrics),
            watchers,
            Lifecycle(lambda: stopping.received, stopping.wait, lambda: started.append(True)),
        )
