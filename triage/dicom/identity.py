"""Identifiers of patient and order in an object, with their issuers. Never raises: odd values are empty."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pydicom.dataset import Dataset

from triage.decision.identity import Issuer, PatientIdentifier, PatientMarks, mark
from triage.dicom.attribute_text import items_of, text_of

ORDER_NUMBERS = ("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest")
_BIRTH_DATE = re.compile(r"(1[89]|2\d)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_UNIVERSAL_TYPES = ("DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500")
_GROUPS = 3  # component groups of a PN: alphabetic, ideographic, phonetic (PS3.5 6.2.1)


def patient_issuer(header: Dataset) -> Issuer:
    """Return Issuer of Patient ID (0010,0021) with its qualifiers (0010,0024); also of an item of Other Patient IDs."""
    name = text_of(header, "IssuerOfPatientID")
    qualifiers = [_universal(item) for item in items_of(header, "IssuerOfPatientIDQualifiersSequence")]
    return Issuer(name, *next((each for each in qualifiers if each[0]), ("", "")))


def accession_issuer(header: Dataset) -> Issuer:
    """Return Issuer of Accession Number Sequence (0008,0051) of the object, else of the request that it fulfils."""
    for source in (header, *items_of(header, "RequestAttributesSequence")):
        for item in items_of(source, "IssuerOfAccessionNumberSequence"):
            if issuer := Issuer(text_of(item, "LocalNamespaceEntityID"), *_universal(item)):
                return issuer
    return Issuer()


def names_further_order(header: Dataset) -> bool:
    """Return whether an object names its order otherwise than by its own Accession Number.

    So it does by the order numbers of placer and filler (0040,2016), (0040,2017), its own or those of the requests that
    it fulfils, and by the accession number of a request.
    """
    requests = items_of(header, "RequestAttributesSequence")
    own = text_of(header, "AccessionNumber")
    return any(text_of(each, keyword) for each in (header, *requests) for keyword in ORDER_NUMBERS) or any(
        text_of(each, "AccessionNumber") not in ("", own) for each in requests
    )


def issuer_items(issuer: Issuer) -> list[Dataset]:
    """Return an issuer as an item of Issuer of Accession Number Sequence (PS3.3 Table 10-17); none if it is unknown.

    Values that are not valid are left out.
    """
    item = Dataset()
    if issuer.namespace.isprintable() and issuer.namespace:
        item.LocalNamespaceEntityID = issuer.namespace
    for each in qualifier_items(issuer):
        item.update(each)
    return [item] if len(item) else []


def qualifier_items(issuer: Issuer) -> list[Dataset]:
    """Return an issuer as an item of Issuer of Patient ID Qualifiers Sequence (0010,0024): universal ID and its type.

    Both or none (PS3.3 Table 10-17: the type is required where there is an ID).
    """
    kind = issuer.universal_id_type.upper()
    if not (issuer.universal_id and issuer.universal_id.isprintable() and kind in _UNIVERSAL_TYPES):
        return []
    item = Dataset()
    item.UniversalEntityID, item.UniversalEntityIDType = issuer.universal_id, kind
    return [item]


def patient_identifiers(header: Dataset) -> tuple[PatientIdentifier, ...]:
    """Return Patient ID (0010,0020) first, then those of Other Patient IDs Sequence (0010,1002)."""
    identifiers = [PatientIdentifier(text_of(each, "PatientID"), patient_issuer(each)) for each in _patients(header)]
    return tuple(each for each in identifiers if each.value)


def patient_marks(header: Dataset) -> PatientMarks:
    """Return digests of the attributes that distinguish the patient from those of other objects of the study."""
    born = text_of(header, "PatientBirthDate")
    return PatientMarks(
        identifiers=tuple((mark(each.value), str(each.issuer)) for each in patient_identifiers(header)),
        birth_date=mark(born) if _BIRTH_DATE.fullmatch(born) else "",
        names=tuple(tuple(sorted(map(mark, _words(group)))) for group in _groups(header)),
    )


def _patients(header: Dataset) -> Iterator[Dataset]:
    yield header
    yield from items_of(header, "OtherPatientIDsSequence")


def _universal(item: Dataset) -> tuple[str, str]:
    """Return Universal Entity ID (0040,0032) and its type (0040,0033)."""
    return text_of(item, "UniversalEntityID"), text_of(item, "UniversalEntityIDType")


def _groups(header: Dataset) -> list[str]:
    return text_of(header, "PatientName").split("=")[:_GROUPS]


def _words(group: str) -> set[str]:
    """Return the words of a name without accents, width and punctuation: systems differ in them."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", group) if not unicodedata.combining(each))
    return {word for word in re.split(r"[\W_]+", plain.casefold()) if word}
