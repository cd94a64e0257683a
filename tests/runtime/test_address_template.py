"""Templates of addresses: what is refused at the start, and what a value can do to an address."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.runtime.address_template import AddressTemplate, AddressTemplateError

OHIF = "https://pacs.example/ohif/viewer?StudyInstanceUIDs={StudyInstanceUID}"
WEASIS = (
    "weasis://%24dicom%3Ars%20--url%20%22https%3A%2F%2Fpacs.example%2Fdicom-web%22"
    "%20-r%20%22studyUID%3D{StudyInstanceUID}%22"
)
STUDY = {"StudyInstanceUID": "1.2.840.1", "AccessionNumber": "A 1/2&x=#", "PatientID": "Ä?1"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (OHIF, "https://pacs.example/ohif/viewer?StudyInstanceUIDs=1.2.840.1"),
        (WEASIS, WEASIS.replace("{StudyInstanceUID}", "1.2.840.1")),
        ("http://ris/#/o/{AccessionNumber}", "http://ris/#/o/A%201%2F2%26x%3D%23"),
        ("https://[::1]:8443/{PatientID}/{PatientID}", "https://[::1]:8443/%C3%84%3F1/%C3%84%3F1"),
    ],
)
def test_a_study_fills_the_fields(text: str, address: str):
    assert AddressTemplate.parse(text).filled(STUDY) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("javascript:alert('{StudyInstanceUID}')", "must begin with one of"),
        ("JavaScript://x/%0aalert(1)/{StudyInstanceUID}", "must begin with one of"),
        ("\tjavascript:{StudyInstanceUID}", "must begin with one of"),
        ("data:text/html,{StudyInstanceUID}", "must begin with one of"),
        ("file:///etc/{StudyInstanceUID}", "must begin with one of"),
        ("//pacs.example/{StudyInstanceUID}", "must begin with one of"),
        ("{PatientID}://pacs.example/", "must begin with one of"),
        ("https:pacs.example/{StudyInstanceUID}", "https://"),
        ("https://pacs.example/{StudyUID}", "unknown field {StudyUID}"),
        ("https://pacs.example/{studyinstanceuid}", "unknown field"),
        ("https://pacs.example/{}", "unknown field"),
        ("https://pacs.example/viewer", "no field"),
        ("https://pacs.example/{{StudyInstanceUID}}", "character"),
        ("https://pacs.example/{StudyInstanceUID", "no field"),
        ("https://pacs.example/a b{StudyInstanceUID}", "character"),
        ("https://pacs.example/%zz{StudyInstanceUID}", "character"),
        ('https://pacs.example/"{StudyInstanceUID}', "character"),
        ("https://{PatientID}.example/", "without user name or field"),
        ("https://pacs.example{StudyInstanceUID}", "without user name or field"),
        ("https://user:word@pacs.example/{StudyInstanceUID}", "without user name or field"),
        ("https://pacs.example:99999/{StudyInstanceUID}", "no address"),
    ],
)
def test_what_could_lead_astray_is_refused_at_the_start(text: str, why: str):
    with pytest.raises(AddressTemplateError, match=why.replace("{", r"\{")):
        AddressTemplate.parse(text)


@pytest.mark.parametrize("value", ["", "  ", ".", ".."])
def test_a_study_without_the_value_has_no_address(value: str):
    assert (
        AddressTemplate.parse("https://ris/{AccessionNumber}/{StudyInstanceUID}").filled(
            {"StudyInstanceUID": "1.2", "AccessionNumber": value}
        )
        is None
    )


@given(st.text(min_size=1))
def test_no_value_leaves_its_place_in_the_address(value: str):
    filled = AddressTemplate.parse("https://ris.example/o/{AccessionNumber}/x?p={AccessionNumber}").filled(
        {"AccessionNumber": value}
    )
    if filled is None:
        return
    parts = urlsplit(filled)
    assert filled.isascii() and filled.isprintable()
    assert (parts.scheme, parts.netloc, parts.fragment, parts.path.count("/")) == ("https", "ris.example", "", 3)
    assert unquote(parts.query) == f"p={value.encode('utf-8', 'replace').decode()}"
