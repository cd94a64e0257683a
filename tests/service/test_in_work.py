"""What a worker announces of what decides in it: which settings count, and which do not."""

from __future__ import annotations

from typing import Any

import pytest

from triage.decision.operating_points import SitePoint, SitePoints, Stratum
from triage.operations.in_work import Forms, HostAtWork, Part, differences
from triage.service.in_work import parts_in_work
from triage.settings.schema import Settings


def forms(points: SitePoints | None = None, **sections: Any) -> Forms:
    return parts_in_work(Settings.model_validate(sections), {}, (), points or SitePoints())


def differing(first: Forms, second: Forms) -> list[str]:
    found = differences([HostAtWork("a-1", "a", first), HostAtWork("b-1", "b", second)])
    return [f"{each.part}: {each.name}" for each in found]


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        ("models", {"operating_point": 0.4}, "operating_points: models.operating_point"),
        ("models", {"prevalence": ["adult=0.1"]}, "operating_points: models.prevalence"),
        ("models", {"adult_when_age_unknown": True}, "images: models.adult_when_age_unknown"),
        ("models", {"shadow": ["adult"]}, "images: models.shadow"),
        ("models", {"serve": [{"model": "adult", "views": ["PA"]}]}, "images: models.serve"),
        ("decision", {"urgency": ["*=nonurgent"]}, "priorities: decision.urgency"),
        ("decision", {"baseline_priority": "LOW"}, "priorities: decision.baseline_priority"),
        ("decision", {"prior_after_days": 3}, "priorities: decision.prior_after_days"),
        ("decision", {"silent": True}, "priorities: decision.silent"),
        ("worklist", {"waiting_cap_s": 600}, "priorities: worklist.waiting_cap_s"),
        ("eligibility", {"chest_words": ["Thx"]}, "images: eligibility.chest_words"),
        ("eligibility", {"rejection_ae_titles": ["PACS"]}, "images: eligibility.rejection_ae_titles"),
        ("adjudication", {"uncertain_within": 0.1}, "cases: adjudication.uncertain_within"),
        ("plugins", {"enabled": ["site-rules==1.0:rule"]}, "program: plugins.enabled"),
    ],
)
def test_a_setting_that_decides_is_compared(section: str, values: dict[str, Any], told: str) -> None:
    assert differing(forms(), forms(**{section: values})) == [told]


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("models", {"path": "/srv/models", "names": ["adult"]}),
        ("decision", {"silent_days": 3}),
        ("worker", {"threads": 3, "metrics_port": 9999}),
        ("listener", {"ae_title": "TRIAGE2"}),
        ("data", {"path": "/srv/triage"}),
    ],
)
def test_addresses_folders_and_speed_are_not(section: str, values: dict[str, Any]) -> None:
    assert differing(forms(), forms(**{section: values})) == []


def test_a_destination_that_one_host_lacks_is_named_and_its_address_is_not_compared() -> None:
    def with_ris(host: str) -> Forms:
        return forms(channels={"hl7": [{"name": "ris", "host": host, "port": 2575}]})

    assert differing(with_ris("127.0.0.1"), forms()) == ["destinations: channels, ris"]
    assert differing(with_ris("127.0.0.1"), with_ris("127.0.0.2")) == []


def test_an_operating_point_of_the_file_is_compared_by_what_it_decides() -> None:
    first = SitePoint("site", "ab" * 32, "lung_opacity", 0.4, Stratum(view="PA"))
    same = SitePoints((SitePoint("site", "ab" * 32, "lung_opacity", 0.4, Stratum(view="PA")),))
    told = [f"operating_points: models.operating_points, {'ab' * 6} lung_opacity"]
    assert differing(forms(SitePoints((first,))), forms(same)) == []
    for other in (
        SitePoint("site", "ab" * 32, "lung_opacity", 0.5, Stratum(view="PA")),
        SitePoint("site", "ab" * 32, "lung_opacity", 0.4, Stratum(view="AP")),
        SitePoint("site", "ab" * 32, "lung_opacity", 0.4, Stratum(view="PA"), expires_at=1e9),
    ):
        assert differing(forms(SitePoints((first,))), forms(SitePoints((other,)))) == told
    assert differing(forms(SitePoints((first,))), forms()) == told


def test_each_part_is_announced() -> None:
    assert set(forms()) == set(Part)
