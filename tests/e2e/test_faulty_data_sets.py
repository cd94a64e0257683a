"""Damaged objects on the whole way: taken, listed where their order belongs, and reported on every channel."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import hl7
import pytest
from prometheus_client import CollectorRegistry
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.e2e.test_ways_out import the_service
from tests.support.dicom_peer import DX, RawPeer
from tests.support.faulty_data_sets import ACCESSION, Sent, an_order, refused, scored, whole
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.receivers import store_scp
from tests.support.service import NO_LIMIT
from tests.support.wait import wait_for
from triage.channels.base import Built
from triage.channels.hl7.channel import HL7Channel, Receiver
from triage.channels.hl7.message import ORM, Profile
from triage.channels.sr.channel import SRChannel
from triage.channels.ups.channel import UPSChannel
from triage.channels.webhook.channel import WebhookChannel
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from
from triage.decision.types import ImageAssessment, Priority, PriorityPolicy, Tag, TriageDecision
from triage.dicom.command_set import C_STORE_RQ, Command
from triage.dicom.header_scan import read_identity
from triage.dicom.requestor import RemoteAE
from triage.listener.c_store_scp import IncomingObject, StoreResult, receipt_now
from triage.metrics.worker import WorkerMetrics
from triage.model.session import ModelSession
from triage.runtime.child_pool import DecodePool
from triage.runtime.decode_scheduler import DecodeScheduler
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.batch import BatchScorer, ScoringResources
from triage.scoring.decision_outputs import DecisionOutputs
from triage.scoring.study_decisions import DecisionRules
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.study import Study, read_study, revision

PEER = RemoteAE("127.0.0.1", 1, "PACS", "US", 1.0)
RECEIVER = Receiver("127.0.0.1", 1, 1.0)
CHANNELS = {
    "sr": SRChannel(PEER),
    "hl7": HL7Channel("ris", RECEIVER, Profile()),
    "orders": HL7Channel("ris", RECEIVER, Profile(message=ORM)),
    "ups": UPSChannel(PEER, "CXR triage"),
    "webhook": WebhookChannel("http://127.0.0.1:1/", b"0123456789abcdef", 1.0),
}
SCORED, REFUSED = list(scored()), list(refused())


def name(sent: Sent) -> str:
    return sent.name


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSession]:
    """A model to which everything is normal."""
    folder = tmp_path_factory.mktemp("models")
    card = write_model(folder, "tiny-adult", bias=-10)
    return {card.name: ModelSession(folder / card.name, card, threads=1)}


class Way:
    """A spool and a worker of this process."""

    def __init__(self, spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool) -> None:
        self.spool, self.pool = spool, pool
        self.sessions = sessions
        decoders = DecodeScheduler(pool, pool.processes, 4 << 30)
        self.scorer = BatchScorer(
            ScoringResources(sessions, decoders, AssessmentPolicy(), spool.model_switches.disabled),
            spool,
            DecisionOutputs(WorkerMetrics(CollectorRegistry()), lambda decisions: None),
            DecisionRules(PriorityPolicy()),
        )

    def take(self, sent: Sent) -> StoreResult:
        """Through the listener's own receive path."""
        identity = read_identity(BytesIO(sent.data_set), sent.transfer_syntax_uid)
        command = Command(C_STORE_RQ, 1, True, DX, identity.sop_instance_uid)
        receipt = receipt_now("TEST", "CXR_TRIAGE", "127.0.0.1", sent.transfer_syntax_uid)
        incoming = IncomingObject(self.spool, command, receipt, NO_LIMIT)
        incoming.write(memoryview(sent.data_set))
        return incoming.finish()

    def score(self, sent: Sent) -> tuple[TriageDecision, ImageAssessment]:
        instance = self.stored(sent)
        assert self.scorer.finish(self.scorer.start([instance])) == []
        return self.found(instance)

    def stored(self, sent: Sent) -> ReceivedInstance:
        stored = self.take(sent)
        assert stored.status == 0x0000
        assert stored.instance is not None
        return stored.instance

    def found(self, instance: ReceivedInstance) -> tuple[TriageDecision, ImageAssessment]:
        known = read_study(self.spool, instance.study_instance_uid)
        assert known is not None
        (record,) = self.spool.assessments(instance.study_instance_uid)
        return known[0], assessment_from(record)

    def messages(self, decision: TriageDecision) -> dict[str, bytes]:
        """What each channel that wants the study is to send."""
        known = read_study(self.spool, decision.study_instance_uid)
        assert known is not None
        study = Study(*known, now=0.0, revision=revision(*known, "test", ""))
        built = {name: channel.build(study) for name, channel in CHANNELS.items() if channel.wants(study)}
        return {name: each.payload for name, each in built.items() if isinstance(each, Built)}


@pytest.fixture
def way(spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool) -> Way:
    return Way(spool, sessions, pool)


def assert_reported(messages: dict[str, bytes], accession_number: str) -> None:
    assert {"sr", "hl7", "ups", "webhook"} <= messages.keys()
    report = dcmread(BytesIO(messages["sr"]))
    assert (report.AccessionNumber, report.StudyInstanceUID) == (accession_number, report.StudyInstanceUID)
    assert report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert hl7.parse(messages["hl7"].decode()).segment("OBR")[18][0] == accession_number
    workitem = dcmread(BytesIO(messages["ups"]))
    assert workitem.ReferencedRequestSequence[0].AccessionNumber == accession_number


@pytest.mark.parametrize("sent", REFUSED, ids=name)
def test_a_damaged_object_keeps_its_order_and_gets_its_report(way: Way, sent: Sent) -> None:
    decision, assessment = way.score(sent)

    assert (decision.tag, decision.reasons) == (Tag.NOT_ASSESSED, (Reason.UNDECODABLE,))
    assert assessment.detail.startswith(f"the data set is damaged: {sent.detail}")
    assert decision.accession_number == ACCESSION
    assert decision.priority is Priority.HIGH
    assert assessment.series_instance_uid == an_order().SeriesInstanceUID
    assert_reported(way.messages(decision), ACCESSION)


@pytest.mark.parametrize("sent", SCORED, ids=name)
def test_an_odd_object_whose_image_is_whole_gets_the_same_score(way: Way, sent: Sent, tmp_path: Path) -> None:
    decision, _ = way.score(sent)
    intact = Way(Spool.open(tmp_path / "other"), way.sessions, way.pool)
    same, _ = intact.score(Sent("", whole(sent.transfer_syntax_uid), sent.transfer_syntax_uid, ""))

    assert (decision.tag, decision.probability) == (Tag.NORMAL, same.probability)
    assert (decision.accession_number, decision.priority) == (ACCESSION, Priority.HIGH)
    assert_reported(way.messages(decision), ACCESSION)


def test_an_object_that_no_worker_survives_keeps_its_order_and_gets_its_report(way: Way) -> None:
    instance = way.stored(Sent("", whole(ExplicitVRLittleEndian), ExplicitVRLittleEndian, ""))

    way.scorer.give_up(instance, "the decoder died", 3)

    known = read_study(way.spool, instance.study_instance_uid)
    assert known is not None
    assert known[0].reasons == (Reason.WORKER_FAILURE,)
    assert (known[0].accession_number, known[0].priority) == (ACCESSION, Priority.HIGH)
    assert_reported(way.messages(known[0]), ACCESSION)


@pytest.fixture(scope="module")
def field_cases(triage_data: Path) -> Iterator[tuple[Path, dict[str, dict[str, str]]]]:
    folder = triage_data / "field-cases"
    with (folder / "cases.csv").open() as file:
        yield folder, {each["case"]: each for each in csv.DictReader(file)}


CUT = ("N07h", "N07i", "N07k", "O01b", "O01d")
DESCRIBED_BY_WHAT_IS_BROKEN = ("N07n", "N07o", "O02a", "O02b", "O02c", "O02d", "O02e", "O02f", "O02g")
WHOLE = ("N05d", "N06a", "N06b", "N06c", "O02h", "O02k", "O02m")


@pytest.mark.parametrize("case", (*CUT, *DESCRIBED_BY_WHAT_IS_BROKEN, *WHOLE))
def test_what_senders_really_sent(field_cases: tuple[Path, dict[str, dict[str, str]]], way: Way, case: str) -> None:
    folder, cases = field_cases
    (path,) = (folder / each["input"] for name, each in cases.items() if name.startswith(case))
    data = path.read_bytes()
    pixels = data.index(b"\xe0\x7f\x10\x00")
    syntax = JPEGBaseline8Bit if data[pixels + 4 : pixels + 6] == b"OB" else ExplicitVRLittleEndian
    at = data.index(b"\x08\x00\x50\x00SH") + 8
    accession_number = data[at : at + 10].decode()

    decision, _ = way.score(Sent(case, data, syntax, ""))

    if case in WHOLE:
        assert decision.tag is Tag.NORMAL
    else:
        assert (decision.tag, decision.reasons) == (Tag.NOT_ASSESSED, (Reason.UNDECODABLE,))
    assert decision.accession_number == accession_number
    assert decision.priority is (Priority.HIGH if b"STAT" in data else Priority.MEDIUM)
    assert_reported(way.messages(decision), accession_number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_service_reports_a_damaged_object_of_a_stat_order(tmp_path: Path) -> None:
    write_model(tmp_path / "models", bias=-10.0)  # everything is normal
    port, (sent,) = free_port(), [each for each in REFUSED if each.name == "not closed"]
    with mllp_listener(acknowledging("AA")) as ris, store_scp() as pacs:
        channels = (
            f'[[channels.sr]]\nname = "pacs"\nhost = "127.0.0.1"\nport = {pacs.port}\ncalled_ae_title = "PACS"\n'
            f'delay_s = 0.0\n[[channels.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {ris.port}\n'
        )
        with the_service(tmp_path, port, channels):
            with RawPeer(port) as peer:
                peer.associate(JPEGBaseline8Bit)
                peer.send_store(DX, an_order().SOPInstanceUID, sent.data_set)
                assert peer.status() == 0x0000
            wait_for(lambda: ris.received and pacs.received, "the reports", timeout_s=120)
    assert ris.fields("OBR")[18] == ACCESSION
    assert ris.fields("OBX|1|")[5].startswith("NOT_ASSESSED")
    report = dcmread(BytesIO(pacs.received[0]), force=True)
    assert (report.AccessionNumber, report.Modality) == (ACCESSION, "SR")
    record = Spool.open(tmp_path / "spool").decision(an_order().StudyInstanceUID)
    assert record is not None
    assert (record["tag"], record["priority"], record["reasons"]) == ("NOT_ASSESSED", "HIGH", ["undecodable"])
