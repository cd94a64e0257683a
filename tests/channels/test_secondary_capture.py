"""The activation map as Secondary Capture: what it says, that others can read it, and that real PACS take it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom.presentation import build_context

from tests.channels.test_sr import NAMES, facts
from tests.delivery.test_deliverer import Clock, attempts, states
from tests.support.builders import a_map
from tests.support.findings import a_score, scored
from tests.support.lost_objects import LostSpool
from tests.support.receivers import orthanc, store_scp
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.base import Skipped
from triage.channels.registry import channel_of
from triage.channels.secondary_capture.channel import SecondaryCaptureChannel, packed, unpacked
from triage.channels.secondary_capture.image import BAND, LONGEST, WARNING
from triage.channels.secondary_capture.settings import SecondaryCaptureDestination
from triage.cli import triage
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.delivery.unread import UnreadNotes
from triage.dicom.requestor import RemoteAE
from triage.metrics.delivery import DeliveryMetrics
from triage.spool.spool import Spool
from triage.spool.study import Study

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CHANNEL = SecondaryCaptureChannel(RemoteAE("127.0.0.1", 1, "PACS", "US", 1.0), device_uid="2.25.7")
MAP = a_map(hot=(0, 4))  # upper right


INTERVAL_S = 100.0


@pytest.fixture(scope="module", autouse=True)
def decoding() -> Iterator[None]:
    """One decoder for all tests of this file."""
    yield
    CHANNEL.pool.close()


def mapped(spool: Spool, *destinations: str, **changes: Any) -> str:
    return a_study(spool, *destinations, **{"activation_map": MAP, **changes})


def objects(payload: bytes) -> list[Dataset]:
    return [dcmread(BytesIO(each)) for each in unpacked(payload)]


def built(study: Study, channel: SecondaryCaptureChannel = CHANNEL) -> list[Dataset]:
    found = channel.build(study)
    assert not isinstance(found, Skipped), found
    return objects(found.payload)


def skipped(study: Study, channel: SecondaryCaptureChannel = CHANNEL) -> str:
    found = channel.build(study)
    assert isinstance(found, Skipped)
    return found.why


def a_deliverer(spool: Spool, port: int, clock: Callable[[], float] | None = None, **settings: Any) -> Deliverer:
    values = {"name": "pacs", "host": "127.0.0.1", "port": port, "called_ae_title": "PACS", "delay_s": 0.0}
    destination = SecondaryCaptureDestination(**{**values, "timeout_s": 5.0, **settings})
    outbox, channel = Outbox(spool), channel_of(destination)
    assert isinstance(channel, SecondaryCaptureChannel)
    channel = replace(channel, pool=CHANNEL.pool)
    outbox.prepare([destination.name])
    metrics = DeliveryMetrics(CollectorRegistry())
    return Deliverer(spool, outbox, destination, channel, metrics, now=clock or Clock())


def test_it_is_a_derived_picture_in_the_original_study_and_says_of_what(spool: Spool):
    study = mapped(spool, attributes={"PatientOrientation": ["L", "F"]})
    (image,) = facts(spool, study).images
    (made,) = built(facts(spool, study))

    assert made.SOPClassUID == SecondaryCaptureImageStorage
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (list(made.ImageType), made.ConversionType, made.Modality) == (["DERIVED", "SECONDARY"], "WSD", "OT")
    assert (made.BurnedInAnnotation, made.RecognizableVisualFeatures) == ("YES", "NO")
    assert made.StudyInstanceUID == study
    assert made.SeriesInstanceUID != image.header.SeriesInstanceUID
    kept = ("PatientName", "PatientID", "AccessionNumber", "StudyDate", "StudyTime", "SpecificCharacterSet")
    for keyword in (*kept, "PatientOrientation"):
        assert made[keyword].value == image.header[keyword].value, keyword
    (source,) = made.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == image.header.SOPInstanceUID
    assert source.ReferencedSOPClassUID == image.header.SOPClassUID
    assert f"rsna-adult 1 (model sha256 {'b' * 64})" in made.DerivationDescription
    assert list(made.SoftwareVersions)[1:] == ["b" * 64, "rsna-adult 1"]
    assert made.ImageComments == WARNING
    assert made.LossyImageCompression == "00"
    assert made.DeviceUID == "2.25.7"


def test_the_map_lies_over_the_windowed_image_and_the_words_below_it(spool: Spool):
    (made,) = built(facts(spool, mapped(spool)))
    pixels = made.pixel_array.astype(int)
    assert pixels.shape == (LONGEST + BAND, LONGEST, 3)

    colour = pixels[:LONGEST].max(2) - pixels[:LONGEST].min(2)
    rows, columns = np.nonzero(colour > 40)
    assert rows.max() < LONGEST * 2 / 5
    assert columns.min() > LONGEST * 3 / 5
    assert colour[: LONGEST // 10, -LONGEST // 10 :].min() > 40  # the middle of the hot cell, out to the corner
    grey = pixels[: LONGEST // 2, : LONGEST // 4, 0]  # rising from the upper left, as the radiograph does
    assert (np.diff(grey.mean(1)) >= -1e-6).all()
    assert grey.max() > grey.min() + 50
    assert (pixels[LONGEST:] > 200).any()  # the words


def test_what_was_lossy_stays_so(spool: Spool):
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "12",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    (made,) = built(facts(spool, mapped(spool, attributes=lossy)))

    assert {name: str(made[name].value) for name in lossy} == lossy


@pytest.mark.parametrize("character_set", NAMES)
def test_names_keep_their_characters(spool: Spool, character_set: str):
    given = character_set.split("\\") if "\\" in character_set else character_set
    attributes = {"SpecificCharacterSet": given, "PatientName": NAMES[character_set]}
    (made,) = built(facts(spool, mapped(spool, attributes=attributes)))

    assert made.get("SpecificCharacterSet") == given
    assert made.PatientName == NAMES[character_set]


def test_the_same_facts_make_the_same_bytes_and_another_result_other_uids(spool: Spool):
    study = mapped(spool)
    first = CHANNEL.build(facts(spool, study))
    assert CHANNEL.build(facts(spool, study, now=99.0)) == first

    (one,), (two,) = built(facts(spool, study)), built(facts(spool, study, number=2, revision="e" * 32))
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SeriesInstanceUID == two.SeriesInstanceUID
    assert one.InstanceNumber != two.InstanceNumber


def test_each_scored_image_gets_its_own(spool: Spool):
    study = mapped(spool, tag=Tag.ABNORMAL)
    normal = a_radiograph(study)
    add_image(spool, normal, tag=Tag.NORMAL, probability=0.2, activation_map=MAP)
    add_image(spool, a_radiograph(study), tag=Tag.NORMAL, probability=0.1, no_map="other 1 has no activation map")
    shadow = {"tag": Tag.ABNORMAL, "probability": 0.9, "shadow": True, "activation_map": MAP}
    add_image(spool, a_radiograph(study), **shadow)
    settle(spool, study)
    known = facts(spool, study)

    made = built(known)
    assert len(made) == 2
    assert len({each.SOPInstanceUID for each in made}) == 2
    sources = {each.SourceImageSequence[0].ReferencedSOPInstanceUID for each in made}
    assert normal.SOPInstanceUID in sources
    (abnormal,) = built(known, replace(CHANNEL, abnormal_only=True))
    assert abnormal.SourceImageSequence[0].ReferencedSOPInstanceUID != normal.SOPInstanceUID


def test_where_there_is_nothing_to_send_it_says_why(spool: Spool):
    unassessed = mapped(spool, tag=Tag.NOT_ASSESSED, probability=0.4, reasons=(Reason.VIEW_UNVERIFIED,))
    assert "not assessed" in skipped(facts(spool, unassessed))
    assert "has no activation map" in skipped(facts(spool, a_study(spool, no_map="rsna-adult 1 has no activation map")))
    assert "switched off" in skipped(facts(spool, a_study(spool)))
    normal = facts(spool, mapped(spool, tag=Tag.NORMAL))
    assert "not abnormal" in skipped(normal, replace(CHANNEL, abnormal_only=True))
    assert len(built(normal)) == 1
    assert not CHANNEL.wants(facts(spool, mapped(spool, shadow=True)))


@pytest.mark.parametrize("attributes", [{}, {"PatientSex": "female", "PatientBirthDate": "?", "StudyTime": "noon"}])
@pytest.mark.filterwarnings("ignore")  # pydicom's, about what this test writes on purpose
def test_dciodvfy_finds_no_fault_with_it(spool: Spool, tmp_path: Path, attributes: dict[str, str]):
    if shutil.which("/usr/bin/dciodvfy") is None:
        pytest.skip("dciodvfy: sudo apt-get install dicom3tools")
    (made,) = built(facts(spool, mapped(spool, attributes=attributes)))
    path = tmp_path / "map.dcm"
    made.save_as(path)
    checked = subprocess.run(["/usr/bin/dciodvfy", str(path)], capture_output=True, text=True)

    assert "SCImage" in checked.stderr, checked.stderr
    faults = [line for line in checked.stderr.splitlines() if line.startswith(("Error", "Warning"))]
    assert not [line for line in faults if "to build DICOMDIR" not in line], checked.stderr  # empty in the images too


def test_files_are_packed_and_unpacked():
    assert list(unpacked(packed([b"one", b"", b"three"]))) == [b"one", b"", b"three"]


def test_orthanc_stores_it_in_the_original_study_and_gives_it_back(spool: Spool, tmp_path: Path):
    study = mapped(spool, "pacs")
    add_image(spool, a_radiograph(study), tag=Tag.NORMAL, probability=0.2, activation_map=MAP)
    settle(spool, study, "pacs")
    clock = Clock()
    with orthanc(tmp_path / "orthanc") as pacs:
        for path in spool.study_folder(study).glob("*.dcm"):
            pacs.post("/instances", path.read_bytes())
        deliverer = a_deliverer(spool, pacs.dicom_port, clock)
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.DELIVERED]

        (there,) = pacs.find("Study", StudyInstanceUID=study)
        assert len(there["Series"]) == 3
        maps = pacs.find("Instance", StudyInstanceUID=study, Modality="OT")
        sent = (spool.study_folder(study) / "deliveries" / "pacs+0001.sent").read_bytes()
        ours = {each.SOPInstanceUID: each for each in objects(sent)}
        assert len(maps) == len(ours) == 2
        for each in maps:
            back = dcmread(BytesIO(pacs.get(f"/instances/{each['ID']}/file")))
            assert (back.pixel_array == ours[back.SOPInstanceUID].pixel_array).all()
            assert pacs.get(f"/instances/{each['ID']}/preview")[:4] == b"\x89PNG"  # Orthanc can draw it too
        deliverer.round()
        assert attempts(deliverer, "delivered") == 1  # once


def test_one_that_is_not_taken_is_sent_again_with_the_others(spool: Spool):
    study = mapped(spool, "pacs")
    add_image(spool, a_radiograph(study), tag=Tag.NORMAL, probability=0.2, activation_map=MAP)
    settle(spool, study, "pacs")
    clock = Clock()
    with store_scp(0x0000, 0xA700, 0x0000) as scp:
        deliverer = a_deliverer(spool, scp.port, clock, first_interval_s=60)
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.WAITING]
        clock.at += 61
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert scp.received[:2] == scp.received[2:]


def test_a_pacs_that_takes_none_makes_a_dead_letter(spool: Spool):
    study = mapped(spool, "pacs")
    with store_scp(contexts=[build_context("1.2.840.10008.5.1.4.1.1.1")]) as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DEAD]
    ((_, _, _, why),) = deliverer.outbox.dead.letters("pacs")
    assert "Secondary Capture Image Storage" in why


def test_what_is_skipped_is_recorded_once_and_a_later_image_is_sent(spool: Spool):
    study = a_study(spool, "pacs", tag=Tag.NOT_ASSESSED, reasons=(Reason.UNDECODABLE,))
    clock = Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port, clock)
        deliverer.round()
        settle(spool, study, "pacs")
        clock.at += 600
        deliverer.round()
        (record,) = deliverer.outbox.records(study)
        assert record.state is DeliveryState.SKIPPED
        assert "not assessed" in record.tries[-1]["detail"]
        assert deliverer.metrics.skipped.labels("pacs")._value.get() == 1
        assert not deliverer.outbox.is_undelivered(study)
        assert scp.received == []

        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9, activation_map=MAP)
        settle(spool, study, "pacs")
        clock.at += 600
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.SKIPPED, DeliveryState.DELIVERED]
        assert len(scp.received) == 1


def test_a_late_image_that_changes_the_result_makes_an_update_and_nothing_lowers_it(spool: Spool):
    study = mapped(spool, "pacs", tag=Tag.NORMAL)
    clock = Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port, clock)
        deliverer.round()
        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9, activation_map=MAP)
        settle(spool, study, "pacs")
        clock.at += 600
        deliverer.round()
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED, DeliveryState.DELIVERED]
    assert len(scp.received) == 3  # the normal one, and in the update both


def test_a_dead_letter_is_not_tried_again_once_there_is_nothing_to_send(spool: Spool):
    study = mapped(spool, "pacs", tag=Tag.NORMAL)
    clock = Clock()
    with store_scp(0xC000) as scp:
        deliverer = a_deliverer(spool, scp.port, clock)
        deliverer.round()
        add_image(spool, a_radiograph(study), tag=Tag.NOT_ASSESSED, probability=None, reasons=(Reason.UNDECODABLE,))
        settle(spool, study, "pacs")
        clock.at += 600
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.DEAD, DeliveryState.SKIPPED]
    ((key, *_),) = deliverer.outbox.dead.letters("pacs")
    with pytest.raises(ValueError, match="drop it"):
        deliverer.outbox.dead.requeue(key, clock.at)


def test_an_image_that_cannot_be_drawn_is_a_dead_letter_and_holds_up_no_other(spool: Spool):
    broken, whole = mapped(spool, "pacs"), mapped(spool, "pacs")
    (path,) = spool.study_folder(broken).glob("*.dcm")
    path.write_bytes(path.read_bytes()[:3000])
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()

    assert states(deliverer, whole) == [DeliveryState.DELIVERED]
    assert states(deliverer, broken) == []
    assert deliverer.outbox.dead.count("pacs") == 1


CONFIG = """
[[channels.secondary_capture]]
name = "maps"
host = "127.0.0.1"
port = {port}
called_ae_title = "PACS"
timeout_s = 5
"""


def run(spool: Spool, port: int, *arguments: str) -> str:
    config = spool.root.parent / "triage.toml"
    config.write_text(f'[spool]\npath = "{spool.root}"\n{CONFIG.format(port=port)}')
    return CliRunner().invoke(triage, ["--config", str(config), *arguments]).output


def test_it_is_tried_listed_and_switched_off_by_commands(spool: Spool):
    with store_scp() as scp:
        said = run(spool, scp.port, "test-destination", "maps")
        assert "C-ECHO: succeeded." in said
        assert "Secondary Capture Image Storage: accepted." in said
        assert "secondary_capture" in run(spool, scp.port, "channel")

        study = mapped(spool, "maps")
        assert "switched off" in run(spool, scp.port, "channel", "maps", "--disable")
        deliverer = a_deliverer(spool, scp.port, name="maps")
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.WAITING]
        run(spool, scp.port, "channel", "maps", "--enable")
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert "maps 1: ABNORMAL, delivered" in run(spool, scp.port, "explain", study)


def test_the_words_name_the_finding_that_the_map_is_of(spool: Spool):
    findings = (a_score("opacity", 0.91, title="Lung opacity", threshold=0.4), a_score("effusion", 0.97))
    add_image(spool, a_radiograph("1.2.3"), **scored(*findings), activation_map=MAP)
    settle(spool, "1.2.3")
    (made,) = built(facts(spool, "1.2.3"))

    assert "Lung opacity: score 0.910000, positive from 0.4." in made.DerivationDescription
    assert "probability 0.910000, abnormal from 0.5." in built(facts(spool, mapped(spool)))[0].DerivationDescription


# An object that cannot be read.


def with_one_unread(spool: Spool) -> tuple[LostSpool, str]:
    """Four studies that wait, and of the first an object that cannot be read, while those of the others can."""
    lost = LostSpool.open(spool.root)
    study = mapped(lost, "pacs")
    lost.lost_studies = frozenset({study})
    for _ in range(3):
        mapped(lost, "pacs")
    return lost, study


def at_next_try(deliverer: Deliverer, clock: Clock) -> None:
    deliverer.round()
    clock.at += INTERVAL_S


def test_a_study_whose_object_cannot_be_read_holds_up_no_other_and_is_tried_again(spool: Spool):
    lost, study = with_one_unread(spool)
    clock = Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock, first_interval_s=INTERVAL_S)
        deliverer.round()
        assert len(scp.received) == 3
        assert [uid for _, uid in deliverer.outbox.marked("pacs")] == [study]
        lost.lost_studies = frozenset()
        deliverer.round()  # in its pause
        assert len(scp.received) == 3
        clock.at += INTERVAL_S
        deliverer.round()
    assert len(scp.received) == 4 and states(deliverer, study) == [DeliveryState.DELIVERED]
    assert not deliverer.outbox.marked("pacs") and not deliverer.outbox.dead.count("pacs")


@pytest.mark.parametrize("what", ["all of it", "its pixels"])
def test_a_study_whose_object_stays_unread_is_a_dead_letter_in_the_end(spool: Spool, what: str):
    """However often the lead changes: the time counts from the first failure, as noted in the store."""
    lost, study = with_one_unread(spool)
    lost.of_pixels = what == "its pixels"
    clock = Clock()
    with store_scp() as scp:
        for _ in range(20):
            deliverer = a_deliverer(lost, scp.port, clock, tries=25, longest_interval_s=INTERVAL_S)
            at_next_try(deliverer, clock)
            assert not deliverer.outbox.dead.count("pacs")
        clock.at += 5 * INTERVAL_S
        deliverer.round()
        (letter,) = deliverer.outbox.dead.letters("pacs")
        assert letter[0].study_instance_uid == study and "an object of it cannot be read" in letter[3]
        assert not deliverer.outbox.marked("pacs")
        deliverer.outbox.dead.requeue(letter[0], clock.at)
        deliverer.round()
        assert not deliverer.outbox.dead.count("pacs")  # it is waited for anew
        lost.lost_studies = frozenset()
        at_next_try(deliverer, clock)
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert UnreadNotes(lost, "pacs").studies() == []


def test_while_the_store_gives_no_objects_no_study_is_given_up(spool: Spool):
    lost, _ = with_one_unread(spool)
    clock = Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock, tries=1)
        lost.lost = lost.away = True
        for _ in range(3):
            with pytest.raises(OSError, match="does not answer"):
                at_next_try(deliverer, clock)
    assert len(deliverer.outbox.marked("pacs")) == 4 and not deliverer.outbox.dead.count("pacs")


def one_that_waits(spool: Spool, deliverer: Deliverer, tag: Tag) -> str:
    """A study whose message is built, and was never sent."""
    study = mapped(spool, "pacs", tag=tag)
    deliverer.outbox.set_disabled("pacs", True)
    deliverer.round()
    deliverer.outbox.set_disabled("pacs", False)
    return study


def test_an_abnormal_that_waits_leaves_while_the_next_one_waits_for_pixels(spool: Spool):
    lost, clock = LostSpool.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        study = one_that_waits(lost, deliverer, Tag.ABNORMAL)
        late = a_radiograph(study)
        add_image(lost, late, tag=Tag.ABNORMAL, probability=0.95, activation_map=MAP)
        settle(lost, study, "pacs")
        lost.of_pixels, lost.lost_images = True, frozenset({str(late.SOPInstanceUID)})
        clock.at += 100.0
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.DELIVERED] and len(scp.received) == 1
        lost.lost_images = frozenset()
        clock.at += 60.0
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.DELIVERED] * 2


def test_a_normal_that_waits_does_not_leave_when_the_abnormal_one_after_it_is_a_dead_letter(spool: Spool):
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = one_that_waits(spool, deliverer, Tag.NORMAL)
        late = a_radiograph(study)
        whole = set(spool.study_folder(study).glob("*.dcm"))
        add_image(spool, late, tag=Tag.ABNORMAL, probability=0.95, activation_map=MAP)
        settle(spool, study, "pacs")
        (path,) = set(spool.study_folder(study).glob("*.dcm")) - whole
        path.write_bytes(path.read_bytes()[:3000])
        for _ in range(2):
            deliverer.round()
    assert deliverer.outbox.dead.count("pacs") == 1
    assert states(deliverer, study) == [DeliveryState.SUPERSEDED] and not scp.received
