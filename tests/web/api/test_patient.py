"""Other studies of the patient and a model's figures over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.worklist_page import served, tagged
from triage.decision.types import Tag
from triage.model.card_library import CardLibrary
from triage.model.folder_check import ModelRefusedError
from triage.model.installed import models_folder
from triage.runtime.checkout import checkout
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.web.auth.route_rules import RULES
from triage.worklist.site_claims import SiteClaim, note_site_claim


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    with served(redis_server, spool, cards=CardLibrary(lambda: models_folder(None))) as (address, sources):
        yield address, sources


def test_other_studies_come_with_results_dates_and_pictures(place: tuple[str, Sources]) -> None:
    address, sources = place
    first = tagged(sources.spool, sources.worklist, 1, Tag.ABNORMAL, age_s=900)
    second = tagged(sources.spool, sources.worklist, 2, age_s=600)
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as ask:
        found = ask.get(f"/api/studies/{second.study_instance_uid}/patient").json()
        assert (found["complete"], found["why_none"], found["left_out"], found["more"]) == (True, None, {}, 0)
        (study,) = found["studies"]
        assert study["scope"].startswith("AI triage, unverified")
        assert (study["study_instance_uid"], study["tag"]) == (first.study_instance_uid, "ABNORMAL")
        assert (study["match"], study["study_date"], study["read"]) == ("id_alone", "20260101", False)
        (image,) = study["images"]
        picture = ask.get(f"/api/studies/{study['study_instance_uid']}/images/{image['name']}/preview")
        assert picture.status_code == 200
        assert ask.get("/api/studies/1.2.999/patient").status_code == 404
        assert ask.get("/api/studies/1.2;x/patient").status_code == 400


def test_a_claim_at_the_site_s_worklist_is_shown_until_polls_show_it_no_more(place: tuple[str, Sources]) -> None:
    address, sources = place
    study = tagged(sources.spool, sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as ask:
        assert "claim" not in ask.get(f"/api/studies/{study}").json()  # workitems are off, and none is known
        now = sources.now()
        note_site_claim(sources.spool, study, SiteClaim("ris", "1.2.3", "", now, now + 60), now)
        for path in (f"/api/studies/{study}", f"/api/studies/{study}/standing"):
            claim = ask.get(path).json()["claim"]
            assert (claim["by"], claim["via"]) == ("ris", "site")
        (entry,) = ask.post("/api/list", json={}).json()["entries"]
        assert entry["claim"] == claim
        note_site_claim(sources.spool, study, SiteClaim("ris", "1.2.4", "Lee", now, now - 1), now)
        assert "claim" not in ask.get(f"/api/studies/{study}").json()


def test_they_are_guarded_and_audited_like_the_study() -> None:
    study = "GET /api/studies/{study_instance_uid}"
    assert RULES[f"{study}/patient"] == RULES[study]


def test_a_model_s_figures_each_come_with_cohort_number_and_interval(place: tuple[str, Sources]) -> None:
    address, _ = place
    root = checkout()
    assert root is not None
    card = CardLibrary(lambda: root / "models")
    digest = next(iter(_digests(root / "models")))
    assert card.of(digest) is not None
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as ask:
        found = ask.get(f"/api/models/{digest}").json()
        assert found["model_digest"] == digest
        assert found["findings"] and found["trained_on"] and found["limits"]
        for finding in found["findings"]:
            for measured in finding["performance"]:
                assert measured["cohort"] and measured["reference"] and measured["held_out_how"]
                for figure in measured["figures"].values():
                    assert figure["low"] <= figure["value"] <= figure["high"]
                    assert figure["n"] > 0 and figure["method"]
        assert ask.get(f"/api/models/{'f' * 64}").status_code == 404


def _digests(models: Path) -> list[str]:
    return [json.loads(path.read_text())["model_sha256"] for path in sorted(models.glob("*/card.json"))]


def test_a_model_that_was_installed_later_is_found_and_a_damaged_card_hides_no_other(tmp_path: Path) -> None:
    now = [0.0]
    library = CardLibrary(lambda: tmp_path, clock=lambda: now[0])
    assert library.of("f" * 64) is None
    card = write_model(tmp_path, "tiny")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.json").write_text("{")
    assert library.of(card.model_sha256) is None  # looked a moment ago
    now[0] = 60.0
    assert library.of(card.model_sha256) == card
    assert library.of(None) is None


def test_without_models_there_are_no_figures() -> None:
    def none() -> Path:
        raise ModelRefusedError("no models")

    assert CardLibrary(none).of("f" * 64) is None
    assert CardLibrary().of("f" * 64) is None
