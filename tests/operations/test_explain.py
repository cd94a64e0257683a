"""`triage explain`: everything that is known of a study, on one page."""

from __future__ import annotations

import json
import time
from datetime import UTC
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ImplicitVRLittleEndian
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.builders import a_decision, an_assessment, an_instance
from tests.support.findings import CRITICAL_EFFUSION, a_score, scored
from tests.support.studies import a_radiograph, add_image, settle
from triage.decision.reasons import Reason
from triage.decision.records import to_record
from triage.decision.types import Tag
from triage.dicom.part10 import read_receipt
from triage.dicom.uid import InvalidUIDError
from triage.operations.explain import explanation
from triage.operations.trace import gather
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

RECEIPT = {"received_at": 1000.0, "calling_ae_title": "PACS", "called_ae_title": "CXR_TRIAGE", "peer": "10.0.0.7"}


def write_part10(path: Path, receipt: dict[str, object] | None = RECEIPT) -> None:
    """A small Part 10 file with the listener's receipt in its File Meta Information."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    meta.SourceApplicationEntityTitle = "PACS"
    if receipt is not None:
        meta.PrivateInformationCreatorUID = "1.2.826.0.1.3680043.8.498.1"
        meta.PrivateInformation = json.dumps(receipt).encode()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.PatientName = "SECRET^PATIENT"
    dataset.save_as(path, enforce_file_format=True)


def receive(spool: Spool, instance: ReceivedInstance) -> None:
    part = spool.new_part()
    write_part10(part)
    with part.open("rb") as file:
        assert spool.receive(part, file.fileno(), instance)


def tag(spool: Spool, instance: ReceivedInstance, **assessment: object) -> None:
    """Write what the worker leaves: an assessment, a decision, the object filed."""
    found = an_assessment(
        sop_instance_uid=instance.sop_instance_uid, content_digest=instance.content_digest, **assessment
    )
    spool.write_assessment(instance, to_record(found))
    decision = a_decision(tag=found.tag, reasons=found.reasons, probability=found.probability)
    spool.write_decision(instance.study_instance_uid, to_record(decision))
    spool.file(instance)


def page(spool: Spool, study: str = "1.2.3", now: float = 1060.0, **options: object) -> str:
    return explanation(gather(study, spool, **options), now, UTC)


def test_every_reason_is_explained_in_sentences():
    assert all(meaning.endswith(".") and len(meaning.split()) > 7 for meaning in (reason.meaning for reason in Reason))


def test_a_tagged_study_shows_its_decision_object_score_and_times(spool: Spool):
    instance = an_instance()
    receive(spool, instance)
    tag(spool, instance, distance=1.5, distance_limit=2.0, stages={"decode": 0.0412, "score": 0.0151})

    text = page(spool)

    assert "Tag        NORMAL" in text
    assert "Score      0.1000 by rsna-adult 1" in text
    assert "Received   1970-01-01 00:16:40 UTC, 1 min 00 s ago" in text
    assert "received  1970-01-01 00:16:40 UTC from PACS (10.0.0.7), calling us CXR_TRIAGE" in text
    assert "encoded   Implicit VR Little Endian (1.2.840.10008.1.2)" in text
    assert f"content   SHA-256 {instance.content_digest}" in text
    assert f"lies in   {spool.filed_path(instance)} (" in text
    assert "score     0.1000; ABNORMAL from 0.500" in text
    assert "distance  1.5 from the training images, within the limit 2" in text
    assert "time      1.0 s from receipt: decode 41 ms, score 15 ms" in text
    assert "WAITING" not in text
    assert "DEAD LETTERS" not in text


@pytest.mark.parametrize(
    ("view", "share", "contradicted", "line"),
    [
        ("PA", 0.987, True, "view      stated PA; the pixels look AP (0.98): compare View Position"),
        ("AP", 0.31, False, "view      stated AP; the pixels look PA (0.69)"),
        ("UNKNOWN", 0.9999, False, "view      PA or AP not stated; the pixels look AP (0.99)"),
        ("FRONTAL", 0.0, False, "view      PA or AP not stated; the pixels look PA (1.00)"),
    ],
)
def test_what_the_pixels_say_of_the_projection_stands_beside_the_stated_view(
    spool: Spool, view: str, share: float, contradicted: bool, line: str
):
    receive(spool, an_instance())
    tag(spool, an_instance(), view=view, ap_share=share, view_contradicted=contradicted)

    assert f"   {line}\n" in page(spool)


def test_where_the_pixels_were_not_asked_no_projection_is_said(spool: Spool):
    receive(spool, an_instance())
    tag(spool, an_instance())

    assert "pixels look" not in page(spool)


def test_no_patient_is_on_the_page(spool: Spool):
    receive(spool, an_instance())
    tag(spool, an_instance())

    assert "SECRET" not in page(spool)


def test_reasons_are_explained_once_and_in_words(spool: Spool):
    for number in range(2):
        instance = an_instance(sop=f"1.2.3.{number}")
        receive(spool, instance)
        tag(spool, instance, tag=Tag.NOT_ASSESSED, reasons=(Reason.UNDECODABLE,), probability=None, detail="cut off")

    text = page(spool)

    assert text.count("undecodable: Its pixels could not be decoded, or the data set is damaged.") == 1
    assert "reasons   undecodable: cut off" in text
    assert "Score      not scored" in text


def test_what_waits_is_shown_with_its_job(spool: Spool):
    receive(spool, an_instance())

    text = page(spool, job_state=lambda instance: "queued")

    assert "Not tagged yet." in text
    assert "1.2.3.4  for 1 min 00 s; its job: queued" in text
    assert "result    none yet" in text


def test_a_queue_that_does_not_answer_does_not_keep_the_page_back(spool: Spool):
    def no_answer(instance: ReceivedInstance) -> str:
        raise RedisConnectionError("refused")

    receive(spool, an_instance())

    assert "its job: unknown, Redis does not answer" in page(spool, job_state=no_answer)


def test_a_dead_letter_comes_with_the_command_that_tries_again(spool: Spool):
    instance = an_instance()
    receive(spool, instance)
    spool.bury(instance, {"error": "decoder died", "tries": 3, "buried_at": 1010.0})

    text = page(spool)

    assert "1.2.3.4  given up 1970-01-01 00:16:50 UTC after 3 tries" in text
    assert "error:  decoder died" in text
    assert f"triage dead-letters --requeue {instance.key}" in text


def test_the_history_shows_every_decision_newest_first(spool: Spool):
    first = a_decision(tag=Tag.NOT_ASSESSED, probability=None, reasons=(Reason.NO_FRONTAL_IMAGE,), revision="a" * 64)
    second = a_decision(tag=Tag.ABNORMAL, probability=0.9, tagged_at=1005.0, revision="b" * 64)
    repeated = a_decision(tag=Tag.ABNORMAL, probability=0.9, tagged_at=1006.0, revision="b" * 64)
    for decision in (first, second, repeated):
        spool.write_decision("1.2.3", to_record(decision))

    history = page(spool).partition("HISTORY, NEWEST FIRST\n")[2].splitlines()

    assert history == [
        "  1970-01-01 00:16:46 UTC  ABNORMAL, priority MEDIUM, 0.9000  (same inputs again)",
        "  1970-01-01 00:16:45 UTC  ABNORMAL, priority MEDIUM, 0.9000",
        "  1970-01-01 00:16:41 UTC  NOT_ASSESSED, priority MEDIUM, not scored, no_frontal_image  (first)",
    ]


def test_two_contents_under_one_uid_are_two_objects(spool: Spool):
    for content in (b"one", b"other"):
        instance = an_instance(content=content)
        receive(spool, instance)
        tag(spool, instance)

    trace = gather("1.2.3", spool)

    assert len({each.instance.content_digest for each in trace.objects}) == 2
    assert "OBJECTS (2)" in explanation(trace, 1060.0, UTC)


def test_a_study_next_door_is_not_mixed_in(spool: Spool):
    receive(spool, an_instance(study="1.2.3"))
    receive(spool, an_instance(study="1.2.33", sop="9.9"))

    assert "9.9" not in page(spool)


def test_a_removed_object_keeps_its_result(spool: Spool):
    instance = an_instance()
    receive(spool, instance)
    tag(spool, instance)
    spool.filed_path(instance).unlink()

    text = page(spool)

    assert "lies in   no longer kept" in text
    assert "received  1970-01-01 00:16:40 UTC from PACS" in text


def test_a_file_without_a_receipt_is_still_shown(spool: Spool, tmp_path: Path):
    part = spool.new_part()
    part.write_bytes(b"not DICOM at all")
    with part.open("rb") as file:
        spool.receive(part, file.fileno(), an_instance())
    write_part10(tmp_path / "plain.dcm", receipt=None)

    shown = page(spool)
    assert "from an unknown AE" in shown and "at an unknown time" not in shown  # it came when its file did
    assert read_receipt(tmp_path / "plain.dcm").calling_ae_title == "PACS"


def test_switched_off_models_are_named(spool: Spool):
    receive(spool, an_instance())
    spool.model_switches.set_disabled("rsna-adult", True)

    assert "MODELS SWITCHED OFF\n  rsna-adult" in page(spool)


def test_an_unknown_study_and_a_wrong_uid_are_told_apart(spool: Spool):
    with pytest.raises(LookupError, match="never came"):
        gather("1.2.999", spool)
    with pytest.raises(InvalidUIDError):
        gather("../../etc", spool)


def test_findings_are_shown_with_score_point_and_urgency_and_what_was_looked_for(spool: Spool) -> None:
    point = "2026-11 frontal"
    seen = (a_score("effusion", 0.91, threshold=0.35, point=point), a_score("nodule", 0.8, counts=False))
    refused = scored(a_score("fracture", 0.97), tag=Tag.NOT_ASSESSED, reasons=(Reason.OUT_OF_DISTRIBUTION,))
    values = scored(*seen)
    values["results"] = (*values["results"], *refused["results"])
    add_image(spool, a_radiograph("1.2.3", RequestedProcedurePriority="STAT"), order_priority="STAT", **values)
    settle(spool, "1.2.3", policy=CRITICAL_EFFUSION)
    page = explanation(gather("1.2.3", spool), now=time.time(), zone=UTC)
    lines = [line.strip() for line in page.splitlines()]

    assert "Urgency    critical" in lines
    assert "Priority   HIGH (the order's own: HIGH)" in lines
    found = lines[lines.index("FINDINGS") + 1 :]
    assert found[0] == "AI triage, unverified, of the frontal images."
    assert " ".join(found[1:3]) == (
        "Effusion (effusion): present, critical; 0.9100, positive from 0.35 (operating point 2026-11 frontal of the "
        "site), by rsna-adult 2"
    )
    assert "Nodule (nodule): present, does not count; 0.8000, positive from 0.5" in page
    assert "Fracture (fracture): not assessed" in page
    assert "Not assessed: Fracture." in lines
    assert "Nothing else was looked for." in lines
    of_image = [line for line in lines if line.startswith("finding ")]
    assert [line.split()[1] for line in of_image] == ["effusion", "nodule", "fracture"]
    assert of_image[2].endswith("not used (out_of_distribution); rsna-adult 2")
