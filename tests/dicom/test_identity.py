"""Whom an object is of, and which order it fulfils, as its header says it."""

from __future__ import annotations

from pydicom.dataset import Dataset

from triage.decision.identity import Issuer, PatientIdentifier, contradiction
from triage.dicom.identity import accession_issuer, patient_identifiers, patient_issuer, patient_marks


def an_item(**attributes: object) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def test_the_issuer_of_a_patient_id_has_its_qualifiers() -> None:
    qualifiers = [an_item(UniversalEntityID="1.2.3", UniversalEntityIDType="ISO")]
    header = an_item(PatientID="1", IssuerOfPatientID="HOSP_A", IssuerOfPatientIDQualifiersSequence=qualifiers)
    header.OtherPatientIDsSequence = [an_item(PatientID="2", IssuerOfPatientID="HOSP_B"), an_item(PatientID="")]
    assert patient_issuer(header) == Issuer("HOSP_A", "1.2.3", "ISO")
    known = (PatientIdentifier("1", Issuer("HOSP_A", "1.2.3", "ISO")), PatientIdentifier("2", Issuer("HOSP_B")))
    assert patient_identifiers(header) == known


def test_the_issuer_of_an_accession_number_is_the_object_s_or_its_request_s() -> None:
    issuer = [an_item(LocalNamespaceEntityID="RIS_A", UniversalEntityID="1.2.3", UniversalEntityIDType="ISO")]
    own = an_item(AccessionNumber="4711", IssuerOfAccessionNumberSequence=issuer)
    assert accession_issuer(own) == Issuer("RIS_A", "1.2.3", "ISO")
    assert accession_issuer(an_item(RequestAttributesSequence=[own])) == Issuer("RIS_A", "1.2.3", "ISO")
    assert not accession_issuer(an_item(AccessionNumber="4711"))


def test_names_are_compared_by_their_words_and_not_by_their_writing() -> None:
    same = ["MÜLLER^JÖRG", "Muller^Jorg", "müller jörg", "MÜLLER^J.^^DR.", "Mueller^Jörg"]
    marks = [patient_marks(an_item(SpecificCharacterSet="ISO_IR 192", PatientName=name)) for name in same]
    assert [contradiction([marks[0], each]) for each in marks] == [""] * len(same)
    other = patient_marks(an_item(PatientName="MEIER^ANNA"))
    assert contradiction([*marks, other]) == "Patient's Name"


def test_marks_hold_nothing_that_can_be_read() -> None:
    told = repr(patient_marks(an_item(PatientID="P-4711", PatientName="DOE^JANE", PatientBirthDate="19500101")))
    assert not any(value in told.lower() for value in ("4711", "doe", "jane", "1950"))


def test_odd_values_are_empty_and_never_raise() -> None:
    header = an_item()
    header.add_new("PatientBirthDate", "LO", "around 1950")
    header.add_new("RequestAttributesSequence", "LO", "a text")
    header.add_new("IssuerOfPatientIDQualifiersSequence", "LO", ["a", "b"])
    header.add_new("PatientID", "LO", ["1", "2"])
    assert patient_marks(header).birth_date == ""
    assert not accession_issuer(header)
    assert patient_identifiers(header) == (PatientIdentifier("1\\2"),)
