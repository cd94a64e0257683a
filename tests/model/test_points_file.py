"""The site's file of operating points: what is read, what is refused, and what is in force when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_folders import write_model
from tests.support.points import AT, DIGEST, a_point, write_file
from triage.decision.operating_points import ImageFacts
from triage.model.points_file import PointsFileError, check_points, read_points, write_points

NOW = AT.timestamp() + 3600


def refused(tmp_path: Path, *points: dict[str, Any]) -> str:
    with pytest.raises(PointsFileError) as error:
        read_points(write_file(tmp_path / "points.json", *points))
    return str(error.value)


def test_the_most_specific_point_is_in_force_and_the_parents_where_there_is_none(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "points.json",
        a_point("site", threshold=0.4),
        a_point("ap", threshold=0.3, stratum={"view": "AP"}),
        a_point("old ap", threshold=0.2, stratum={"view": "AP", "age_from": 65}),
        a_point("young ap", inherits="31 positive patients", stratum={"view": "AP", "age_from": 18, "age_below": 65}),
        a_point("room", threshold=0.1, stratum={"station": " Room1"}, reason="an old detector", days=90),
    )
    points = read_points(path).points

    def of(**facts: Any) -> str | None:
        found = points.point_for(DIGEST, "abnormal", ImageFacts(**facts), NOW)
        return found.name if found else None

    assert of(view="PA", age_years=70.0) == "site"
    assert of(view="AP", age_years=70.0) == "old ap"
    assert of(view="AP", age_years=65.0) == "old ap"
    assert of(view="AP", age_years=64.9) == of(view="AP") == "ap"
    assert of(view="AP", age_years=70.0, station="ROOM1 ") == "room"
    late = NOW + 91 * 24 * 3600
    expired = points.point_for(DIGEST, "abnormal", ImageFacts("AP", 70.0, "ROOM1"), late)
    assert expired is not None and expired.name == "old ap"
    assert points.point_for(DIGEST, "another", ImageFacts(), NOW) is None
    assert points.point_for("0" * 64, "abnormal", ImageFacts(), NOW) is None


def test_what_is_written_is_read_again_and_toml_says_the_same(tmp_path: Path) -> None:
    path = write_file(tmp_path / "points.json", a_point("ap", stratum={"view": "AP"}))
    found = read_points(path)
    write_points(tmp_path / "again.json", found)
    assert read_points(tmp_path / "again.json") == found
    assert (tmp_path / "again.json").stat().st_mode & 0o077 == 0
    by_hand = tmp_path / "points.toml"
    by_hand.write_text(
        f'points_schema = 1\n[[points]]\nname = "site"\nmodel_sha256 = "{DIGEST}"\nfinding = "abnormal"\n'
        "threshold = 0.3\nexpires = 2027-01-01T00:00:00Z\n"
        '[points.provenance]\nby = "N. N."\nat = 2026-06-01T12:00:00+02:00\nrule = "the maker\'s"\n'
    )
    (entry,) = read_points(by_hand).entries
    assert (entry.threshold, entry.stratum.words) == (0.3, "all images")
    assert entry.expires == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"threshold": 1.2}, "point 1 (site): threshold: Input should be less than 1"),
        ({"threshold": True}, "threshold: Input should be a valid number"),
        ({"threshold": "0.5"}, "threshold: Input should be a valid number"),
        ({"threshold": 0}, "threshold: Input should be greater than 0"),
        ({"threshold": 1}, "threshold: Input should be less than 1"),
        ({"stratum": {"station": "  "}, "reason": "x", "days": 30}, "station is empty"),
        ({"stratum": {"age_from": True}}, "stratum.age_from: Input should be a valid number"),
        ({"stratum": {"view": "AP"}, "positive_patients": "100"}, "positive_patients: Input should be a valid integer"),
        ({"threshold": -0.1}, "threshold: Input should be greater than 0"),
        ({"threshold": float("nan")}, "threshold: Input should be a finite number"),
        ({"threshold": None}, "either a threshold or, in inherits, the reason"),
        ({"inherits": "few cases", "threshold": 0.3}, "either a threshold or, in inherits"),
        ({"threshhold": 0.2}, "threshhold: Extra inputs are not permitted"),
        ({"model_sha256": "abc"}, "model_sha256: String should match"),
        ({"stratum": {"view": "LATERAL"}}, "stratum.view: Input should be"),
        ({"stratum": {"age_from": 65, "age_below": 18}}, "age_below must be above age_from"),
        ({"expires": "2025-01-01T00:00:00Z"}, "expires must be after provenance.at"),
        ({"expires": "2027-01-01T00:00:00"}, "expires: Input should have timezone info"),
        ({"stratum": {"view": "AP"}, "positive_patients": 71}, "72 positive patients"),
        ({"stratum": {"station": "ROOM1"}, "days": 30}, "a station's point needs a written reason"),
        ({"stratum": {"station": "ROOM1"}, "reason": " ", "days": 30}, "a station's point needs a written reason"),
        ({"stratum": {"station": "ROOM1"}, "reason": "x"}, "needs expires, at most 90 days"),
        ({"stratum": {"station": "ROOM1"}, "reason": "x", "days": 91}, "needs expires, at most 90 days"),
    ],
)
def test_a_point_that_must_not_be_used_is_refused_with_its_name(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    assert told in refused(tmp_path, a_point("site", **changes))


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    told = refused(tmp_path, a_point("one", threshold=2), a_point("two", finding="Not A Name"))
    assert "point 1 (one)" in told and "point 2 (two)" in told


@pytest.mark.parametrize(
    ("strata", "told"),
    [
        (({}, {}), "one (all images) and two (all images) are both for the same images"),
        (({"view": "AP"}, {"view": "AP"}), "are both for the same images"),
        (({"age_from": 18, "age_below": 65}, {"age_from": 60}), "one (ages 18 to below 65) and two (ages 60 and over)"),
        (({"age_from": 18, "age_below": 40}, {"age_from": 41}), "ages 40 to below 41 are a hole between one and two"),
    ],
)
def test_strata_that_overlap_or_leave_a_hole_are_refused(
    tmp_path: Path, strata: tuple[dict[str, Any], ...], told: str
) -> None:
    points = [a_point(name, stratum=stratum) for name, stratum in zip(("one", "two"), strata, strict=True)]
    assert told in refused(tmp_path, *points)


def test_stations_in_other_letters_are_one_and_other_findings_do_not_overlap(tmp_path: Path) -> None:
    rooms = [a_point(n, stratum={"station": s}, reason="x", days=9) for n, s in (("one", "Room"), ("two", "ROOM "))]
    assert "are both for the same images" in refused(tmp_path, *rooms)
    assert "two points of abnormal are named one" in refused(
        tmp_path, a_point("one"), a_point("one", stratum={"view": "PA"})
    )
    both = write_file(tmp_path / "both.json", a_point("one"), a_point("one", finding="lung_opacity"))
    assert len(read_points(both).entries) == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"points_schema": 2, "points": []}', '{"points_schema": 1}'])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "points.json"
    path.write_text(text)
    with pytest.raises(PointsFileError, match=r"points\.json"):
        read_points(path)
    with pytest.raises(PointsFileError, match="No such file"):
        read_points(tmp_path / "nowhere.json")


def test_a_point_that_no_image_of_a_loaded_model_would_use_is_refused(tmp_path: Path) -> None:
    card = write_model(tmp_path, "tiny-adult", findings=[{"name": "abnormal"}])
    ours = {"model_sha256": card.model_sha256}

    def told(*points: dict[str, Any]) -> str:
        path = write_file(tmp_path / "points.json", *points)
        with pytest.raises(PointsFileError) as error:
            check_points(read_points(path), {card.name: card}, path)
        return str(error.value)

    fine = write_file(tmp_path / "fine.json", a_point("site", **ours))
    check_points(read_points(fine), {card.name: card}, fine)
    assert "which is not loaded; loaded are tiny-adult 1" in told(a_point("site"))
    assert "lung_opacity, and tiny-adult 1 has abnormal" in told(a_point("site", finding="lung_opacity", **ours))
    assert "is for no image" in told(a_point("children", stratum={"age_below": 18}, **ours))


def test_the_times_of_a_point_are_kept_as_they_were_written(tmp_path: Path) -> None:
    (entry,) = read_points(write_file(tmp_path / "points.json", a_point("site", days=30))).entries
    assert entry.expires is not None and entry.expires - entry.provenance.at == timedelta(days=30)
    assert json.loads((tmp_path / "points.json").read_text())["points_schema"] == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("points.json", b"[" * 100_000, "nested too deeply"),
        ("points.toml", b"x = " + b"[" * 5000, "nested too deeply"),
        ("points.json", b'{"points_schema": true, "points": []}', "points_schema must be 1"),
        ("points.json", b'{"points_schema": 1, "points": {}}', "a list points"),
        ("points.json", b'{"points_schema": 1, "points": ["site", null]}', "point 2: "),
        ("points.json", b"", "is no JSON"),
        ("points.toml", b"\xff\xfe", "is no TOML"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PointsFileError, match=says):
        read_points(tmp_path / name)


def test_a_mark_of_windows_before_the_text_is_taken(tmp_path: Path) -> None:
    path = write_file(tmp_path / "points.json", a_point("site"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [each.name for each in read_points(path).entries] == ["site"]
