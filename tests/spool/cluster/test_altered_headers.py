"""One byte of a header changes in the bucket, or all of it is gone: nothing is of another patient, or of none."""

from __future__ import annotations

import time

import pytest

from tests.delivery.test_deliverer import Clock, a_deliverer
from tests.scoring.test_batch import Bench, sessions
from tests.spool.cluster.test_list_table import complete, site_of
from tests.support import service
from tests.support.cluster import Cluster
from tests.support.receivers import store_scp
from tests.support.studies import a_study
from triage.decision.types import Tag
from triage.model.session import ModelSession
from triage.runtime.child_pool import DecodePool
from triage.spool.study import read_whole_study
from triage.worklist.query import ListRequest

__all__ = ["sessions"]  # a fixture


def alter(cluster: Cluster, before: bytes, after: bytes) -> bytes:
    """Change bytes that the one object has once; what it was before."""
    (path,) = (each for each in cluster.bucket.folder.iterdir() if not each.name.startswith("."))
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))
    return content


def restore(cluster: Cluster, content: bytes) -> None:
    (path,) = (each for each in cluster.bucket.folder.iterdir() if not each.name.startswith("."))
    path.write_bytes(content)


def test_no_message_is_of_another_patient(cluster: Cluster):
    store = cluster.open()
    with store_scp() as scp:
        deliverer = a_deliverer(store, scp.port, Clock())  # type: ignore[arg-type]
        study = a_study(store, "pacs")  # type: ignore[arg-type]
        alter(cluster, b"P-1 ", b"P-2 ")
        deliverer.round()
    assert not any(b"P-2 " in message for message in scp.received)
    with pytest.raises(OSError, match="were acknowledged"):
        read_whole_study(store, study)


def test_no_row_of_the_list_is_of_another_patient(cluster: Cluster):
    site = site_of(cluster)
    site.image("1.2.3", {"PatientID": "P-1", "PatientName": "DOE^JANE"})
    content = alter(cluster, b"P-1 ", b"P-2 ")
    site.decide("1.2.3")
    page = site.query().page(ListRequest(), time.time())
    assert page.studies[0].facts.patient_id == "" and not page.complete
    restore(cluster, content)
    assert complete(site) == 1
    page = site.query().page(ListRequest(), time.time())
    assert page.studies[0].facts.patient_id == "P-1" and page.complete


def test_a_dead_letter_is_of_no_patient_but_its_own(
    cluster: Cluster, pool: DecodePool, sessions: dict[str, ModelSession]
):
    bench = Bench(cluster.open(), sessions, pool)  # type: ignore[arg-type]
    instance = service.receive(bench.spool, service.a_chest(0))  # type: ignore[arg-type]
    alter(cluster, b"PHANTOM^", b"PHANTOX^")
    (failed,) = bench.work([instance])
    bench.scorer.give_up(instance, failed.error, 3)
    (assessment,) = bench.spool.assessments(instance.study_instance_uid)
    assert assessment["tag"] == Tag.NOT_ASSESSED
    assert assessment["accession_number"] == "" and not assessment["patient"]["names"]


def test_an_object_that_the_bucket_does_not_know_now_is_an_error(cluster: Cluster):
    store = cluster.open()
    study = a_study(store)  # type: ignore[arg-type]
    cluster.bucket.delete(cluster.keys()[0])
    with pytest.raises(FileNotFoundError):
        read_whole_study(store, study)
