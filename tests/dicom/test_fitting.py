"""Plain text is taken over without a trial, and is what a trial would have let through."""

from __future__ import annotations

import string

import pytest
from pydicom import config
from pydicom.dataset import Dataset

from triage.dicom import fitting

KEYWORDS = ("PatientID", "PatientSex", "PatientAge", "PatientBirthDate", "StudyID", "StudyTime", "AccessionNumber")
CHARACTERS = [each for each in string.printable if each not in string.whitespace]
SETS = [None, "", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192", "ISO_IR 13", ["", "ISO 2022 IR 87"], ["ISO_IR 100"]]


def header(characters: object, text: str) -> Dataset:
    made = Dataset()
    with config.disable_value_validation():
        _fill(made, characters, text)
    return made


def _fill(made: Dataset, characters: object, text: str) -> None:
    if characters is not None:
        made.SpecificCharacterSet = characters
    made.PatientID, made.AccessionNumber, made.StudyID = text, text, text
    made.PatientSex, made.PatientAge, made.PatientBirthDate, made.StudyTime = "F", "050Y", "19700101", "101500"


@pytest.mark.parametrize("characters", SETS)
def test_what_is_taken_over_is_the_same_as_with_a_trial_of_each(characters: object, monkeypatch: pytest.MonkeyPatch):
    headers = [header(characters, text) for text in (*CHARACTERS, "A B", "Größe", "".join(CHARACTERS)[:60], "x" * 64)]
    without = [fitting.fitted(each, KEYWORDS) for each in headers]
    tried: list[object] = []

    def never(*given: object) -> bool:
        tried.append(given)
        return False

    monkeypatch.setattr(fitting, "_is_plain", never)
    assert [fitting.fitted(each, KEYWORDS) for each in headers] == without
    assert tried


def test_only_text_in_a_character_set_of_ascii_is_plain(monkeypatch: pytest.MonkeyPatch):
    tried: list[str] = []
    write = fitting.write_dataset

    def counted(*given: object) -> None:
        tried.append("")
        write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "write_dataset", counted)
    fitting.fitted(header("ISO_IR 100", "A-1"), KEYWORDS)
    assert tried == []
    fitting.fitted(header("ISO_IR 13", "A-1"), KEYWORDS)
    assert len(tried) == len(KEYWORDS)
