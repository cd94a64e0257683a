"""A model in shadow next to one in service: scored on the same images, recorded, compared, and without any effect."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from tests.support.model_folders import write_model
from tests.support.service import a_chest, receive
from triage.cli import triage
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from
from triage.decision.types import PriorityPolicy, Tag, TriageDecision
from triage.metrics.worker import WorkerMetrics
from triage.model.registry import RegistryPolicy, shadow_cards
from triage.model.session import ModelSession
from triage.operations import shadow
from triage.operations.explain import explanation
from triage.operations.trace import gather
from triage.runtime.child_pool import DecodePool
from triage.runtime.decode_scheduler import DecodeScheduler
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.batch import BatchScorer, ScoringResources
from triage.scoring.decision_outputs import DecisionOutputs
from triage.scoring.study_decisions import DecisionRules
from triage.spool.spool import Spool


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSession]:
    """Return an adult model in service that finds everything normal, and two on trial that find all abnormal."""
    folder = tmp_path_factory.mktemp("models")
    cards = [
        write_model(folder, "adult", bias=-10),
        write_model(folder, "trial", bias=10, size=32),
        write_model(folder, "trial-child", age_from=1, age_below=6, bias=10),
    ]
    return {card.name: ModelSession(folder / card.name, card, threads=1) for card in cards}


class Bench:
    """A scorer with models in shadow, and what it decided."""

    def __init__(
        self, spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool, in_shadow: Sequence[str]
    ) -> None:
        self.spool = spool
        self.registry = CollectorRegistry()
        self.decisions: list[TriageDecision] = []
        policy = AssessmentPolicy(registry=RegistryPolicy(shadow=frozenset(in_shadow)))
        metrics = WorkerMetrics(self.registry)
        self.sessions = sessions
        decoders = DecodeScheduler(pool, pool.processes, 4 << 30)
        self.scorer = BatchScorer(
            ScoringResources(sessions, decoders, policy, spool.model_switches.disabled),
            spool,
            DecisionOutputs(metrics, self.decisions.extend),
            DecisionRules(PriorityPolicy()),
        )

    def score(self, *files: bytes) -> None:
        assert self.scorer.finish(self.scorer.start([receive(self.spool, file) for file in files])) == []

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"cxr_triage_{name}", labels) or 0.0


@pytest.fixture
def bench(spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool) -> Bench:
    return Bench(spool, sessions, pool, ("trial", "trial-child"))


def test_it_scores_what_the_model_in_service_scores_and_changes_nothing(
    bench: Bench, tmp_path: Path, sessions: dict[str, ModelSession], pool: DecodePool
) -> None:
    bench.score(a_chest())
    alone = Bench(Spool.open(tmp_path / "other"), {"adult": sessions["adult"]}, pool, ())
    alone.score(a_chest())
    (decision,), (without,) = bench.decisions, alone.decisions
    assert replace(decision, tagged_at=0.0, received_at=0.0) == replace(without, tagged_at=0.0, received_at=0.0)
    assert decision.tag is Tag.NORMAL

    (record,) = bench.spool.assessments(decision.study_instance_uid)
    found = assessment_from(record)
    (other,) = found.shadow_scores
    assert (other.model_id, other.tag, other.reasons) == (sessions["trial"].card.model_id, Tag.ABNORMAL, ())
    assert other.probability is not None and other.probability > 0.99
    assert other.model_digest == sessions["trial"].card.model_sha256
    assert bench.counted("score_count", model="trial") == bench.counted("score_count", model="adult") == 1
    assert bench.counted("distance_ratio_count", model="trial") == 1
    assert bench.counted("images_total", tag="ABNORMAL", counts="true") == 0


def test_it_is_explained_beside_the_result(bench: Bench) -> None:
    bench.score(a_chest())
    text = explanation(gather(bench.decisions[0].study_instance_uid, bench.spool), 0.0)
    assert f"in shadow {bench.sessions['trial'].card.model_id}: ABNORMAL" in text
    assert "changes nothing" in text


def test_it_is_for_its_own_ages(bench: Bench) -> None:
    """A child has no model in service: the one in shadow scores alone, as before, and there is no second score."""
    bench.score(a_chest(age="003Y"))
    (record,) = bench.spool.assessments(bench.decisions[0].study_instance_uid)
    assert (record["shadow"], record["shadow_scores"]) == (True, [])
    assert bench.decisions[0].reasons == (Reason.MODEL_SHADOW,)


def test_it_is_switched_off_at_once(bench: Bench) -> None:
    started = bench.scorer.start([receive(bench.spool, a_chest())])
    bench.spool.model_switches.set_disabled("trial", True)
    assert bench.scorer.finish(started) == []
    (record,) = bench.spool.assessments(bench.decisions[0].study_instance_uid)
    assert (record["tag"], record["shadow_scores"]) == ("NORMAL", [])


def test_its_failure_costs_nobody(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with patch.object(bench.sessions["trial"], "score", side_effect=RuntimeError("no memory for PHANTOM")):
        bench.score(a_chest())
    (decision,) = bench.decisions
    assert (decision.tag, decision.reasons) == (Tag.NORMAL, ())
    (record,) = bench.spool.assessments(decision.study_instance_uid)
    (other,) = assessment_from(record).shadow_scores
    assert (other.tag, other.probability, other.reasons) == (Tag.NOT_ASSESSED, None, (Reason.WORKER_FAILURE,))
    assert "the model trial, in shadow, failed on an image: RuntimeError" in caplog.text
    assert "PHANTOM" not in caplog.text


def test_those_beside_are_of_the_age_in_shadow_enabled_and_others(sessions: dict[str, ModelSession]) -> None:
    cards = {name: session.card for name, session in sessions.items()}

    def names(age: float | None, *, disabled: Sequence[str] = (), chosen: str = "adult") -> list[str]:
        policy = RegistryPolicy(frozenset(disabled), frozenset({"trial", "trial-child"}))
        return [card.name for card in shadow_cards(cards, age, policy, [cards[chosen]])]

    assert names(50.0) == ["trial"]
    assert names(None) == ["trial"]
    assert names(3.0) == ["trial-child"]
    assert names(50.0, disabled=["trial"]) == []
    assert names(50.0, chosen="trial") == []


def test_the_comparison_counts_each_pair_of_tags_and_lists_the_images(bench: Bench, tmp_path: Path) -> None:
    bench.score(a_chest(1), a_chest(2), a_chest(3, view="LL"), a_chest(4, age="003Y"))
    out = tmp_path / "pairs.csv"
    (found,) = shadow.compare(shadow.write(shadow.pairs(bench.spool), out))
    assert (found.images, found.agreed) == (2, 0)
    assert found.counts == {(Tag.NORMAL, Tag.ABNORMAL): 2}
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert {row["study_instance_uid"] for row in rows} == {
        each.study_instance_uid for each in bench.decisions if each.accession_number in ("A1", "A2")
    }
    assert {(row["tag"], row["shadow_tag"]) for row in rows} == {("NORMAL", "ABNORMAL")}
    assert all(float(row["probability"]) < 0.01 < 0.99 < float(row["shadow_probability"]) for row in rows)
    assert "PHANTOM" not in out.read_text()


def test_the_command_prints_what_changed(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_SPOOL_PATH", str(bench.spool.root))
    assert "no image was scored by a model in shadow" in CliRunner().invoke(triage, ["shadow"]).output
    bench.score(a_chest(1), a_chest(2))
    answer = CliRunner().invoke(triage, ["shadow", "--csv", str(tmp_path / "pairs.csv")])
    assert answer.exit_code == 0
    headings, row = (line.split() for line in answer.output.splitlines() if line.strip())
    assert headings[:3] == ["in", "service", "in"]
    assert row[4:7] == ["2", "0", "(0.0%)"]
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) == 3
    answer = CliRunner().invoke(triage, ["shadow", "--csv", str(tmp_path / "nowhere" / "pairs.csv")])
    assert answer.exit_code == 1 and "No such file" in answer.output
