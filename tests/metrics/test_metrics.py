"""Metrics: names, bounded labels, one writer for shared state."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.builders import a_decision, an_assessment
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.metrics.labels import ModelState, bounded
from triage.metrics.process import ProcessMetrics
from triage.metrics.reference import GROUPS
from triage.metrics.registry import MetricGroup, families
from triage.metrics.worker import WorkerMetrics

ALL = sorted({group for groups in GROUPS.values() for group in groups}, key=lambda group: group.__name__)


def exported(registry: CollectorRegistry) -> dict[str, str]:
    """Name to type of what a registry exports, without the client's own ``_created`` series."""
    found = text_string_to_metric_families(generate_latest(registry).decode())
    return {family.name: family.type for family in found if not family.name.endswith("_created")}


@pytest.mark.parametrize("group", ALL)
def test_a_group_exports_exactly_what_it_declares_and_what_every_process_does(group: type[MetricGroup]) -> None:
    registry = CollectorRegistry()
    group(registry)
    ours = {name: kind for name, kind in exported(registry).items() if not name.startswith(("process_", "python_"))}

    assert ours == {each.name.removesuffix("_total"): each.kind for each in families(group).values()}
    assert families(ProcessMetrics).items() <= families(group).items() or not issubclass(group, ProcessMetrics)
    assert all(name.startswith("cxr_triage_") for name in ours)
    assert not [name for name in ours if "milli" in name or name.endswith("_ms")]
    assert all(name.endswith(("_seconds", "_size", "_ratio", "_score")) for name in ours if ours[name] == "histogram")


@pytest.mark.parametrize("group", ALL)
def test_prometheus_finds_nothing_to_object_to(group: type[MetricGroup]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool: sudo apt-get install prometheus")
    registry = CollectorRegistry()
    metrics = group(registry)
    for attribute, family in families(group).items():
        if family.labels:
            getattr(metrics, attribute).labels(*family.labels)  # a series: without one, nothing is checked

    lint = subprocess.run([promtool, "check", "metrics"], input=generate_latest(registry), capture_output=True)

    assert (lint.returncode, lint.stdout + lint.stderr) == (0, b"")


def test_only_the_sweep_exports_shared_state_and_each_process_its_own_families() -> None:
    names = {
        process: {each.name for group in groups for each in families(group).values()}
        for process, groups in GROUPS.items()
    }
    exporters = {
        name: {process for process in names if name in names[process]} for name in set().union(*names.values())
    }

    assert exporters["cxr_triage_dead_letters"] == exporters["cxr_triage_spool_free_bytes"] == {"sweep"}
    assert exporters["cxr_triage_associations_open"] == {"listen"}
    assert exporters["cxr_triage_sweep_requeued_total"] == {"work", "sweep"}  # a worker sweeps once at its start
    assert exporters["cxr_triage_build_info"] == set(GROUPS)


def test_without_a_registry_nothing_is_exported_and_groups_do_not_meet() -> None:
    one, other = WorkerMetrics(), WorkerMetrics()
    one.retries.inc()
    assert generate_latest(CollectorRegistry()) == b"" and one.retries is not other.retries


def test_a_process_says_when_it_started():
    registry = CollectorRegistry()
    WorkerMetrics(registry)

    assert registry.get_sample_value("process_start_time_seconds")


def test_an_assessment_is_counted_once_in_every_way():
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)

    metrics.count_assessment(
        an_assessment(
            tag=Tag.NOT_ASSESSED,
            reasons=(Reason.OUT_OF_DISTRIBUTION,),
            probability=0.93,
            distance=3.0,
            distance_limit=2.0,
            stages={"decode": 0.02},
        )
    )

    value = registry.get_sample_value
    assert value("cxr_triage_images_total", {"tag": "NOT_ASSESSED", "counted": "true"}) == 1
    assert value("cxr_triage_image_reasons_total", {"reason": "out_of_distribution"}) == 1
    assert value("cxr_triage_score_bucket", {"model": "rsna-adult", "le": "0.9"}) == 0
    assert value("cxr_triage_score_bucket", {"model": "rsna-adult", "le": "0.95"}) == 1
    assert value("cxr_triage_distance_ratio_sum", {"model": "rsna-adult"}) == 1.5
    assert value("cxr_triage_stage_duration_seconds_count", {"stage": "decode"}) == 1


@pytest.mark.parametrize(
    ("sender", "view", "contradicted", "labels"),
    [
        ("ROOM_1", "PA", True, {"calling_ae_title": "ROOM_1", "outcome": "contradicted"}),
        ("ROOM_1", "AP", False, {"calling_ae_title": "ROOM_1", "outcome": "agreed"}),
        ("ROOM_1", "FRONTAL", False, {"calling_ae_title": "ROOM_1", "outcome": "not_stated"}),
        ("ROOM_1", "UNKNOWN", False, {"calling_ae_title": "ROOM_1", "outcome": "not_stated"}),
        ("STRANGER", "PA", True, {"calling_ae_title": "other", "outcome": "contradicted"}),
    ],
)
def test_a_stated_view_that_was_compared_with_the_pixels_is_counted_by_its_sender(
    sender: str, view: str, contradicted: bool, labels: dict[str, str]
) -> None:
    registry = CollectorRegistry()
    metrics, named = WorkerMetrics(registry), ["ROOM_1"]
    metrics.begin_view_checks(named)
    before = view_checks(registry)
    assert before and not any(before.values())  # every series begins at 0, so that its first increase is seen

    found = an_assessment(calling_ae_title=sender, view=view, ap_share=0.97, view_contradicted=contradicted)
    metrics.count_view_check(found, named)
    assert registry.get_sample_value("cxr_triage_view_checks_total", labels) == 1
    assert sum(view_checks(registry).values()) == 1 and view_checks(registry).keys() == before.keys()

    metrics.count_view_check(an_assessment(calling_ae_title=sender, view=view), named)
    assert sum(view_checks(registry).values()) == 1  # the pixels were not asked


def view_checks(registry: CollectorRegistry) -> dict[str, float]:
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {str(each.labels): each.value for each in samples if each.name == "cxr_triage_view_checks_total"}


def test_what_is_only_listed_is_not_counted_among_images_for_us():
    registry = CollectorRegistry()
    WorkerMetrics(registry).count_assessment(an_assessment(tag=Tag.NOT_ASSESSED, reasons=(Reason.NOT_FRONTAL,)))

    assert registry.get_sample_value("cxr_triage_images_total", {"tag": "NOT_ASSESSED", "counted": "false"}) == 1


def test_an_image_that_no_model_saw_has_no_score():
    registry = CollectorRegistry()
    WorkerMetrics(registry).count_assessment(an_assessment(probability=None, model_id=None))

    assert "cxr_triage_score_count" not in generate_latest(registry).decode()


def test_a_decision_counts_its_tag_and_reasons():
    registry = CollectorRegistry()
    WorkerMetrics(registry).count_decision(a_decision(tag=Tag.NOT_ASSESSED, reasons=(Reason.NO_FRONTAL_IMAGE,)))

    assert registry.get_sample_value("cxr_triage_study_decisions_total", {"tag": "NOT_ASSESSED"}) == 1
    assert registry.get_sample_value("cxr_triage_study_reasons_total", {"reason": "no_frontal_image"}) == 1


def test_a_model_is_in_one_state():
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    states = [ModelState.ENABLED]
    metrics.watch_model_state("rsna-adult", lambda: states[-1])

    for state in (ModelState.ENABLED, ModelState.SHADOW, ModelState.DISABLED):
        states.append(state)
        shown = {
            each: registry.get_sample_value("cxr_triage_model_state", {"model": "rsna-adult", "state": each})
            for each in ModelState
        }
        assert shown == {each: each is state for each in ModelState}


@pytest.mark.parametrize(("title", "label"), [("PACS", "PACS"), ("SCANNER^ZHANG", "other"), ("", "other")])
def test_an_unknown_peer_gets_no_label_of_its_own(title: str, label: str):
    assert bounded(title, ("PACS",)) == label
