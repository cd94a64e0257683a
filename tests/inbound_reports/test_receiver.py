"""Report messages over real sockets, from HL7's own client: what leaves the list, what stays, and what is answered."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hl7.client import MLLPClient
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.support.clocks import jumped
from tests.support.lost_objects import LostSpool
from tests.support.redis_server import RedisServer
from tests.support.report_sender import Answer, order, report, station
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.hl7.message import SERVICE
from triage.decision.types import Tag
from triage.dicom.identity import patient_marks
from triage.spool.clock import Clock
from triage.spool.spool import Spool
from triage.worklist import index_keys as keys
from triage.worklist.reader_acts import Act, acts_of


def of(patient: str, accession: str = "ACC-1", **more: Any) -> dict[str, Any]:
    return {"attributes": {"PatientID": patient, "AccessionNumber": accession, **more}, "accession_number": accession}


def test_a_final_report_takes_its_study_off_the_list_and_says_by_whom(redis_server: RedisServer, spool: Spool) -> None:
    study, other = a_study(spool), a_study(spool, **of("P-2", "ACC-2"))
    with station(redis_server, spool) as place:
        said = place.send(report("77", obr32="7&Lee&Ann"))
        assert (said.code, said.about) == ("AA", "77")
        assert place.listed() == {other}
        assert place.counted("read") == 1
    (step,) = acts_of(spool, study)
    assert (step.act, step.who, step.through, step.source) == (Act.READ, "Ann Lee", "report", "RIS|HOSPITAL|77")
    assert acts_of(spool, other) == []


@pytest.mark.parametrize("place_of", [18, 3])
def test_the_accession_number_may_be_in_several_places(redis_server: RedisServer, spool: Spool, place_of: int) -> None:
    a_study(spool)
    with station(redis_server, spool) as place:
        assert place.send(report(accession="ACC-1^RIS" if place_of == 3 else "ACC-1", place=place_of)).code == "AA"
        assert place.listed() == set()


@pytest.mark.parametrize("where", ["uid", "zds"])
def test_a_study_instance_uid_goes_first(redis_server: RedisServer, spool: Spool, where: str) -> None:
    study, same_order = a_study(spool), a_study(spool)
    with station(redis_server, spool) as place:
        assert place.send(report(**{where: study})).code == "AA"
        assert place.listed() == {same_order}


@pytest.mark.parametrize("number", ["ACC-1", "ACC-2"])
def test_a_study_of_two_orders_is_told_by_its_uid_and_either_number(
    redis_server: RedisServer, spool: Spool, number: str
) -> None:
    study = a_study(spool, accession_number="ACC-1\\ACC-2")
    with station(redis_server, spool) as place:
        assert place.send(report(accession=number)).code == "AA"
        assert place.listed() == {study}  # one of its orders is reported: who knows of the other
        assert place.send(report("2", accession=number, uid=study)).code == "AA"
        assert place.listed() == set()


def test_all_studies_of_one_order_of_one_patient_were_read(redis_server: RedisServer, spool: Spool) -> None:
    a_study(spool), a_study(spool)
    with station(redis_server, spool) as place:
        assert place.send(report()).code == "AA"
        assert place.listed() == set()


NOTHING = {
    "other_status": [report(status="P"), report(status="S"), report(status=""), order("9", "SC", "CM")],
    "unmatched": [report(accession="ACC-9"), report(accession=""), report(place=2), report(accession="ACC-", place=18)],
    "own": [report(obr4=SERVICE), report(obr4=f"1^X^LN^{SERVICE}"), report(sender="CXR_TRIAGE|")],
    "test": [report(msh11="T"), report(msh11="D")],
}


@pytest.mark.parametrize("outcome", NOTHING)
def test_what_says_nothing_of_a_read_study_changes_nothing(
    redis_server: RedisServer, spool: Spool, outcome: str
) -> None:
    study = a_study(spool)
    with station(redis_server, spool, frozenset({("CXR_TRIAGE", "")}), remember_hours=0) as place:
        for message in NOTHING[outcome]:
            assert place.send(message).code == "AA"
        assert (place.listed(), place.counted(outcome)) == ({study}, len(NOTHING[outcome]))
    assert acts_of(spool, study) == []


@pytest.mark.parametrize("kind", ["ADT^A08", "MDM^T02", "ORU^R40"])
def test_a_message_that_reports_nothing_is_accepted_with_a_word_so_that_its_engine_goes_on(
    redis_server: RedisServer, spool: Spool, kind: str
) -> None:
    study = a_study(spool)
    with station(redis_server, spool) as place:
        said = place.send(report(msh9=kind))
        assert (said.code, place.listed(), place.counted("other_kind")) == ("AA", {study}, 1)
        assert "nothing was changed" in said.text


def test_a_kind_without_its_event_is_what_it_was_before_there_were_events(
    redis_server: RedisServer, spool: Spool
) -> None:
    a_study(spool)
    with station(redis_server, spool) as place:
        assert place.send(report(msh9="ORU")).code == "AA"
        assert place.listed() == set()


def issued(authority: str, qualifier: str = "") -> dict[str, Any]:
    """A study whose images say who issued the patient's ID and the accession number."""
    number = Dataset()
    number.LocalNamespaceEntityID = authority
    attributes: dict[str, Any] = {"IssuerOfPatientID": authority, "IssuerOfAccessionNumberSequence": [number]}
    if qualifier:
        item = Dataset()
        item.UniversalEntityID, item.UniversalEntityIDType = qualifier, "ISO"
        attributes["IssuerOfPatientIDQualifiersSequence"] = [item]
    return {"attributes": attributes, "accession_issuer": authority}


def of_issuer(authority: str, number: str = "") -> str:
    """A report of a patient of an issuer; ``number`` is the accession number, in OBR-3."""
    message = report(place=3, accession=number) if number else report()
    return message.replace("P-1^^^HOSPITAL^MR", f"P-1^^^{authority}^MR")


def test_a_report_that_says_of_no_patient_takes_nothing_off_the_list(redis_server: RedisServer, spool: Spool) -> None:
    studies = {a_study(spool, **of("P-2", f"ACC-{number}")) for number in range(6)}
    segments = report(patient="", accession="ACC-0").split("\r")
    orders = [segments[2].replace("ACC-0", f"ACC-{number}") for number in range(6)]
    for patient in ([segments[1]], []):
        with station(redis_server, spool) as place:
            said = place.send("\r".join([segments[0], *patient, *orders, ""]))
            assert (said.code, place.listed(), place.counted("no_patient")) == ("AE", studies, 1)
            assert "PID-3" in said.text


def test_a_site_may_take_reports_without_a_patient(
    redis_server: RedisServer, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(4):
        a_study(spool, **of("P-2"))
    with station(redis_server, spool, patient_required=False) as place:
        assert place.send(report(patient="")).code == "AA"
        assert place.listed() == set()
        assert place.registry.get_sample_value("cxr_triage_studies_reported_total") == 4
    assert "took 4 studies off the list at once" in caplog.text


@pytest.mark.parametrize(
    ("authority", "settings", "code"),
    [
        ("", {}, "AA"),
        ("NORTH", {}, "AA"),
        ("north", {}, "AA"),
        ("SOUTH", {}, "AE"),
        ("SOUTH", {"same_issuers": ("South = NORTH",)}, "AA"),
        ("NORTH&1.2.3&ISO", {}, "AA"),
        ("SOUTH&1.2.3&ISO", {}, "AA"),
        ("NORTH&9.9.9&ISO", {}, "AE"),
    ],
)
def test_a_patient_id_of_another_issuer_is_another_patient(
    redis_server: RedisServer, spool: Spool, authority: str, settings: dict[str, Any], code: str
) -> None:
    study = a_study(spool, **issued("NORTH", "1.2.3"))
    with station(redis_server, spool, **settings) as place:
        assert place.send(of_issuer(authority)).code == code
        assert place.listed() == (set() if code == "AA" else {study})


@pytest.mark.parametrize(("number", "read"), [("ACC-1", True), ("ACC-1^NORTH", True), ("ACC-1^SOUTH", False)])
def test_an_accession_number_of_another_issuer_is_another_order(
    redis_server: RedisServer, spool: Spool, number: str, read: bool
) -> None:
    study = a_study(spool, **issued("NORTH"))
    with station(redis_server, spool) as place:
        assert place.send(of_issuer("NORTH", number)).code == "AA"
        assert place.listed() == (set() if read else {study})


@pytest.mark.parametrize(
    ("stated", "number", "authority", "read"),
    [
        ("numbers", "ACC-1", "", False),  # who gave the accession number, and nothing of the patient's ID
        ("numbers", "ACC-1", "NORTH", False),
        ("numbers", "ACC-1^NORTH", "", True),
        ("qualifiers", "ACC-1", "", False),  # who gave the patient's ID, by universal IDs alone
        ("qualifiers", "ACC-1^NORTH", "", False),
        ("qualifiers", "ACC-1", "&1.2.3&ISO", True),
    ],
)
def test_one_number_of_two_hospitals_takes_off_neither_unless_the_report_says_whose(
    redis_server: RedisServer, spool: Spool, stated: str, number: str, authority: str, read: bool
) -> None:
    """The same accession number, and the same patient ID, which another patient has at the other hospital."""
    studies = [issued("NORTH", "1.2.3"), issued("SOUTH", "9.9.9")]
    for each in studies:
        del each["attributes"]["IssuerOfPatientID"]
        if stated == "numbers":
            del each["attributes"]["IssuerOfPatientIDQualifiersSequence"]
        else:
            each["accession_issuer"] = ""
    north, south = (a_study(spool, **each) for each in studies)
    with station(redis_server, spool) as place:
        assert place.send(of_issuer(authority, number)).code == ("AA" if read else "AE")
        assert place.listed() == ({south} if read else {north, south})
        assert place.counted("ambiguous") == (not read)


def test_a_uid_beside_its_number_of_another_issuer_is_a_mistake(redis_server: RedisServer, spool: Spool) -> None:
    study = a_study(spool, **issued("NORTH"))
    with station(redis_server, spool, same_issuers=("RIS = NORTH",)) as place:
        for issuer, code in (("SOUTH", "AE"), ("RIS", "AA")):
            message = report(place=3, accession=f"ACC-1^{issuer}", uid=study).replace("^^^HOSPITAL^MR", "^^^NORTH^MR")
            assert place.send(message).code == code
            assert place.listed() == ({study} if code == "AE" else set())
        assert place.counted("contradictory") == 1


REFUSED = {
    "other_patient": ("AE", report(patient="P-9")),
    "contradictory": ("AE", None),
    "malformed": ("AE", report().replace("OBR|", "OBS|")),
}


@pytest.mark.parametrize("outcome", REFUSED)
def test_what_is_in_doubt_is_refused_with_why_and_changes_nothing(
    redis_server: RedisServer, spool: Spool, outcome: str
) -> None:
    study = a_study(spool)
    code, message = REFUSED[outcome]
    with station(redis_server, spool) as place:
        said = place.send(message or report(uid=study, accession="ACC-7"))
        assert (said.code, said.about) == (code, "1")
        assert said.text and said.segments["ERR"][8] == said.text
        assert (place.listed(), place.counted(outcome)) == ({study}, 1)
    assert acts_of(spool, study) == []


def test_an_accession_number_of_several_patients_is_resolved_by_the_patient_or_not_at_all(
    redis_server: RedisServer, spool: Spool
) -> None:
    one, two = a_study(spool), a_study(spool, **of("P-2"))
    with station(redis_server, spool) as place:
        assert place.send(report("1", patient="P-1^^^A~P-2")).code == "AE"
        assert (place.listed(), place.counted("ambiguous")) == ({one, two}, 1)
        assert place.send(report("2", patient="p-2")).code == "AA"
        assert place.listed() == {one}


def test_a_message_of_two_orders_is_taken_whole_or_not_at_all(redis_server: RedisServer, spool: Spool) -> None:
    one, two = a_study(spool), a_study(spool, **of("P-2", "ACC-2"))
    both = report("5") + report("6", accession="ACC-2", patient="P-2").split("\r", 1)[1]
    wrong = report("7") + report("8", accession="ACC-2", patient="P-1").split("\r", 1)[1]
    with station(redis_server, spool) as place:
        assert place.send(wrong).code == "AE"
        assert place.listed() == {one, two}
        assert place.send(both).code == "AA"
        assert place.listed() == set()


def late_image(spool: Spool, study: str) -> None:
    add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
    settle(spool, study)


def test_a_late_image_lists_the_study_again_and_the_same_message_does_not_take_it_off(
    redis_server: RedisServer, spool: Spool
) -> None:
    study = a_study(spool, tag=Tag.NORMAL)
    with station(redis_server, spool) as place:
        place.send(report("1"))
        assert place.listed() == set()
        late_image(spool, study)
        place.index_all()
        assert place.listed() == {study}
        assert place.send(report("1")).code == "AA"
        assert (place.listed(), place.counted("repeated")) == ({study}, 1)
        assert place.send(report("2", status="C")).code == "AA"
        assert place.listed() == set()


def test_a_report_that_was_made_before_the_newest_image_leaves_the_study_listed(
    redis_server: RedisServer, spool: Spool
) -> None:
    study = a_study(spool, tag=Tag.NORMAL)
    made = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(time.time() - 60))
    with station(redis_server, spool) as place:
        said = place.send(report("1", obr22=made))
        assert (said.code, place.counted("outdated"), place.listed()) == ("AA", 1, {study})
        assert [each.act for each in acts_of(spool, study)] == [Act.OUTDATED]
        ahead = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(time.time() + 3600))
        assert place.send(report("2", obr22=ahead)).code == "AA"
        assert place.listed() == set()


def test_a_report_that_came_late_does_not_undo_what_a_reader_did(redis_server: RedisServer, spool: Spool) -> None:
    a_study(spool)
    made = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(time.time() - 60))
    with station(redis_server, spool) as place:
        place.send(report("1"))
        place.send(report("2", obr22=made))
        place.index_all()
        assert place.listed() == set()


def test_preliminary_reports_and_completed_orders_count_where_the_site_says_so(
    redis_server: RedisServer, spool: Spool
) -> None:
    study = a_study(spool)
    with station(redis_server, spool, order_statuses=("CM",)) as place:
        for nothing in (order("1", "CA", "CA"), order("2", "NW", "CM"), order("3", "SC", "IP"), order("4", "XO", "CM")):
            assert place.send(nothing).code == "AA"
        assert place.listed() == {study}
        assert place.send(order("5", "SC", "CM")).code == "AA"
        assert place.listed() == set()
    a_study(spool)
    with station(redis_server, spool, result_statuses=("P", "F")) as place:
        place.send(report("6", status="P"))
        assert place.listed() == set()


def test_only_the_senders_of_the_settings_are_heard(redis_server: RedisServer, spool: Spool) -> None:
    study = a_study(spool)
    with station(redis_server, spool, sending_applications=("RIS",), sending_facilities=("HOSPITAL",)) as place:
        for stranger in ("EVIL|HOSPITAL", "RIS|", "|"):
            assert place.send(report(sender=stranger)).code == "AE"
        assert (place.listed(), place.counted("refused")) == ({study}, 3)
        assert place.send(report()).code == "AA"
        assert place.listed() == set()


@pytest.mark.parametrize(
    ("msh18", "encoding", "name"),
    [
        ("", "latin-1", "MÜLLER^JÖRG"),
        ("8859/1", "latin-1", "MÜLLER^JÖRG"),
        ("8859/5", "iso8859_5", "Люкceмбypг"),
        ("UNICODE UTF-8", "utf-8", "山田^太郎"),
        ("ASCII~ISO IR87", "iso2022_jp", "山田^太郎"),
        ("GB 18030-2000", "gb18030", "誖誯誰誱~課"),
    ],
)
def test_names_in_any_character_set_move_no_field(
    redis_server: RedisServer, spool: Spool, msh18: str, encoding: str, name: str
) -> None:
    a_study(spool)
    with station(redis_server, spool) as place:
        # In the name of who ordered it, too, which stands before the accession number.
        message = report(msh18=msh18, name=name, obr4="1^X^LN").replace("|1^X^LN|", f"|1^{name.split('^')[0]}^LN|")
        assert place.send(message, encoding).code == "AA"
        assert place.listed() == set()


def test_an_unknown_character_set_is_refused_if_the_message_needs_it(redis_server: RedisServer, spool: Spool) -> None:
    a_study(spool)
    with station(redis_server, spool) as place:
        assert place.send(report(msh18="CNS 11643-1992", name="陳^大文"), "big5").code == "AE"
        assert place.send(report(msh18="CNS 11643-1992")).code == "AA"
        assert place.listed() == set()


def test_a_commit_acknowledgement_is_given_where_no_more_is_asked_for(redis_server: RedisServer, spool: Spool) -> None:
    a_study(spool)
    with station(redis_server, spool) as place:
        assert place.send(report("1", msh15="AL", patient="P-9")).code == "CE"
        assert place.send(report("2", msh15="AL")).code == "CA"
        assert place.listed() == set()


def test_while_redis_is_away_the_sender_is_told_to_send_it_again_and_then_it_counts(
    redis_server: RedisServer, spool: Spool
) -> None:
    study = a_study(spool)
    with station(redis_server, spool) as place:
        redis_server.kill()
        assert place.send(report("1", uid=study)).code == "AR"
        assert place.counted("failed") == 1
        redis_server.start()
        assert place.send(report("2")).code == "AR"  # started anew: the index is not whole
        place.index.end_building(place.index.begin_building())
        assert place.send(report("1", uid=study)).code == "AA"
        place.index_all()
        assert place.listed() == set()
        assert [each.act for each in acts_of(spool, study)] == [Act.READ]


def test_a_study_that_is_not_tagged_yet_is_asked_for_again(redis_server: RedisServer, spool: Spool) -> None:
    from tests.support.service import a_chest, receive

    instance = receive(spool, a_chest())
    with station(redis_server, spool) as place:
        assert place.send(report(uid=instance.study_instance_uid)).code == "AR"


def test_nothing_of_the_patient_is_logged_or_answered(
    redis_server: RedisServer, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    a_study(spool)
    with station(redis_server, spool) as place:
        answers = [
            place.send(report("1", patient="SECRET-1", name="SECRET^JOHN")),
            place.send(report("2", name="SECRET^JOHN", obr32="1&SECRET&ANN")),
            place.send(report("3", accession="SECRET-2")),
            place.send("MSH|^~\\&|RIS||||||ORU^R01|4|P|2.5\rPID|1||SECRET-3\r"),
        ]
    assert "SECRET" not in caplog.text + str(answers)
    assert "RIS HOSPITAL 2: AA" in caplog.text


def test_many_messages_over_one_connection_are_answered_in_turn(redis_server: RedisServer, spool: Spool) -> None:
    studies = [a_study(spool, **of(f"P-{number}", f"ACC-{number}")) for number in range(5)]
    with station(redis_server, spool) as place, MLLPClient("127.0.0.1", place.port) as client:
        assert len(place.listed()) == len(studies)
        for number in range(5):
            answer = Answer.of(
                client.send_message(report(str(number), accession=f"ACC-{number}", patient=f"P-{number}"))
            )
            assert (answer.code, answer.about) == ("AA", str(number))
        assert place.listed() == set()


def test_a_report_of_one_patient_takes_no_study_of_two_off_the_list(redis_server: RedisServer, spool: Spool) -> None:
    study = str(generate_uid())
    for patient in ("P-1", "P-2"):
        image = a_radiograph(study, PatientID=patient)
        add_image(spool, image, tag=Tag.NORMAL, probability=0.1, patient=patient_marks(image))
    settle(spool, study)
    with station(redis_server, spool) as place:
        for message in (report(patient="P-1"), report(patient="P-1", uid=study), report(patient="P-2")):
            assert place.send(message).code == "AE"
        assert place.listed() == {study}


def test_what_redis_says_of_an_accession_number_counts_where_the_files_say_it(
    redis_server: RedisServer, spool: Spool
) -> None:
    study = a_study(spool, **of("P-1", "ACC-2"))
    with station(redis_server, spool) as place:
        redis_server.client().zadd(keys.ACCESSIONS, {f"ACC-1\n{study}": 0})
        assert (place.send(report()).code, place.listed()) == ("AA", {study})


def test_while_no_image_can_be_read_no_report_is_matched_and_each_is_asked_for_again(
    redis_server: RedisServer, spool: Spool
) -> None:
    lost = LostSpool.open(spool.root)
    study = a_study(lost, **of("P-1"))
    with station(redis_server, lost) as place:
        lost.lost = lost.away = True
        for number, others in enumerate(({"uid": study}, {"accession": "ACC-1"})):
            for patient in ("P-1", "P-2"):
                said = place.send(report(f"{number}{patient}", patient=patient, **others))
                assert said.code == "AR" and "send it again" in said.text
        assert place.listed() == {study} and acts_of(spool, study) == []
        lost.lost = lost.away = False
        assert place.send(report("0P-2", patient="P-2", uid=study)).code == "AE"
        assert place.send(report("0P-1", patient="P-1", uid=study)).code == "AA"
        assert place.listed() == set()


def test_a_study_without_a_patient_id_is_told_by_its_uid_alone(redis_server: RedisServer, spool: Spool) -> None:
    study, other = a_study(spool, **of("")), a_study(spool, **of("P-1"))
    with station(redis_server, spool) as place:
        assert (place.send(report("1", patient="P-9")).code, place.counted("no_patient")) == ("AE", 0)
        assert (place.send(report("2")).code, place.listed()) == ("AA", {study})
    with station(redis_server, spool) as place:
        assert place.send(report("3", uid=study)).code == "AA"
        assert place.listed() == set()
    assert read_of(spool, other) == ["report"]


def read_of(spool: Spool, study: str) -> list[str]:
    return [each.through for each in acts_of(spool, study) if each.act is Act.READ]


@pytest.mark.parametrize(("required", "code"), [(True, "AE"), (False, "AA")])
def test_an_accession_number_takes_off_no_study_without_a_patient_id_where_patients_are_required(
    redis_server: RedisServer, spool: Spool, required: bool, code: str
) -> None:
    study = a_study(spool, **of(""))
    with station(redis_server, spool, patient_required=required) as place:
        assert place.send(report(patient="P-9")).code == code
        assert place.counted("no_patient") == (1 if required else 0)
        assert place.listed() == ({study} if required else set())


def test_while_the_clock_is_in_doubt_no_report_takes_a_study_off_the_list(
    redis_server: RedisServer, spool: Spool
) -> None:
    """The clock was set back by a day before the image came: a report that is older looks as if it were newer."""
    study = a_study(spool, received_at=time.time() - 24 * 3600)
    jumped(spool)
    made = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(time.time() - 3600))
    with station(redis_server, spool) as place:
        said = place.send(report("1", obr22=made))
        assert (said.code, place.listed(), place.counted("in_doubt")) == ("AA", {study}, 1)
        assert "triage clock" in said.text
        assert [each.act for each in acts_of(spool, study)] == [Act.IN_DOUBT]
        Clock(spool).trust()
        assert place.send(report("2", obr22=made)).code == "AA"
        assert place.listed() == set()


def test_what_was_said_at_no_time_is_not_remembered_while_the_clock_is_in_doubt(
    redis_server: RedisServer, spool: Spool
) -> None:
    made = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(time.time() - 3600))
    jumped(spool)
    with station(redis_server, spool) as place:
        place.send(report("1"))
        assert (place.counted("unmatched"), place.counted("remembered")) == (1, 0)
        place.send(report("2", obr22=made))
        assert place.counted("remembered") == 1
