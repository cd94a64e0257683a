"""Rejection notes: what a Key Object Selection says, and why one takes nothing out."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from tests.support.rejection_notes import a_bare_note, a_note, coded, evidence, file_of
from tests.support.studies import a_radiograph
from triage.decision.reasons import Reason
from triage.decision.rejection_note import TITLES, RejectionNote
from triage.radiograph.attributes import read_attributes
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.rejection_note import rejection_note
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare

STUDY, IMAGE = "1.2.3", "1.2.3.4"


def note_in(dataset: Dataset, sender: str = "PACS", allowed: tuple[str, ...] = ()) -> RejectionNote | None:
    policy = EligibilityPolicy(rejection_ae_titles=frozenset(allowed))
    return rejection_note(dataset, read_attributes(dataset), policy, sender)


def prepared(data: bytes) -> PreparedImage:
    return prepare(data, {}, AssessmentPolicy(), calling_ae_title="PACS")


@pytest.mark.parametrize("code", sorted(TITLES))
def test_each_title_of_iocm_names_the_images_of_its_study(code: str) -> None:
    image = a_radiograph(generate_uid())
    found = prepared(file_of(a_note([image], code)))
    assert found.rejection == RejectionNote(code, (str(image.SOPInstanceUID),))
    assert found.rejected is not None
    assert found.rejected.reason is Reason.REJECTION_NOTE


@pytest.mark.parametrize(
    "title", [Code("113000", "DCM", "Of Interest"), Code("113010", "DCM", "Quality Issue"), Code("113001", "99X", "x")]
)
def test_other_key_objects_reject_nothing(title: Code) -> None:
    found = prepared(file_of(a_note([a_radiograph(generate_uid())], title=title)))
    assert found.rejection is None
    assert found.rejected is not None
    assert found.rejected.reason is Reason.NOT_A_RADIOGRAPH


def test_of_several_studies_those_images_are_taken_that_are_of_the_note_s_own() -> None:
    ours, theirs = a_radiograph(generate_uid()), a_radiograph(generate_uid())
    note = note_in(a_note([ours, theirs]))
    assert note == RejectionNote("113001", (str(ours.SOPInstanceUID),))


def test_what_the_content_does_not_select_is_not_rejected() -> None:
    note = a_bare_note(STUDY, [IMAGE, "1.2.3.5"])
    item = Dataset()
    item.ReferencedSOPSequence = evidence(STUDY, ["1.2.3.5", "9.9"]).ReferencedSeriesSequence[0].ReferencedSOPSequence
    note.ContentSequence = [item]
    assert note_in(note) == RejectionNote("113001", ("1.2.3.5",))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"CurrentRequestedProcedureEvidenceSequence": [evidence("1.9", [IMAGE])]}, "another study"),
        ({"CurrentRequestedProcedureEvidenceSequence": []}, "names no image"),
        ({"CurrentRequestedProcedureEvidenceSequence": [Dataset()]}, "names no image"),
        (
            {"CurrentRequestedProcedureEvidenceSequence": [evidence(STUDY, [f"1.{n}" for n in range(10_001)])]},
            "more than 10000",
        ),
    ],
)
def test_a_note_that_names_nothing_of_its_study_says_why_it_counts_for_nothing(
    changes: dict[str, Any], why: str
) -> None:
    note = a_bare_note(STUDY, [IMAGE])
    for keyword, value in changes.items():
        setattr(note, keyword, value)
    found = note_in(note)
    assert found is not None
    assert (found.images, why in found.refused) == ((), True)


@pytest.mark.parametrize(
    ("allowed", "counts", "vouched_for"), [((), True, False), (("PACS",), True, True), (("OTHER",), False, False)]
)
def test_a_site_says_whose_notes_count(allowed: tuple[str, ...], counts: bool, vouched_for: bool) -> None:
    found = note_in(a_bare_note(STUDY, [IMAGE]), allowed=allowed)
    assert found is not None
    assert (not found.refused, found.vouched_for) == (counts, vouched_for)


def test_a_damaged_note_is_refused_wherever_the_damage_is() -> None:
    note = a_note([a_radiograph(generate_uid())])
    data, whole = file_of(note), ends_of_elements(note)
    ends = [end for end in range(data.index(b"113001") - 200, len(data) - 2, 7) if end not in whole]
    refused = 0
    for end in ends:
        found = prepared(data[:end])
        assert found.rejected is not None
        if found.rejection is not None:
            assert found.rejection.refused
            refused += 1
    assert refused > 5


def ends_of_elements(dataset: Dataset) -> set[int]:
    """Where a file of it can be cut so that what is left is whole, and nothing shows the cut."""
    left, ends = deepcopy(dataset), set()
    while left:
        ends.add(len(file_of(left)))
        del left[max(left.keys())]
    return ends


def test_a_title_that_is_no_sequence_is_no_note() -> None:
    note = a_bare_note(STUDY, [IMAGE])
    note.ConceptNameCodeSequence = [coded("")]
    assert note_in(note) is None
