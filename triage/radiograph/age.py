"""PURE: age of a patient at acquisition, and reasons why a stated one is not reliable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

_DAYS_PER_YEAR = 365.25
_STATED = re.compile(r"(\d{1,3})([DWMY])")
_UNITS = {"D": 1 / _DAYS_PER_YEAR, "W": 7 / _DAYS_PER_YEAR, "M": 1 / 12, "Y": 1.0}
_OLDEST_YEARS = 120.0
_GREATEST_CONFLICT_YEARS = 1.0
_PLACEHOLDER = date(1900, 1, 1)  # what systems write for an unknown date of birth, or count their days from
_NO_AGE = "000Y"  # of a newborn, or for "unknown"


@dataclass(frozen=True)
class Age:
    """Age at acquisition: completed ``years``, below one year a fraction.

    ``years`` is None if no age is stated, and where ``doubt`` gives the reason why the stated one is not reliable. The
    reason names attributes and contains no value.
    """

    years: float | None = None
    doubt: str = ""


def age_at_acquisition(patient_age: str, birth_date: str, acquisition_date: str, study_date: str) -> Age:
    """Return the age from Patient's Age (0010,1010), Patient's Birth Date (0010,0030) and the dates of an image.

    The arguments are texts as they are in the file (AS, DA); a value that is no age or no date counts as empty. The
    dates decide; Patient's Age counts where there are none. An age is doubtful where the attributes contradict each
    other by more than a year, where it is 000Y unless dates show that the patient is below one, and where it comes from
    a placeholder for the date of birth.
    """
    stated = _stated(patient_age)
    born = _date(birth_date)
    taken = [day for day in (_date(acquisition_date), _date(study_date)) if day is not None]
    doubt = _doubt_of_dates(born, taken) or _doubt_of_age(patient_age, stated, born, taken)
    if doubt:
        return Age(None, doubt)
    return Age(_completed(born, taken[0]) if born and taken else stated)


def _doubt_of_dates(born: date | None, taken: Sequence[date]) -> str:
    if born is None:
        return ""
    if born <= _PLACEHOLDER:
        return "Patient's Birth Date is a placeholder"
    if any(day <= born for day in taken):
        return "Patient's Birth Date is not before the study"
    if taken and _years(born, max(taken)) > _OLDEST_YEARS:
        return "Patient's Birth Date is that of no living patient"
    if taken and _years(born, max(taken)) - _years(born, min(taken)) > _GREATEST_CONFLICT_YEARS:
        return "Acquisition Date and Study Date are more than a year apart"
    return ""


def _doubt_of_age(written: str, stated: float | None, born: date | None, taken: Sequence[date]) -> str:
    dated = _years(born, taken[0]) if born and taken else None
    if written.strip().upper() == _NO_AGE and (dated is None or dated >= 1):
        return "Patient's Age is 0 years, which may mean unknown"
    if stated is None or dated is None:
        return ""
    up_to = stated + (1.0 if written.strip().upper().endswith("Y") else 0.0)  # 54 is written until the day before 55
    if dated < stated - _GREATEST_CONFLICT_YEARS or dated > up_to + _GREATEST_CONFLICT_YEARS:
        return "Patient's Age and Patient's Birth Date contradict each other by more than a year"
    return ""


def _stated(text: str) -> float | None:
    match = _STATED.fullmatch(text.strip().upper())
    if not match:
        return None
    years = int(match[1]) * _UNITS[match[2]]
    return years if years <= _OLDEST_YEARS else None


def _years(born: date, day: date) -> float:
    return (day - born).days / _DAYS_PER_YEAR


def _completed(born: date, day: date) -> float:
    had_birthday = (day.month, day.day) >= (born.month, born.day)
    years = day.year - born.year - (not had_birthday)
    return float(years) if years >= 1 else _years(born, day)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None
