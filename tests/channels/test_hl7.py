"""HL7 messages and their delivery to an independent MLLP listener on real sockets."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hl7
import pytest
from prometheus_client import CollectorRegistry
from pydicom.dataset import Dataset

from tests.delivery.test_deliverer import Clock, states
from tests.support.certificates import authority, server_context
from tests.support.hl7_examples import example
from tests.support.mllp_listener import (
    Answer,
    Listener,
    acknowledgement,
    acknowledging,
    control_id_of,
    framed,
    in_turn,
    mllp_listener,
)
from tests.support.ports import free_port
from tests.support.receivers import silent_port
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.hl7.settings import HL7Destination
from triage.channels.registry import channel_of
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.hl7.text import escape, extended_person_name, of_dicom
from triage.metrics.delivery import DeliveryMetrics
from triage.spool.spool import Spool


def a_deliverer(spool: Spool, port: int, clock: Any = None, **settings: Any) -> Deliverer:
    values = {"name": "ris", "host": "127.0.0.1", "port": port, "timeout_s": 5.0}
    destination = HL7Destination(**{**values, **settings})
    outbox = Outbox(spool)
    outbox.prepare([destination.name])
    metrics = DeliveryMetrics(CollectorRegistry())
    return Deliverer(spool, outbox, destination, channel_of(destination), metrics, now=clock or Clock())


def delivered(spool: Spool, study: str, answer: Answer | None = None, **settings: Any) -> Listener:
    """What a listener got of one study."""
    with mllp_listener(answer or acknowledging("AA")) as listener:
        deliverer = a_deliverer(spool, listener.port, **settings)
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    return listener


# What a message says.


def test_a_result_is_preliminary_and_says_what_we_found(spool: Spool):
    study = a_study(spool, "ris", tag=Tag.ABNORMAL)
    listener = delivered(spool, study, sending_facility="HOSPITAL", receiving_application="RIS")
    message = hl7.parse(listener.received[0].decode())

    assert listener.segments() == ["MSH", "PID", "OBR", "TQ1", "OBX", "OBX", "OBX", "OBX"]
    msh = listener.fields("MSH")
    assert msh[2:6] == ["CXR_TRIAGE", "HOSPITAL", "RIS", ""]
    assert msh[8] == "ORU^R01^ORU_R01"
    assert msh[10:12] == ["P", "2.5.1"]
    assert 0 < len(msh[9]) <= 20
    obr = listener.fields("OBR")
    assert obr[4] == "CXRTRIAGE^Chest radiograph triage^99CXRTRIAGE"
    assert (obr[18], obr[25]) == ("ACC-1", "P")
    said = {str(obx[3][0][0]): obx for obx in message.segments("OBX")}
    assert str(said["tag"][5]) == "ABNORMAL^Abnormal^99CXRTRIAGE"
    assert (str(said["tag"][2]), str(said["tag"][8])) == ("CWE", "A")
    assert (str(said["probability"][2]), str(said["probability"][5])) == ("NM", "0.91")
    assert str(said["model"][5]) == "rsna-adult 1"
    assert str(said["110180"][5]) == study
    assert {str(obx[11]) for obx in said.values()} == {"P"}


@pytest.mark.parametrize(
    ("tag", "flag", "reasons"),
    [(Tag.ABNORMAL, "A", ()), (Tag.NORMAL, "N", ()), (Tag.NOT_ASSESSED, "", (Reason.UNDECODABLE,))],
)
def test_the_abnormal_flag_follows_the_tag(spool: Spool, tag: Tag, flag: str, reasons: tuple[Reason, ...]):
    listener = delivered(spool, a_study(spool, "ris", tag=tag, reasons=reasons))

    assert listener.fields("OBX|1|")[8] == flag
    assert ("TQ1" in listener.segments()) == (tag is Tag.ABNORMAL)
    if reasons:
        assert any("undecodable^Undecodable^99CXRTRIAGE" in line for line in listener.received[0].decode().split("\r"))


def test_the_order_is_named_by_placer_and_filler(spool: Spool):
    request = Dataset()
    request.PlacerOrderNumberImagingServiceRequest = "PL|1"
    request.FillerOrderNumberImagingServiceRequest = "FI-1"
    listener = delivered(spool, a_study(spool, "ris", attributes={"RequestAttributesSequence": [request]}))

    assert listener.fields("OBR")[2:4] == ["PL\\F\\1", "FI-1"]


@pytest.mark.parametrize(
    ("settings", "segment", "number", "value"),
    [
        ({}, "TQ1", 9, "A^ASAP^HL70485"),
        ({"priority_code": "S"}, "TQ1", 9, "S^Stat^HL70485"),
        ({"priority_in": "OBR-27"}, "OBR", 27, "^^^^^A"),
        ({"priority_in": "segment", "priority_segment": "ZPR|{priority}|{accession_number}"}, "ZPR", 2, "ACC-1"),
        ({"accession_in": "OBR-3"}, "OBR", 3, "ACC-1"),
    ],
)
def test_priority_and_accession_go_where_the_site_says(
    spool: Spool, settings: dict[str, Any], segment: str, number: int, value: str
):
    listener = delivered(spool, a_study(spool, "ris"), **settings)

    assert listener.fields(segment)[number] == value


def test_an_order_is_changed_only_for_a_raised_study_and_once(spool: Spool):
    code = Dataset()
    code.CodeValue, code.CodeMeaning, code.CodingSchemeDesignator = "XRCHEST", "Chest PA", "L"
    raised = a_study(spool, "ris", attributes={"ProcedureCodeSequence": [code]})
    a_study(spool, "ris", tag=Tag.NORMAL)
    listener = delivered(spool, raised, message="ORM^O01")

    assert len(listener.received) == 1
    assert listener.segments() == ["MSH", "PID", "ORC", "OBR"]
    assert listener.fields("MSH")[8] == "ORM^O01^ORM_O01"
    assert listener.fields("ORC")[1] == "XO"
    assert listener.fields("ORC")[7] == "^^^^^A"
    assert listener.fields("OBR")[4] == "XRCHEST^Chest PA^L"
    assert listener.fields("OBR")[27] == "^^^^^A"


def test_an_order_that_no_ris_could_find_is_not_changed(spool: Spool):
    study = a_study(spool, "ris", attributes={"AccessionNumber": ""})
    deliverer = a_deliverer(spool, free_port(), message="ORM^O01")
    deliverer.build()

    assert states(deliverer, study) == []
    assert deliverer.outbox.marked("ris") == []


def test_nothing_is_sent_of_a_prior(spool: Spool):
    study = a_study(spool, "ris", attributes={"AcquisitionDate": "20200101"})
    deliverer = a_deliverer(spool, free_port())
    deliverer.build()

    assert spool.decision(study)["prior"] is True  # type: ignore[index]
    assert states(deliverer, study) == []


def test_an_update_has_a_new_control_id_and_a_resend_the_same_bytes(spool: Spool):
    study = a_study(spool, "ris", tag=Tag.NORMAL)
    clock = Clock()
    with mllp_listener(in_turn(acknowledging("AR"), acknowledging("AA"))) as listener:
        deliverer = a_deliverer(spool, listener.port, clock)
        deliverer.round()
        clock.at += 100.0
        deliverer.round()
        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.95)
        settle(spool, study, "ris")
        deliverer.round()

    first, again, update = listener.received
    assert first == again
    assert control_id_of(update) != control_id_of(first)
    assert states(deliverer, study) == [DeliveryState.DELIVERED, DeliveryState.DELIVERED]


# Characters and names.


@pytest.mark.parametrize(
    ("dicom", "name", "msh_18", "codec", "shown"),
    [
        ("ISO_IR 100", "Müller^Jürgen^^Dr.^jun.", "8859/1", "latin-1", "Müller^Jürgen^^jun.^Dr.^^L"),
        ("ISO_IR 144", "Люкceмбypг^Роза", "8859/5", "iso8859_5", "Люкceмбypг^Роза^^^^^L"),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "ASCII~ISO IR87",
            "iso2022_jp",
            "Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P",
        ),
        ("ISO_IR 192", "Wang^小東", "UNICODE UTF-8", "utf-8", "Wang^小東^^^^^L"),
        ("GB18030", "Wang^小东", "UNICODE UTF-8", "utf-8", "Wang^小东^^^^^L"),
        ("ISO_IR 6", "DOE^JANE", "", "ascii", "DOE^JANE^^^^^L"),
    ],
)
def test_names_go_out_in_the_characters_of_the_study(
    spool: Spool, dicom: Any, name: str, msh_18: str, codec: str, shown: str
):
    study = a_study(spool, "ris", attributes={"SpecificCharacterSet": dicom, "PatientName": name})
    (message,) = delivered(spool, study).received
    text = message.decode(codec)

    msh, pid = (next(line for line in text.split("\r") if line.startswith(which)) for which in ("MSH", "PID"))
    assert [*msh.split("|"), *[""] * 20][17] == msh_18
    assert ([*msh.split("|"), *[""] * 20][19] == "ISO 2022-1994") == (codec == "iso2022_jp")
    assert pid.split("|")[5] == shown


def test_a_destination_may_have_a_character_set_of_its_own(spool: Spool):
    study = a_study(spool, "ris", attributes={"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^小東"})
    (message,) = delivered(spool, study, character_set="8859/1").received

    assert "Müller^??" in message.decode("latin-1")
    assert b"|8859/1" in message


def test_the_patient_is_identified_with_the_issuer(spool: Spool):
    qualifiers = Dataset()
    qualifiers.UniversalEntityID, qualifiers.UniversalEntityIDType = "1.2.3.4", "ISO"
    attributes = {
        "PatientID": "A&B",
        "IssuerOfPatientID": "HOSP",
        "IssuerOfPatientIDQualifiersSequence": [qualifiers],
        "PatientSex": "F",
        "PatientBirthDate": "19701224",
    }
    pid = delivered(spool, a_study(spool, "ris", attributes=attributes)).fields("PID")

    assert (pid[3], pid[7], pid[8]) == ("A\\T\\B^^^HOSP&1.2.3.4&ISO", "19701224", "F")


def test_delimiters_cannot_break_out_of_a_field():
    assert escape("a|b^c~d&e\\f\rg\x07") == "a\\F\\b\\S\\c\\R\\d\\T\\e\\E\\f\\X0D\\g\\X07\\"
    assert extended_person_name("O|X^Y") == "O\\F\\X^Y^^^^^L"
    assert extended_person_name("") == ""


def test_character_sets_that_do_not_fit_together_become_utf_8():
    assert of_dicom(["ISO 2022 IR 100", "ISO 2022 IR 144"]).codec == "utf-8"
    assert of_dicom([""]).name == ""
    assert of_dicom(["NO SUCH"]).codec == "utf-8"


# What an answer means.


@pytest.mark.parametrize(
    ("code", "settings", "state"),
    [
        ("AA", {}, DeliveryState.DELIVERED),
        ("CA", {}, DeliveryState.DELIVERED),
        ("AR", {}, DeliveryState.WAITING),
        ("CR", {}, DeliveryState.WAITING),
        ("AE", {}, DeliveryState.WAITING),
        ("AE", {"error_tries": 1}, DeliveryState.DEAD),
        ("CE", {"error_tries": 1}, DeliveryState.DEAD),
        ("AE", {"delivered": ("AA", "CA", "AE")}, DeliveryState.DELIVERED),
        ("AR", {"retried": (), "error_tries": 1}, DeliveryState.DEAD),
        ("ZZ", {"error_tries": 1}, DeliveryState.DEAD),
    ],
)
def test_an_acknowledgement_decides(spool: Spool, code: str, settings: Any, state: DeliveryState, caplog: Any):
    study = a_study(spool, "ris")
    with mllp_listener(acknowledging(code, "unknown patient DOE^JANE")) as listener:
        deliverer = a_deliverer(spool, listener.port, **settings)
        deliverer.round()

    (record,) = deliverer.outbox.records(study)
    assert record.state is state
    assert "unknown patient" in record.tries[-1]["detail"]  # for whoever looks into the spool,
    assert "DOE" not in caplog.text  # and not in the log
    assert len(listener.received) == 1


def test_a_receiver_that_refuses_for_ever_makes_a_dead_letter(spool: Spool):
    study = a_study(spool, "ris")
    clock = Clock()
    with mllp_listener(acknowledging("AE")) as listener:
        deliverer = a_deliverer(spool, listener.port, clock, error_tries=3)
        for _ in range(6):
            deliverer.round()
            clock.at += 1000.0

    assert states(deliverer, study) == [DeliveryState.DEAD]
    assert len(listener.received) == 3
    assert deliverer.metrics.attempts.labels("ris", "dead")._value.get() == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda message: b"",  # hangs
        lambda message: None,  # drops
        lambda message: b"\x0bMSH|^~\\&|half an",
        lambda message: framed(b"no HL7 at all"),
        lambda message: framed(b"MSH|^~\\&|||||||ACK|1|P|2.5.1\r"),
        acknowledging("AA", about=b"ANOTHER MESSAGE"),
    ],
    ids=["hangs", "drops", "half", "nonsense", "no MSA", "another's"],
)
def test_whatever_is_no_answer_to_us_is_silence(spool: Spool, answer: Answer):
    study = a_study(spool, "ris")
    clock = Clock()
    with mllp_listener(in_turn(answer, acknowledging("AA"))) as listener:
        deliverer = a_deliverer(spool, listener.port, clock, timeout_s=0.5, own_control_id_only=True)
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.WAITING]
        assert deliverer.outbox.waiting("ris")[0].tries == 1
        clock.at += 100.0
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert len(set(listener.received)) == 1


def test_a_second_acknowledgement_of_an_earlier_message_confuses_nobody(spool: Spool):
    first, second = a_study(spool, "ris"), a_study(spool, "ris")

    def twice(message: bytes) -> bytes:
        identifier = control_id_of(message)
        return framed(acknowledgement("CA", identifier)) + framed(acknowledgement("AE", identifier))

    with mllp_listener(twice) as listener:
        deliverer = a_deliverer(spool, listener.port)
        deliverer.round()

    assert [*states(deliverer, first), *states(deliverer, second)] == [DeliveryState.DELIVERED, DeliveryState.DELIVERED]
    assert len(listener.connections) == 1


def test_a_receiver_may_close_after_each_answer(spool: Spool):
    studies = [a_study(spool, "ris") for _ in range(5)]
    with mllp_listener(acknowledging("AA"), hangs_up=True) as listener:
        deliverer = a_deliverer(spool, listener.port)
        deliverer.round()

    assert [states(deliverer, study) for study in studies] == [[DeliveryState.DELIVERED]] * 5
    assert len(set(listener.received)) == 5


def test_while_nobody_listens_everything_is_kept(spool: Spool):
    study, port, clock = a_study(spool, "ris"), free_port(), Clock()
    deliverer = a_deliverer(spool, port, clock, tries=1)
    for _ in range(3):
        deliverer.round()
        clock.at += 1000.0
    assert states(deliverer, study) == [DeliveryState.WAITING]
    with mllp_listener(acknowledging("AA"), port=port) as listener:
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert len(listener.received) == 1


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, both in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate


def test_tls_is_spoken_and_the_certificate_checked(spool: Spool, certificate: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    study, clock = a_study(spool, "ris"), Clock()
    with mllp_listener(acknowledging("AA"), tls=context) as listener:
        stranger = a_deliverer(spool, listener.port, clock, tls=True)
        stranger.round()
        assert states(stranger, study) == [DeliveryState.WAITING]
        assert "TLS" in stranger.outbox.pause("ris")[2]
        clock.at += 100.0
        a_deliverer(spool, listener.port, clock, tls=True, tls_ca_file=certificate).round()

    assert states(stranger, study) == [DeliveryState.DELIVERED]
    assert len(listener.received) == 1


def test_a_receiver_that_asks_for_a_certificate_gets_ours_and_a_renewed_one_without_a_restart(
    spool: Spool, tmp_path: Path
):
    ca = authority(tmp_path)
    theirs = ca.certificate("theirs", host="DNS:ris.example")
    ours, study, clock = ca.certificate("ours", days=-1), a_study(spool, "ris"), Clock()
    files = {"tls_ca_file": ca.path, "tls_certificate": ours.path, "tls_key": ours.key}
    with mllp_listener(acknowledging("AA"), tls=server_context(theirs, ca.path)) as listener:
        of_another_name = a_deliverer(spool, listener.port, clock, tls=True, **files)
        of_another_name.round()
        assert "another name" in of_another_name.outbox.pause("ris")[2]
        clock.at += 100.0
        deliverer = a_deliverer(spool, listener.port, clock, tls=True, tls_server_name="ris.example", **files)
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.WAITING]
        ca.certificate("ours")
        clock.at += 100.0
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert len(listener.received) == 1


def test_a_file_of_ours_that_is_missing_is_named_and_the_result_kept(spool: Spool, tmp_path: Path):
    study = a_study(spool, "ris")
    deliverer = a_deliverer(spool, 1, tls=True, tls_ca_file=tmp_path / "gone.pem")
    deliverer.round()

    assert states(deliverer, study) == [DeliveryState.WAITING]
    assert "gone.pem" in deliverer.outbox.pause("ris")[2]


# Trying a destination.


def test_a_test_message_is_marked_as_one_and_the_answer_explained(spool: Spool):
    with mllp_listener(acknowledging("AE", "no such order")) as listener:
        lines = a_deliverer(spool, listener.port).channel.check()

    assert listener.fields("MSH")[10] == "T"
    assert "CXR-TRIAGE-TEST" in listener.fields("PID")[3]
    assert any("AE" in line and "again" in line for line in lines)
    assert any("no such order" in line for line in lines)


def test_a_test_of_a_silent_receiver_says_so(spool: Spool):
    started = time.monotonic()
    with silent_port() as port:
        lines = a_deliverer(spool, port, timeout_s=0.5).channel.check()

    assert any("no answer in time" in line for line in lines)
    assert time.monotonic() - started < 60.0


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("name", "shown"), [("TQ1", ""), ("ORM", ""), ("OBR-27", "OBR|"), ("Z", "ZPR|")])
@pytest.mark.usefixtures("in_utc")
def test_the_worked_examples_in_the_documentation_are_what_is_sent(name: str, shown: str):
    document = (Path(__file__).parents[2] / "docs" / "reference" / "channels.md").read_text()
    lines = [line for line in example(name).splitlines() if line.startswith(shown)]

    assert "```hl7\n" + "\n".join(lines) + "\n```" in document
