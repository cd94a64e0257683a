"""Sending files to real peers."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import DigitalXRayImageStorageForPresentation

from tests.support.wait import wait_for
from triage.commands.output.send import send_with_progress
from triage.decision.reasons import Reason
from triage.dicom.dx_image import part10
from triage.dicom.requestor import RemoteAE
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.radiograph.decode import TRANSFER_SYNTAXES, decode_picture, decode_pixels, open_dicom
from triage.radiograph.eligibility import view_of
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.types import Radiograph, Rejected, View
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.sender.picture import PictureError, wrap
from triage.sender.send import find_files, send

STORESCP = Path("/usr/bin/storescp")
DCIODVFY = Path("/usr/bin/dciodvfy")


class Receiver:
    """A pynetdicom SCP that keeps data sets as they came."""

    def __init__(self, port: int = 0) -> None:
        self.received: dict[str, tuple[str, bytes]] = {}
        self.associations = 0
        self.answers: list[int] = []
        self.abort_at = -1
        entity = AE("RECEIVER")
        for syntax in TRANSFER_SYNTAXES:
            entity.add_supported_context(DigitalXRayImageStorageForPresentation, syntax)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_ESTABLISHED, self._established)]
        self._server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        assert self._server is not None
        self.port: int = self._server.socket.getsockname()[1]

    def close(self) -> None:
        self._server.shutdown()

    def _established(self, event: evt.Event) -> None:
        self.associations += 1

    def _store(self, event: evt.Event) -> int:
        if len(self.received) == self.abort_at:
            self.abort_at = -1
            event.assoc.abort()
            return 0xC000
        content = event.request.DataSet.getvalue()
        self.received[str(event.request.AffectedSOPInstanceUID)] = (str(event.context.transfer_syntax), content)
        return self.answers.pop(0) if self.answers else 0x0000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    peer = Receiver()
    yield peer
    peer.close()


def to(peer: Receiver) -> RemoteAE:
    return RemoteAE("127.0.0.1", peer.port, "RECEIVER", "SENDER")


def a_phantom(folder: Path, seed: int = 1, **subject: Any) -> Path:
    path = folder / f"phantom{seed}.dcm"
    path.write_bytes(as_dicom(draw(seed, rows=96, columns=64), PhantomSubject(**subject)))
    return path


def a_picture(folder: Path, name: str = "chest.png", depth: Any = np.uint8) -> Path:
    chest = draw(7, rows=96, columns=65)
    path = folder / name
    assert cv2.imwrite(str(path), (chest >> 4).astype(np.uint8) if depth is np.uint8 else (chest << 4))
    return path


def data_set_of(path: Path) -> bytes:
    content = path.read_bytes()
    length = int.from_bytes(content[140:144], "little")
    return content[144 + length :]


def test_dicom_files_arrive_byte_for_byte_in_their_own_syntax(tmp_path: Path, receiver: Receiver) -> None:
    plain = a_phantom(tmp_path)
    packed = tmp_path / "packed.dcm"
    dataset = dcmread(a_phantom(tmp_path, 2))
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(packed)
    (tmp_path / "phantom2.dcm").unlink()
    outcomes = list(send([plain, packed], to(receiver)))
    assert [(outcome.path, outcome.status, outcome.error) for outcome in outcomes] == [
        (plain, 0x0000, ""),
        (packed, 0x0000, ""),
    ]
    for outcome in outcomes:
        syntax, content = receiver.received[outcome.sop_instance_uid]
        read = dcmread(outcome.path)
        assert (read.StudyInstanceUID, str(read.file_meta.TransferSyntaxUID)) == (outcome.study_instance_uid, syntax)
        assert content == data_set_of(outcome.path)
    assert receiver.associations == 1


def test_folders_are_searched_by_content(tmp_path: Path) -> None:
    phantom, picture = a_phantom(tmp_path), a_picture(tmp_path)
    (tmp_path / "sub").mkdir()
    nameless = tmp_path / "sub" / "IM0001"
    nameless.write_bytes(phantom.read_bytes())
    (tmp_path / "notes.txt").write_text("nothing to send")
    assert find_files([tmp_path]) == [picture, phantom, nameless]
    assert find_files([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]


def test_no_failure_ends_the_others(tmp_path: Path, receiver: Receiver) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("nothing to send")
    cut = tmp_path / "cut.png"
    cut.write_bytes(a_picture(tmp_path).read_bytes()[:200])
    first, second, third = (a_phantom(tmp_path, seed) for seed in (1, 2, 3))
    receiver.answers = [0xA700, 0xB000]
    files = [notes, first, tmp_path / "missing.dcm", cut, second, third]
    outcomes = {outcome.path.name: outcome for outcome in send(files, to(receiver))}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "notes.txt": None,
        "missing.dcm": None,
        "cut.png": None,
        "phantom1.dcm": 0xA700,
        "phantom2.dcm": 0xB000,
        "phantom3.dcm": 0x0000,
    }
    assert "out of resources (0xA700)" in outcomes["phantom1.dcm"].error
    assert [name for name, outcome in outcomes.items() if not outcome.error] == ["phantom2.dcm", "phantom3.dcm"]


def test_a_lost_association_is_opened_again(tmp_path: Path, receiver: Receiver) -> None:
    files = [a_phantom(tmp_path, seed) for seed in range(4)]
    receiver.abort_at = 1
    outcomes = list(send(files, to(receiver)))
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False, False]
    assert receiver.associations == 2


def test_what_the_peer_does_not_take_is_an_error_of_that_file(tmp_path: Path, receiver: Receiver) -> None:
    processing = a_phantom(tmp_path, 2, for_processing=True)
    outcomes = list(send([processing, a_phantom(tmp_path, 1)], to(receiver)))
    assert [bool(outcome.error) for outcome in outcomes] == [True, False]


def test_more_contexts_than_an_association_has_take_several(tmp_path: Path, receiver: Receiver) -> None:
    content = a_phantom(tmp_path).read_bytes()
    files = []
    for number in range(130):
        dataset = dcmread(BytesIO(content))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        if number < 129:
            dataset.file_meta.MediaStorageSOPClassUID = f"1.2.826.0.1.3680043.8.498.{number + 1}"
        path = tmp_path / f"{number}.dcm"
        dataset.save_as(path, enforce_file_format=False)
        files.append(path)
    outcomes = list(send(files, to(receiver)))
    assert len(outcomes) == 130
    assert [outcome.path for outcome in outcomes if not outcome.error] == [files[-1]]


# pynetdicom leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_at_the_other_end(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outcomes = list(send([a_phantom(tmp_path), a_picture(tmp_path)], RemoteAE("127.0.0.1", port, "A", "B")))
    assert all("cannot connect" in outcome.error for outcome in outcomes)
    assert len(outcomes) == 2


@pytest.mark.parametrize("name,depth", [("a.png", np.uint8), ("a.png", np.uint16), ("a.jpg", np.uint8)])
def test_a_wrapped_picture_has_the_picture_s_greys(tmp_path: Path, name: str, depth: Any) -> None:
    content = a_picture(tmp_path, name, depth).read_bytes()
    opened = open_dicom(part10(wrap(content)))
    assert not isinstance(opened, Rejected)
    wrapped, picture = decode_pixels(*opened), decode_picture(content)
    assert isinstance(wrapped, Radiograph)
    assert isinstance(picture, Radiograph)
    np.testing.assert_array_equal(wrapped.pixels, picture.pixels)


def test_wrapping_invents_neither_view_nor_age(tmp_path: Path) -> None:
    content = a_picture(tmp_path).read_bytes()
    plain = wrap(content)
    assert "ViewPosition" not in plain
    assert "PatientAge" not in plain
    found = prepare(part10(plain), {}, AssessmentPolicy())
    assert found.rejected is not None
    assert (found.view, found.rejected.reason) == (View.UNKNOWN, Reason.AGE_UNKNOWN)
    told = wrap(content, "AP", 4)
    opened = open_dicom(part10(told))
    assert not isinstance(opened, Rejected)
    assert (view_of(opened[1], EligibilityPolicy()), opened[1].age_years) == (View.AP, 4.0)
    assert told.StudyInstanceUID == plain.StudyInstanceUID
    assert told.SOPInstanceUID != plain.SOPInstanceUID
    assert wrap(content) == plain


def test_a_jpeg_says_that_it_was_compressed(tmp_path: Path) -> None:
    wrapped = wrap(a_picture(tmp_path, "a.jpg").read_bytes())
    assert (wrapped.LossyImageCompression, wrapped.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert "JPEG" in wrapped.DerivationDescription
    with pytest.raises(PictureError):
        wrap(b"\xff\xd8\xff and no more")


@pytest.mark.skipif(not DCIODVFY.exists(), reason="no dciodvfy: apt-get install dicom3tools")
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_wrapped_picture_lacks_only_what_nobody_knows(tmp_path: Path, name: str) -> None:
    path = tmp_path / "wrapped.dcm"
    path.write_bytes(part10(wrap(a_picture(tmp_path, name).read_bytes(), "PA", 50)))
    found = subprocess.run([DCIODVFY, "-new", path], capture_output=True, text=True, check=False)
    errors = [line for line in found.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1, errors
    assert "ImagerPixelSpacing" in errors[0]


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen([STORESCP, "+xa", "+B", "-od", folder, str(port)])
    try:
        wait_for(lambda: listens(port), "storescp listens")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(not STORESCP.exists(), reason="no storescp: apt-get install dcmtk")
def test_dcmtk_receives_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inbox := tmp_path / "inbox").mkdir()
    (outbox := tmp_path / "outbox").mkdir()
    phantom, _ = a_phantom(outbox), a_picture(outbox)
    with storescp(inbox) as port:
        assert send_with_progress([outbox], RemoteAE("127.0.0.1", port, "STORESCP", "SENDER"), "PA", 50)
        assert not send_with_progress(
            [tmp_path / "missing"], RemoteAE("127.0.0.1", port, "STORESCP", "SENDER"), None, None
        )
    assert "2 of 2 files stored" in capsys.readouterr().out
    arrived = [dcmread(path) for path in inbox.iterdir()]
    assert {each.SOPInstanceUID for each in arrived} >= {dcmread(phantom).SOPInstanceUID}
    assert sorted(each.PatientAge for each in arrived) == ["050Y", "050Y"]
