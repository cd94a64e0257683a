"""Canaries again and again: what metrics say of those that passed, and of those that failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.dicom_peer import Running, running_listener
from tests.support.ports import free_port
from tests.support.wait import wait_for
from triage.canary.partition import CANARY, is_registered, last_success, open_partition, record_success
from triage.canary.run import CanaryObserver, CanaryResult, CanaryRunningError, CanarySetup, run_canary
from triage.canary.schedule import scheduled
from triage.canary.stages import EXPECTED
from triage.channels.sr.settings import SRDestination
from triage.decision.reasons import Reason
from triage.dicom.requestor import RemoteAE
from triage.listener.storage import CanaryRoute, uncounted_target
from triage.metrics.canary import CanaryMetrics
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def a_setup(spool: Spool, port: int, timeout_s: float = 0.5) -> CanarySetup:
    destination = SRDestination(name="pacs", host="127.0.0.1", port=1, called_ae_title="PACS")
    return CanarySetup(
        spool=spool,
        partition=open_partition(spool),
        listener=RemoteAE("127.0.0.1", port, "CXR_TRIAGE", "CXR_CANARY"),
        destinations=(destination,),
        timeout_s=timeout_s,
        job_status=lambda instance: "queued",
        remove_jobs=lambda instances: None,
    )


@contextmanager
def listening(spool: Spool, *, knows: bool = True) -> Iterator[Running]:
    partition = open_partition(spool)
    target = uncounted_target(partition, CANARY)
    route = CanaryRoute.to("CXR_CANARY", target, lambda each: is_registered(partition, each))
    with running_listener(spool, canary=route if knows else CanaryRoute()) as running:
        yield running


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"cxr_triage_canary_{name}", labels)


def nothing(*_: object) -> None:
    """Ignore a passed stage."""


def test_failures_are_counted_by_stage_and_go_on(spool: Spool) -> None:
    registry = CollectorRegistry()
    with scheduled(a_setup(spool, free_port()), 0.05, CanaryMetrics(registry)):
        assert [value(registry, "failures_total", stage=each) for each in ("queued", "delivered:pacs")] == [0, 0]
        wait_for(lambda: (value(registry, "failures_total", stage="stored") or 0) > 0, "a failure")
        assert value(registry, "last_success_timestamp_seconds") == 0
        assert value(registry, "interval_seconds") == 0.05
        record_success(open_partition(spool), 1234.5, 2.0)  # by hand
        assert value(registry, "last_success_timestamp_seconds") == 1234.5


def test_a_listener_that_takes_it_for_a_patient_gets_no_second_one(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    with listening(spool, knows=False) as running:
        with scheduled(a_setup(spool, running.port), 0.05, CanaryMetrics(registry)):
            wait_for(lambda: "no further canary is sent" in caplog.text, "the end of it")
            wait_for(lambda: not any(each.name == "canary" for each in threading.enumerate()), "its thread to end")
        assert len(running.inbox) == 1
    assert value(registry, "failures_total", stage="stored") == 1
    assert "same canary.ae_title" in caplog.text


def test_one_at_a_time_and_none_is_left_when_it_is_told_to_stop(spool: Spool) -> None:
    results: list[CanaryResult | None] = []
    with listening(spool) as running:
        setup, stop = a_setup(spool, running.port, timeout_s=600.0), threading.Event()
        thread = threading.Thread(
            target=lambda: results.append(run_canary(setup, CanaryObserver(nothing, stop.is_set)))
        )
        thread.start()
        wait_for(lambda: any(setup.partition.waiting()), "it to be stored")
        with pytest.raises(CanaryRunningError):
            run_canary(setup, CanaryObserver(nothing))
        stop.set()
        thread.join()
        assert results == [None]
        assert list(setup.partition.waiting()) == []
        assert last_success(setup.partition) == 0


def test_each_stage_says_what_is_waited_for(spool: Spool) -> None:
    def away(instance: ReceivedInstance) -> str:
        raise RedisConnectionError("refused")

    with listening(spool) as running:
        setup = a_setup(spool, running.port)
        outcomes = [
            run_canary(replace(setup, job_status=away), CanaryObserver(nothing)),
            run_canary(replace(setup, job_status=lambda instance: ""), CanaryObserver(nothing)),
            run_canary(setup, CanaryObserver(nothing)),
        ]
    assert [list(each.failed_stages) for each in outcomes if each] == [["queued"], ["queued"], ["scored"]]
    said = [next(iter(each.failed_stages.values())) for each in outcomes if each]
    assert "Redis does not answer" in said[0]
    assert "its job is not in the queue" in said[1]
    assert "no worker has scored it; its job is queued" in said[2]


def test_a_disk_that_is_full_is_a_failure_and_no_end(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    registry = CollectorRegistry()
    setup = a_setup(spool, free_port())
    spool.installation_uid()
    monkeypatch.setattr(Spool, "write", full)
    with scheduled(setup, 0.05, CanaryMetrics(registry)):
        wait_for(lambda: (value(registry, "failures_total", stage="stored") or 0) > 1, "a second failure")


def test_what_a_site_or_a_model_chose_is_expected_and_what_the_service_broke_is_not() -> None:
    broken = {Reason.UNDECODABLE, Reason.WORKER_FAILURE, Reason.VIEW_UNVERIFIED, Reason.AGE_UNKNOWN}
    broken |= {Reason.BODY_PART_UNVERIFIED}
    assert Reason.OUT_OF_DISTRIBUTION in EXPECTED
    assert not EXPECTED & broken
