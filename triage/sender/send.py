"""Send files to a DICOM destination (C-STORE SCU): DICOM files unchanged, pictures wrapped."""

from __future__ import annotations

import logging
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from triage.dicom.attribute_text import text_of
from triage.dicom.dx_image import part10
from triage.dicom.pynetdicom_internals import files_unparsed
from triage.dicom.requestor import NoAssociationError, RemoteAE, associated, rejects_all_contexts
from triage.errors import TriageError, cause
from triage.radiograph.decode import is_picture
from triage.sender.picture import PictureError, wrap

logger = logging.getLogger(__name__)

_STORED = frozenset({0x0000, 0xB000, 0xB006, 0xB007})  # success, and the warnings of PS3.4 table B.2-1
_MEANINGS = {0xA7: "out of resources", 0xA9: "data set does not match SOP class", 0xC0: "cannot understand"}
_MOST_CONTEXTS = 128  # their identifiers are the odd numbers of a byte (PS3.8 section 9.3.2.2)
_DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory: a DICOMDIR is no object to store
_LOST = "the association was lost before the answer"

Pair = tuple[str, str]  # SOP class and transfer syntax


@dataclass(frozen=True)
class SentFile:
    """Outcome of one file. ``status`` is the C-STORE response, None where there was none.

    ``error`` is empty if, and only if, the destination reported that it stored the object. ``reached`` is False where
    there was no association, or where it was lost.
    """

    path: Path
    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    status: int | None = None
    error: str = ""
    reached: bool = True


@dataclass(frozen=True)
class _Outgoing:
    """A file that can be sent, and the presentation context that it needs."""

    path: Path
    pair: Pair
    picture: bool


class _NotSendableError(TriageError, ValueError):
    """A file that is neither DICOM nor a picture; the message says so."""


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files of ``paths``, and every DICOM, PNG and JPEG file (by content) below its folders."""
    return sort_files(paths)[0]


def sort_files(paths: Iterable[Path]) -> tuple[list[Path], Counter[str]]:
    """Return the files of ``find_files``, and the number of other files below the folders for each reason."""
    found: list[Path] = []
    passed_over: Counter[str] = Counter()
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        for file in sorted(path.rglob("*")):
            if file.is_file():
                try:
                    _inspect(file)
                    found.append(file)
                except (OSError, _NotSendableError) as error:
                    passed_over[_words(error)] += 1
    return found, passed_over


def send(
    files: Sequence[Path], destination: RemoteAE, view: str | None = None, age: int | None = None
) -> Iterator[SentFile]:
    """Send ``files``, and yield the outcome of each as it is known; files that cannot be sent come first.

    DICOM files are sent byte for byte, in their own transfer syntax. Pictures are wrapped (see ``wrap``) with ``view``
    and ``age`` (years) if given. An association that is lost is opened again for the other files.
    """
    outgoing: list[_Outgoing] = []
    for path in files:
        try:
            outgoing.append(_inspect(path))
        except (OSError, _NotSendableError) as error:
            yield SentFile(path, error=_words(error))
    for group in _groups(outgoing):
        yield from _send_group(deque(group), destination, view, age)


def _inspect(path: Path) -> _Outgoing:
    with path.open("rb") as file:
        start = file.read(132)
    if is_picture(start):
        return _Outgoing(path, (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian), picture=True)
    if start[128:] != b"DICM":
        raise _NotSendableError("neither a DICOM file nor a PNG or JPEG picture")
    meta = _file_meta(path)
    pair = (text_of(meta, "MediaStorageSOPClassUID"), text_of(meta, "TransferSyntaxUID"))
    if not all(pair) or pair[0] == _DIRECTORY:
        raise _NotSendableError("a DICOM file whose File Meta Information names no object to store")
    return _Outgoing(path, pair, picture=False)


def _file_meta(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_file_meta_info(path)
    except (InvalidDicomError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        raise _NotSendableError(f"its File Meta Information cannot be read ({cause(error)})") from error


def _groups(outgoing: Iterable[_Outgoing]) -> Iterator[list[_Outgoing]]:
    """Yield the files of one association each: as many as its presentation contexts suffice for."""
    group: list[_Outgoing] = []
    pairs: set[Pair] = set()
    for each in outgoing:
        if each.pair not in pairs and len(pairs) == _MOST_CONTEXTS:
            yield group
            group, pairs = [], set()
        group.append(each)
        pairs.add(each.pair)
    if group:
        yield group


def _send_group(
    pending: deque[_Outgoing], destination: RemoteAE, view: str | None, age: int | None
) -> Iterator[SentFile]:
    while pending:
        contexts = [build_context(sop_class, [syntax]) for sop_class, syntax in sorted({each.pair for each in pending})]
        try:
            with associated(destination, contexts) as association:
                yield from _send_over(association, pending, view, age)
                if rejects_all_contexts(association):
                    why = f"{destination} takes no such objects: it rejected every presentation context"
                    yield from _unsent(pending, why)
                    return
        except NoAssociationError as error:
            yield from _unsent(pending, str(error))
            return


def _unsent(pending: Iterable[_Outgoing], why: str) -> Iterator[SentFile]:
    for each in pending:
        yield SentFile(each.path, error=why, reached=False)


def _send_over(
    association: Association, pending: deque[_Outgoing], view: str | None, age: int | None
) -> Iterator[SentFile]:
    """Send the pending files until the association is lost."""
    message_id = 0
    while pending and association.is_established:
        message_id = message_id % 0xFFFF + 1
        outcome = _send_one(association, pending.popleft(), message_id, view, age)
        yield outcome
        if not outcome.reached:  # pynetdicom notices a little later than we do
            association.abort()
            return


def _send_one(
    association: Association, outgoing: _Outgoing, message_id: int, view: str | None, age: int | None
) -> SentFile:
    outcome = SentFile(outgoing.path)
    try:
        if outgoing.picture:
            wrapped = dcmread(BytesIO(part10(wrap(outgoing.path.read_bytes(), view, age))))
            outcome = _named(outcome, wrapped)
            response = association.send_c_store(wrapped, message_id)
        else:
            outcome = _named(outcome, _uids_in(outgoing.path))
            response = _send_unchanged(association, outgoing.path, message_id)
    except (OSError, PictureError, ValueError, RuntimeError, AttributeError) as error:
        return replace(outcome, error=_words(error))
    if "Status" not in response:
        return replace(outcome, error=_LOST, reached=False)
    status = int(response.Status)
    return replace(outcome, status=status, error="" if status in _STORED else _refusal(status))


def _send_unchanged(association: Association, path: Path, message_id: int) -> Dataset:
    """Send the data set as it is in the file, unparsed, and return the response."""
    with files_unparsed():
        return association.send_c_store(path, message_id)


def sop_instance_uid(path: Path) -> str:
    """Return the SOP Instance UID of a DICOM file, without reading its pixels; empty if it cannot be read."""
    return text_of(_uids_in(path), "SOPInstanceUID")


def _uids_in(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
    except Exception as error:  # pydicom raises many kinds; the destination may accept what cannot be read here
        logger.warning("%s: its UIDs cannot be read (%s)", path, cause(error))
        return Dataset()


def _named(outcome: SentFile, dataset: Dataset) -> SentFile:
    study, sop = (text_of(dataset, name) for name in ("StudyInstanceUID", "SOPInstanceUID"))
    return replace(outcome, study_instance_uid=study, sop_instance_uid=sop)


def _refusal(status: int) -> str:
    meaning = _MEANINGS.get(status >> 8, "refused")
    return f"not stored: {meaning} (0x{status:04X})"


def _words(error: Exception) -> str:
    return cause(error) if isinstance(error, OSError) else str(error)
