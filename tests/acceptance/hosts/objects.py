"""The studies of a trial: phantoms of a few drawings, each with UIDs and a patient of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256

from tests.support.dicom_peer import data_set_of
from tests.support.service import read_bytes
from triage.dicom.dx_image import part10
from triage.phantom.chest import PhantomSubject, as_dicom, draw, draw_lateral
from triage.spool.instance import ReceivedInstance

DRAWINGS = 8
NO_AGE, LATERAL = "no age", "lateral"
_EARLY_FROM = 0.1
"""The share behind which are those whose report comes first."""
_READ_UNTIL = 0.8
"""The share of studies, of the first ones, among which are those that are read."""


@dataclass(frozen=True)
class Outgoing:
    """An object that the PACS sends: what it is of, its bytes and its patient.

    ``is_read``: a radiologist reports its study, so that it is removed after its retention. ``is_confused``: a report
    names its study and another patient. ``is_early``: it is read by a report that comes before it.
    """

    instance: ReceivedInstance
    kind: str
    data_set: bytes
    patient: str
    is_read: bool = False
    is_confused: bool = False
    is_early: bool = False


def kinds() -> list[str]:
    """All kinds of images: each drawing by its number, one without an age, and one from the side."""
    return [*map(str, range(DRAWINGS)), NO_AGE, LATERAL]


def studies(seed: int, count: int) -> Iterator[list[Outgoing]]:
    """Yield the objects of each study: most have one frontal, some a lateral too, some nothing that can be assessed."""
    for number in range(count):
        name, of_two = f"hosts {seed} {number}", number % 7 == 3
        kind = {8: NO_AGE, 9: LATERAL}.get(number % 10, str(number % DRAWINGS))
        # Those of the last ones are read too late to go while the others still come.
        # A report that came first covers no study without an image that counts.
        early = number % 18 == 7 and number > _EARLY_FROM * count and kind != LATERAL
        is_read = (number % 9 == 1 or early) and number < _READ_UNTIL * count
        objects = [_outgoing(name, number, each) for each in ([kind, LATERAL] if of_two else [kind])]
        if not of_two:
            reports = {"is_read": is_read, "is_confused": number % 9 == 4, "is_early": early and is_read}
            objects = [replace(each, **reports) for each in objects]
        yield objects


def contents(seed: int, number: int, kinds: Sequence[str]) -> list[Outgoing]:
    """Return one object of a study of its own in several contents, each of another kind."""
    name = f"hosts {seed} contents {number}"
    first = read_bytes(_file(name, number, kinds[0]))
    found = []
    for kind in kinds:
        dataset = read_bytes(_file(name, number, kind))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
        found.append(_outgoing_of(part10(dataset), kind))
    return found


def file_of(kind: str) -> bytes:
    """An image of a kind as a file, of a study of its own."""
    return _file(f"reference {kind}", 0, kind)


def _outgoing(study: str, number: int, kind: str) -> Outgoing:
    return _outgoing_of(_file(study, number, kind), kind)


def _outgoing_of(file: bytes, kind: str) -> Outgoing:
    dataset, data_set = read_bytes(file), data_set_of(file)
    digest = sha256(data_set).hexdigest()
    instance = ReceivedInstance(str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID), digest)
    return Outgoing(instance, kind, data_set, str(dataset.PatientID))


def _file(study: str, number: int, kind: str) -> bytes:
    pixels = _drawn(kind)
    view, age = ("LL" if kind == LATERAL else "PA"), ("" if kind == NO_AGE else "050Y")
    subject = PhantomSubject(view, age, f"H{number}", study=study, number=2 if kind == LATERAL else 1)
    dataset = read_bytes(as_dicom(pixels, subject))
    dataset.PatientID, dataset.PatientName = f"PHANTOM-{number}", f"PHANTOM^NUMBER {number}"
    dataset.StudyDate = dataset.AcquisitionDate = dataset.ContentDate = time.strftime("%Y%m%d", time.gmtime())
    dataset.AcquisitionTime = dataset.ContentTime = "000000"  # before any report of today
    dataset.TimezoneOffsetFromUTC = "+0000"
    return part10(dataset)


@lru_cache
def _drawn(kind: str):  # type: ignore[no-untyped-def]
    if kind == LATERAL:
        return draw_lateral(1, rows=96, columns=80)
    # Every second one is with an opacity: of a study the tag is to be told from its neighbours'.
    number = 0 if kind == NO_AGE else int(kind)
    return draw(number, rows=96, columns=80, opacity=number % 2 == 1)
