"""Age at acquisition, and stated ages that are not reliable."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.radiographs import a_dataset, as_file, opened
from triage.radiograph.age import Age, age_at_acquisition

STUDIED = "20200601"


def age(stated: str = "", born: str = "", acquired: str = "", studied: str = STUDIED) -> Age:
    return age_at_acquisition(stated, born, acquired, studied)


@pytest.mark.parametrize(
    ("stated", "years"),
    [
        ("050Y", 50.0),
        ("018Y", 18.0),
        ("120Y", 120.0),
        ("018M", 1.5),
        ("216M", 18.0),
        ("010W", 70 / 365.25),
        ("020D", 20 / 365.25),
        ("000D", 0.0),
        ("45Y", 45.0),
        (" 050y ", 50.0),
        ("050", None),
        ("Y050", None),
        ("0500Y", None),
        ("999Y", None),
        ("121Y", None),
        ("-05Y", None),
        ("5.0Y", None),
        ("050Y\\051Y", None),
        ("", None),
    ],
)
def test_patient_s_age_counts_where_there_are_no_dates(stated: str, years: float | None) -> None:
    found = age(stated)
    assert found.years == (pytest.approx(years) if years is not None else None)
    assert found.doubt == ""  # what is no age says nothing


@pytest.mark.parametrize(
    ("born", "studied", "years"),
    [
        ("20000131", "20180131", 18.0),
        ("20000201", "20180131", 17.0),
        ("20000229", "20180228", 17.0),
        ("19000102", "20180131", 118.0),
        ("20180101", "20180131", 30 / 365.25),
        ("20001301", "20180131", None),
        ("2000", "20180131", None),
        ("", "20180131", None),
        ("20000131", "", None),
        ("20000131", "rubbish", None),
    ],
)
def test_dates_give_the_completed_years(born: str, studied: str, years: float | None) -> None:
    found = age(born=born, studied=studied)
    assert found == Age(pytest.approx(years) if years is not None else None)


@pytest.mark.parametrize(
    ("changes", "years"),
    [
        ({"stated": "050Y", "born": "19700101"}, 50.0),
        ({"stated": "049Y", "born": "19700101"}, 50.0),  # the dates decide
        ({"stated": "051Y", "born": "19700101"}, 50.0),
        ({"stated": "017Y", "born": "20020101"}, 18.0),
        ({"stated": "UNK", "born": "19700101"}, 50.0),
        ({"stated": "999Y", "born": "19700101"}, 50.0),
        ({"stated": "050Y", "born": "rubbish"}, 50.0),
        ({"stated": "050Y", "born": "19700101", "studied": ""}, 50.0),
        ({"stated": "006M", "born": "20191201"}, 183 / 365.25),
        ({"stated": "000Y", "born": "20191201"}, 183 / 365.25),  # 000Y of an infant
        ({"born": "19700101", "acquired": "20200101"}, 50.0),
        ({"born": "20020301", "acquired": "20200228"}, 17.0),  # at acquisition, not at the study's
        ({"born": "20020301", "acquired": "rubbish"}, 18.0),
    ],
)
def test_the_dates_decide_and_acquisition_goes_before_the_study(changes: dict[str, str], years: float) -> None:
    assert age(**changes) == Age(pytest.approx(years))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stated": "000Y"}, "0 years"),
        ({"stated": "000Y", "born": "19700101"}, "0 years"),
        ({"stated": "000Y", "born": "20190501"}, "0 years"),
        ({"stated": "003Y", "born": "19700101"}, "contradict"),
        ({"stated": "048Y", "born": "19700101"}, "contradict"),
        ({"stated": "052Y", "born": "19700101"}, "contradict"),
        ({"stated": "004Y", "born": "20020101"}, "contradict"),
        ({"stated": "018M", "born": "20160101"}, "contradict"),
        ({"stated": "000D", "born": "19700101"}, "contradict"),
        ({"born": "19000101"}, "placeholder"),
        ({"stated": "054Y", "born": "19000101"}, "placeholder"),
        ({"stated": "120Y", "born": "19000101"}, "placeholder"),
        ({"born": "19000101", "studied": ""}, "placeholder"),
        ({"born": "18991231"}, "placeholder"),
        ({"born": "18991230"}, "placeholder"),
        ({"born": "17530101"}, "placeholder"),
        ({"born": "16010101"}, "placeholder"),
        ({"born": STUDIED}, "not before"),
        ({"born": "20200602"}, "not before"),
        ({"stated": "054Y", "born": "20300101"}, "not before"),
        ({"born": "99991231"}, "not before"),
        ({"born": "20100101", "acquired": "19900101"}, "not before"),  # the clock of a modality that was reset
        ({"born": "19850101", "acquired": "19900101"}, "year apart"),
        ({"stated": "035Y", "born": "19850101", "acquired": "19900101"}, "year apart"),
        ({"born": "19000102", "studied": "20240101"}, "no living patient"),
    ],
)
def test_what_contradicts_itself_or_is_a_placeholder_is_no_age(changes: dict[str, str], why: str) -> None:
    found = age(**changes)
    assert found.years is None
    assert why in found.doubt
    assert not any(letter.isdigit() for letter in found.doubt.replace("0 years", ""))  # no value is repeated


@given(st.dates(date(1900, 1, 2), date(2019, 12, 31)), st.integers(1, 43_000))
def test_an_age_from_dates_is_never_negative_nor_a_year_off(born: date, days: int) -> None:
    studied = born + timedelta(days=days)
    found = age(born=born.strftime("%Y%m%d"), studied=studied.strftime("%Y%m%d"))
    assert found.years is not None and found.years > 0
    assert -0.01 < days / 365.25 - found.years < 1.01


@given(st.dates(date(1905, 1, 1), date(2015, 12, 31)), st.integers(1, 110), st.integers(400, 30_000))
def test_a_patient_s_age_that_is_over_two_years_off_is_never_one(born: date, off: int, days: int) -> None:
    """Completed years may differ by one from exact ones: beyond two there is no excuse."""
    studied = born + timedelta(days=days)
    said = days // 365.25 + 2 + off
    found = age(f"{min(int(said), 120):03d}Y", born.strftime("%Y%m%d"), studied=studied.strftime("%Y%m%d"))
    assert (found.years is None) == (min(said, 120) - days / 365.25 > 1)


@settings(max_examples=80)
@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_no_text_is_an_error(stated: str, born: str, acquired: str, studied: str) -> None:
    found = age(stated, born, acquired, studied)
    assert found.years is None or 0 <= found.years <= 120


@pytest.mark.parametrize(
    ("changes", "years"),
    [
        ({"PatientAge": "007M"}, 7 / 12),
        ({"PatientAge": None, "PatientBirthDate": "20020201"}, 17.0),
        ({"PatientAge": None, "PatientBirthDate": "20020201", "AcquisitionDate": "20200301"}, 18.0),
        ({"PatientAge": None, "PatientBirthDate": "20020201", "AcquisitionDateTime": "20200301101500.0"}, 18.0),
        ({"PatientAge": ""}, None),
        ({"PatientAge": None}, None),
        ({"PatientAge": "054Y", "PatientBirthDate": "19000101"}, None),
    ],
)
def test_ages_are_read_from_the_data_set(changes: dict[str, Any], years: float | None) -> None:
    attributes = opened(as_file(a_dataset(**changes)))[1]
    assert attributes.age_years == (pytest.approx(years) if years is not None else None)
    assert bool(attributes.age_doubt) == ("19000101" in changes.values())
