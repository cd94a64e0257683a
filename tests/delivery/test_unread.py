"""What a message says of patient, order and urgency, and whom it holds up, while images cannot be read."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from tests.delivery.test_deliverer import Clock, a_deliverer, states
from tests.support.lost_objects import LostSpool
from tests.support.ports import free_port
from tests.support.receivers import store_scp
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.hl7.settings import HL7Destination
from triage.channels.registry import channel_of
from triage.channels.sr.settings import SRDestination
from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason
from triage.decision.rejection_note import RejectionNote
from triage.decision.types import Tag
from triage.delivery.build import Builder, BuildResult, build_if_changed
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.delivery.unread import UnreadNotes
from triage.operations.dead_letters import drop
from triage.spool.errors import LockedError
from triage.spool.patient import certain_identifiers_of, patient_of
from triage.spool.spool import Spool
from triage.spool.study import GIVEN_UP_AFTER_S
from triage.worklist.study_facts import facts_of

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OTHER = {"PatientID": "P-2", "PatientName": "ROE^RICHARD", "PlacerOrderNumberImagingServiceRequest": "PL-2"}


def built(spool: Spool, study: str, **settings: Any) -> bytes:
    """Build the message of a study whose images could not be read for a quarter of an hour; its bytes."""
    destination = HL7Destination(name="ris", host="127.0.0.1", port=2575, **settings)
    outbox = Outbox(spool)
    builder = Builder(spool, outbox, "ris", channel_of(destination))
    assert build_if_changed(builder, study, time.time()) is BuildResult.UNREAD
    build_if_changed(builder, study, time.time() + GIVEN_UP_AFTER_S + 1.0)
    return b"".join(map(outbox.payload, outbox.waiting("ris")))


def tell_without_images(deliverer: Deliverer, lost: LostSpool, clock: Clock, studies: Iterable[str]) -> None:
    """The destination is told of studies whose images could not be read for a quarter of an hour."""
    lost.lost_studies = frozenset(studies)
    deliverer.round()
    clock.at += GIVEN_UP_AFTER_S + 1.0
    deliverer.round()


def contradicted(spool: Spool, study: str, image: Dataset) -> None:
    """Store an abnormal image, and one of another patient that came into its study."""
    add_image(spool, image, tag=Tag.ABNORMAL, probability=0.9)
    add_image(spool, a_radiograph(study, **OTHER), tag=Tag.NORMAL, probability=0.1)


def rejected(spool: Spool, study: str, image: Dataset) -> None:
    """Store an abnormal image, and one that a note rejects, as it is of another patient."""
    wrong = a_radiograph(study, **OTHER)
    note = RejectionNote("113038", (str(wrong.SOPInstanceUID),), vouched_for=True)
    add_image(spool, wrong, tag=Tag.NORMAL, probability=0.1, patient=PatientMarks())
    add_image(spool, image, tag=Tag.ABNORMAL, probability=0.9)
    of_note = {"tag": Tag.NOT_ASSESSED, "probability": None, "reasons": (Reason.REJECTION_NOTE,), "rejection": note}
    add_image(spool, a_radiograph(study, PatientID="", PatientName=""), **of_note)


@pytest.mark.parametrize("mixed", [contradicted, rejected])
@pytest.mark.parametrize("why", ["lost", "nameless"])
def test_no_image_of_another_patient_names_the_patient_of_one_that_does_not(spool: Spool, mixed: Any, why: str) -> None:
    """A message names P-1 or none, and so do the list, a page and what a report is compared with."""
    lost, study = LostSpool.open(spool.root), str(generate_uid())
    image = a_radiograph(study, **({} if why == "lost" else {"PatientID": "", "PatientName": ""}))
    image.PatientBirthDate = "19500101"
    mixed(lost, study, image)
    others = a_radiograph(study, **OTHER, PatientBirthDate="19600101")
    if why == "nameless" and mixed is contradicted:  # by the date of birth
        add_image(lost, others, tag=Tag.NORMAL, probability=0.1)
    settle(lost, study, "ris")
    if why == "lost":
        lost.lost_images = frozenset({str(image.SOPInstanceUID)})
        message = built(lost, study)
        assert message.startswith(b"MSH") and not any(text in message for text in (b"P-2", b"ROE", b"PL-2"))
    facts = facts_of(lost, study)
    assert (facts.patient_id, facts.patient_name) == ("", "") and patient_of(lost, study).patient_id == ""
    assert len(certain_identifiers_of(lost, study) or ()) == (1 if why == "lost" else 0)


@pytest.mark.parametrize(("second", "named"), [({}, b"P-1"), ({"PatientID": "P-1", "PatientName": "D^J"}, b"P-1")])
def test_another_image_of_the_same_patient_names_it(spool: Spool, second: dict[str, str], named: bytes) -> None:
    lost, study = LostSpool.open(spool.root), str(generate_uid())
    image = a_radiograph(study, PatientBirthDate="19500101")
    add_image(lost, image, tag=Tag.ABNORMAL, probability=0.9)
    add_image(lost, a_radiograph(study, PatientBirthDate="19500101", **second), tag=Tag.NORMAL, probability=0.1)
    settle(lost, study, "ris")
    lost.lost_images = frozenset({str(image.SOPInstanceUID)})
    assert named in built(lost, study)


def test_an_object_that_was_given_up_takes_the_patient_from_no_other_image(spool: Spool) -> None:
    lost, study = LostSpool.open(spool.root), str(generate_uid())
    given_up = a_radiograph(study)
    of_given_up = {"reasons": (Reason.WORKER_FAILURE,), "patient": PatientMarks(), "tag": Tag.NOT_ASSESSED}
    add_image(lost, given_up, probability=None, **of_given_up)
    add_image(lost, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
    settle(lost, study, "ris")
    lost.lost_images = frozenset({str(given_up.SOPInstanceUID)})
    assert b"P-1" in built(lost, study)


def test_a_change_of_an_order_that_the_images_alone_name_is_sent_once_they_can_be_read(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    lost = LostSpool.open(spool.root)
    study = a_study(spool, "ris", attributes={"AccessionNumber": "", "PlacerOrderNumberImagingServiceRequest": "PL-1"})
    lost.lost_studies = frozenset({study})
    assert built(lost, study, message="ORM^O01") == b""
    assert "names no patient" not in caplog.text  # there is no message
    assert UnreadNotes(lost, "ris").is_told_without(study)  # so that ``UnreadTurns.look`` marks it anew


@pytest.mark.parametrize("now", [Tag.ABNORMAL, Tag.NOT_ASSESSED])
def test_a_normal_that_waits_does_not_leave_while_what_followed_it_waits_for_images(spool: Spool, now: Tag) -> None:
    lost, clock = LostSpool.open(spool.root), Clock()
    study = a_study(spool, "pacs", tag=Tag.NORMAL)
    a_deliverer(lost, free_port(), clock).round()  # built, and the destination is away
    probability = 0.9 if now is Tag.ABNORMAL else None
    add_image(spool, a_radiograph(study), tag=now, probability=probability)
    settle(spool, study, "pacs")
    lost.lost_studies = frozenset({study})
    clock.at += 100.0
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        for _ in range(3):
            deliverer.round()
            clock.at += 60.0
        assert not scp.received and states(deliverer, study) == [DeliveryState.SUPERSEDED]
        lost.lost_studies = frozenset()
        deliverer.round()
    (told,) = (dcmread(DicomBytesIO(each), force=True) for each in scp.received)
    assert told.PatientID == "P-1" and deliverer.outbox.records(study)[-1].tag == now


def test_an_abnormal_that_waits_leaves_while_what_followed_it_waits_for_images(spool: Spool) -> None:
    lost, clock = LostSpool.open(spool.root), Clock()
    study = a_study(spool, "pacs")
    a_deliverer(lost, free_port(), clock).round()
    add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.95)
    settle(spool, study, "pacs")
    lost.lost_studies = frozenset({study})
    clock.at += 100.0
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        deliverer.round()
        assert len(scp.received) == 1 and states(deliverer, study) == [DeliveryState.DELIVERED]


def test_a_normal_does_not_leave_in_the_pause_in_which_the_study_became_abnormal(spool: Spool) -> None:
    lost, clock = LostSpool.open(spool.root), Clock()
    study = a_study(lost, "pacs", tag=Tag.NORMAL)
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        deliverer.outbox.set_disabled("pacs", True)
        deliverer.round()  # built
        add_image(lost, a_radiograph(study), tag=Tag.NORMAL, probability=0.1)
        settle(lost, study, "pacs")
        lost.lost_studies = frozenset({study})
        deliverer.round()  # waits for images, and says no less than the decision
        add_image(lost, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
        settle(lost, study, "pacs")
        deliverer.outbox.set_disabled("pacs", False)
        clock.at += 1.0
        deliverer.round()
        assert not scp.received and states(deliverer, study) == [DeliveryState.SUPERSEDED]


class BrokenStudy(LostSpool):
    """A spool of which the decision of one study, ``broken``, cannot be read."""

    broken = ""

    def decision(self, study_instance_uid: str) -> Any:
        if study_instance_uid == self.broken:
            raise OSError(errno.EIO, "a bad sector")
        return super().decision(study_instance_uid)


def test_a_study_whose_files_cannot_be_read_holds_up_no_other_and_nothing_of_it_leaves(spool: Spool) -> None:
    broken, clock = BrokenStudy.open(spool.root), Clock()
    study = a_study(spool, "pacs", tag=Tag.NORMAL)
    a_deliverer(broken, free_port(), clock).round()
    settle(spool, study, "pacs")
    other = a_study(broken, "pacs", attributes={"PatientID": "P-2"})
    broken.broken = study
    clock.at += 100.0
    with store_scp() as scp:
        deliverer = a_deliverer(broken, scp.port, clock)
        for _ in range(3):
            deliverer.round()
            clock.at += 10.0
        assert [str(dcmread(DicomBytesIO(each), force=True).PatientID) for each in scp.received] == ["P-2"]
        assert deliverer.outbox.to_be_told(study) == ("pacs",) and not deliverer.outbox.dead.count("pacs")
        broken.broken = ""
        clock.at += 60.0
        deliverer.round()
    assert len(scp.received) == 2 and deliverer.outbox.to_be_told(other) == deliverer.outbox.to_be_told(study) == ()


def test_a_round_in_which_each_study_fails_fails(spool: Spool) -> None:
    """Its outbox cannot be used, say, and studies can: readiness and the log of the round say so."""
    broken, clock = BrokenStudy.open(spool.root), Clock()
    deliverer = a_deliverer(broken, free_port(), clock)
    broken.broken = a_study(broken, "pacs")
    with pytest.raises(OSError, match="a bad sector"):
        deliverer.round()
    deliverer.round()  # it waits


def test_a_clock_that_is_set_back_keeps_nothing_waiting(spool: Spool) -> None:
    lost, clock = LostSpool.open(spool.root), Clock()
    clock.at += 10_000.0
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        study, told = (a_study(lost, "pacs", attributes={"PatientID": each}) for each in ("P-1", "P-2"))
        lost.lost_studies = frozenset({study})
        UnreadNotes(lost, "pacs").told_without(told)
        deliverer.round()
        lost.lost_studies = frozenset()
        clock.at -= 9_900.0
        deliverer.round()
        deliverer.round()
    assert [str(dcmread(DicomBytesIO(each), force=True).PatientID) for each in scp.received] == ["P-2", "P-1"]
    assert UnreadNotes(lost, "pacs").studies() == []


def test_studies_that_stay_lost_keep_none_from_being_told_anew_with_the_next_look(spool: Spool) -> None:
    lost, clock = LostSpool.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        studies = sorted(a_study(lost, "pacs") for _ in range(6))
        tell_without_images(deliverer, lost, clock, studies)
        assert len(scp.received) == 6
        lost.lost_studies = frozenset(studies[:5])
        clock.at += 61.0
        deliverer.round()  # looks
        deliverer.round()
    assert len(scp.received) == 7 and deliverer.outbox.records(studies[5])[-1].lacks_images is False


def test_a_later_result_of_a_study_that_was_told_of_without_its_images_waits_no_second_time(spool: Spool) -> None:
    lost, clock = LostSpool.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        study = a_study(lost, "pacs", tag=Tag.NORMAL)
        tell_without_images(deliverer, lost, clock, {study})
        add_image(lost, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
        settle(lost, study, "pacs")
        clock.at += 1.0
        deliverer.round()
    assert [each.tag for each in deliverer.outbox.records(study)] == [Tag.NORMAL, Tag.ABNORMAL]
    assert len(scp.received) == 2


class HeldStudy(LostSpool):
    """A spool of which another process holds the study ``held``."""

    held = ""

    @contextmanager
    def study_lock(self, study_instance_uid: str) -> Iterator[None]:
        if study_instance_uid == self.held:
            raise LockedError(errno.ETIMEDOUT, "another process holds it")
        with super().study_lock(study_instance_uid):
            yield


def test_a_study_that_another_process_holds_ends_no_look(spool: Spool) -> None:
    held, clock = HeldStudy.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(held, scp.port, clock)
        studies = sorted(a_study(held, "pacs") for _ in range(2))
        tell_without_images(deliverer, held, clock, studies)
        held.lost_studies, held.held = frozenset(), studies[0]
        clock.at += 61.0
        deliverer.round()  # looks
        assert UnreadNotes(held, "pacs").studies() == studies[:1]
        held.held = ""
        clock.at += 61.0
        deliverer.round()
        deliverer.round()
    assert len(scp.received) == 4 and UnreadNotes(held, "pacs").studies() == []


def test_what_a_person_has_dropped_is_not_told_again_when_its_images_can_be_read(spool: Spool) -> None:
    lost, clock = LostSpool.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        study = a_study(lost, "pacs")
        tell_without_images(deliverer, lost, clock, {study})
        drop(deliverer.outbox, "pacs", clock.at)
        lost.lost_studies = frozenset()
        for _ in range(2):
            clock.at += 61.0
            deliverer.round()
    assert len(scp.received) == 1


def test_what_went_out_without_its_images_is_counted_until_they_can_be_read(spool: Spool) -> None:
    lost, clock = LostSpool.open(spool.root), Clock()

    def counted() -> float:
        clock.at += 61.0
        deliverer.round()
        deliverer._counted_at = float("-inf")  # counted at each round
        deliverer.round()
        return float(deliverer.metrics.without_images.labels("pacs")._value.get())

    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        lost.lost_studies = frozenset(a_study(lost, "pacs") for _ in range(2))
        assert counted() == 0  # they wait
        clock.at += GIVEN_UP_AFTER_S
        deliverer.round()
        assert counted() == 2
        lost.lost_studies = frozenset()
        assert counted() == 0


class OneAtATime(SRDestination):
    one_at_a_time: ClassVar[bool] = True


def test_a_destination_that_does_one_thing_at_a_time_holds_what_was_not_looked_at_too(spool: Spool) -> None:
    broken, clock = BrokenStudy.open(spool.root), Clock()
    study = a_study(broken, "pacs", tag=Tag.NORMAL)
    with store_scp() as scp:
        deliverer = a_deliverer(broken, scp.port, clock)
        deliverer.destination = OneAtATime(**deliverer.destination.model_dump())
        deliverer.outbox.set_disabled("pacs", True)
        deliverer.round()  # built
        deliverer.outbox.set_disabled("pacs", False)
        add_image(broken, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
        settle(broken, study, "pacs")
        a_study(broken, "pacs", attributes={"PatientID": "P-2"})
        broken.broken = study
        for _ in range(2):
            deliverer.round()
            clock.at += 1.0
        assert [str(dcmread(DicomBytesIO(each), force=True).PatientID) for each in scp.received] == ["P-2"]
