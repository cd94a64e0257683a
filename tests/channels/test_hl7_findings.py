"""HL7 messages of a study with several findings: observations, notes and priority."""

from __future__ import annotations

from typing import Any

import pytest

from tests.channels.test_hl7 import a_deliverer, delivered, states
from tests.support.findings import CRITICAL_EFFUSION, a_score, scored
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.ports import free_port
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.hl7.message import Profile, message
from triage.decision.records import decision_from, to_record
from triage.decision.types import ImageAssessment, PriorityPolicy
from triage.decision.urgency import Urgency, UrgencyTable
from triage.spool.spool import Spool
from triage.spool.study import Study, read_study

STAT = {"order_priority": "STAT"}


def a_found_study(
    spool: Spool, *findings: Any, policy: PriorityPolicy = CRITICAL_EFFUSION, study: str = "1.2.3", **changes: Any
) -> str:
    add_image(spool, a_radiograph(study), **{**scored(*findings), **changes})
    settle(spool, study, "ris", policy=policy)
    return study


def read(spool: Spool, study: str) -> Study:
    known = read_study(spool, study)
    assert known is not None
    return Study(*known, now=0.0, revision="a" * 32)


def segments(spool: Spool, study: str, profile: Profile | None = None) -> list[list[str]]:
    content = message(read(spool, study), profile or Profile(), "1").decode()
    return [line.split("|") for line in content.rstrip("\r").split("\r")]


def test_each_finding_and_value_has_an_observation_joined_by_its_sub_id(spool: Spool):
    study = a_found_study(
        spool,
        a_score("effusion", 0.91),
        a_score("nodule", 0.12),
        a_score("fracture", 0.2, negative_means_absent=False),
        a_score("device", 0.8, counts=False, threshold=0.75),
    )
    said = [line for line in segments(spool, study) if line[0] == "OBX" and line[4]]

    by_sub_id: dict[str, list[tuple[str, str, str]]] = {}
    for line in said:
        by_sub_id.setdefault(line[4], []).append((line[3], line[5], line[8]))
    assert by_sub_id["1"] == [
        ("60046008^Pleural effusion^SCT^finding.effusion^Effusion^99CXRTRIAGE", "52101004^Present^SCT", "A"),
        ("finding_score^Highest score of the finding^99CXRTRIAGE", "0.91", ""),
        ("finding_operating_point^Operating point of the finding^99CXRTRIAGE", "0.5", ""),
        ("finding_urgency^Urgency of the finding^99CXRTRIAGE", "critical^Critical^99CXRTRIAGE", ""),
        ("finding_model^Model of the finding^99CXRTRIAGE", "rsna-adult 2", ""),
    ]
    named = {line[4]: (line[3], line[5], line[8]) for line in said if line[3].split("^")[-3].startswith("finding.")}
    assert named["2"] == ("finding.nodule^Nodule^99CXRTRIAGE", "272519000^Absent^SCT", "N")
    assert named["3"] == ("finding.fracture^Fracture^99CXRTRIAGE", "373068000^Undetermined^SCT", "")
    assert named["4"] == ("finding.device^Device^99CXRTRIAGE", "52101004^Present^SCT", "A")
    assert not [line for line in said if line[4] == "4" and line[3].startswith("finding_urgency")]
    assert {line[11] for line in said} == {"P"}
    assert {line[8] for line in segments(spool, study) if line[0] == "OBX"} <= {"", "A", "N"}
    identified = [(line[3], line[4]) for line in segments(spool, study) if line[0] == "OBX"]
    assert len(set(identified)) == len(identified)


def test_notes_before_the_values_say_what_it_is_and_what_was_looked_for(spool: Spool):
    refused = scored(a_score("nodule", 0.4), tag="NOT_ASSESSED", reasons=("out_of_distribution",))["results"]
    found = scored(a_score("effusion", 0.91))
    study = a_found_study(spool, a_score("effusion", 0.91), results=(*found["results"], *refused))
    lines = segments(spool, study)

    assert [line[0] for line in lines[:9]] == ["MSH", "PID", "OBR", "NTE", "NTE", "NTE", "NTE", "NTE", "TQ1"]
    assert [line[3] for line in lines if line[0] == "NTE"] == [
        "AI triage, unverified, of the frontal images.",
        "Urgency of findings: critical.",
        "Looked for: Effusion (present).",
        "Not assessed: Nodule.",
        "Nothing else was looked for.",
    ]
    changed = segments(spool, study, Profile(message="ORM^O01"))
    assert [line[0] for line in changed] == ["MSH", "PID", "ORC", "OBR", *["NTE"] * 5]


def test_a_title_of_other_characters_does_not_change_those_of_the_message(spool: Spool):
    study = a_found_study(spool, a_score("effusion", 0.91, title="胸水", code=None))

    assert [line[3] for line in segments(spool, study) if line[0] == "NTE"][2] == "Looked for: effusion (present)."


@pytest.mark.parametrize(
    ("found", "order", "override", "code"),
    [
        ("effusion", "", "", "S"),
        ("fracture", "", "", "A"),
        ("fracture", "HIGH", "", "A"),
        ("fracture", "STAT", "", "S"),
        ("fracture", "STAT", "A", "S"),
        ("fracture", "HIGH", "R", "A"),
        ("effusion", "", "A", "A"),
        ("effusion", "STAT", "urgent!", "urgent!"),
        ("nodule", "", "", None),
        ("nodule", "STAT", "S", None),
        ("none", "STAT", "", None),
    ],
)
@pytest.mark.parametrize("kind", ["ORU^R01", "ORM^O01"])
def test_the_priority_is_that_of_the_urgency_and_never_below_the_order_s(
    spool: Spool, kind: str, found: str, order: str, override: str, code: str | None
):
    names = ("effusion", "fracture", "nodule")
    findings = [a_score(name, 0.9 if name == found else 0.1) for name in names]
    study = a_found_study(spool, *findings, order_priority=order)
    profile = Profile(message=kind, priority_in="both", priority_code=override)
    if kind == "ORM^O01" and code is None:
        deliverer = a_deliverer(spool, free_port(), message=kind)
        deliverer.build()
        assert states(deliverer, study) == []
        return
    lines = {line[0]: [*line, *[""] * 30] for line in segments(spool, study, profile)}

    first = lines["ORC"][7].split("^")[-1] if kind == "ORM^O01" else lines.get("TQ1", [""] * 10)[9].split("^")[0]
    assert (first, lines["OBR"][27].split("^")[-1]) == (code or "", code or "")


def test_a_more_urgent_finding_changes_the_order_once_more_and_a_site_s_own_code_does_not(spool: Spool):
    study = a_found_study(spool, a_score("effusion", 0.1), a_score("fracture", 0.9))
    with mllp_listener(acknowledging("AA")) as listener:
        deliverers = [
            a_deliverer(spool, listener.port, name="ris", message="ORM^O01"),
            a_deliverer(spool, listener.port, name="fixed", message="ORM^O01", priority_code="S"),
        ]
        settle(spool, study, "ris", "fixed", policy=CRITICAL_EFFUSION)
        for deliverer in deliverers:
            deliverer.round()
        add_image(spool, a_radiograph(study), **scored(a_score("effusion", 0.9), a_score("fracture", 0.9)))
        settle(spool, study, "ris", "fixed", policy=CRITICAL_EFFUSION)
        for deliverer in deliverers:
            deliverer.round()

    codes = [content.split(b"\rORC|")[1].split(b"|")[6] for content in listener.received]
    assert codes == [b"^^^^^A", b"^^^^^S", b"^^^^^S"]


def test_a_record_of_an_earlier_release_has_the_message_of_it_but_for_the_code(spool: Spool):
    study = a_study(spool, "ris")
    record = to_record(read(spool, study).decision)
    for later in ("urgency", "findings", "order_priority"):
        del record[later]
    spool.write_decision(study, record)

    assert decision_from(record).urgency is Urgency.URGENT
    kinds = [line[0] for line in segments(spool, study)]
    assert kinds == ["MSH", "PID", "OBR", "TQ1", "OBX", "OBX", "OBX", "OBX"]


def test_a_receiver_gets_it(spool: Spool):
    listener = delivered(spool, a_found_study(spool, a_score("effusion", 0.91)))

    assert listener.segments().count("NTE") == 4
    assert listener.fields("TQ1")[9] == "S^Stat^HL70485"


def test_a_nonurgent_study_keeps_the_order_s_priority_and_is_abnormal(spool: Spool):
    table = PriorityPolicy(urgencies=UrgencyTable({"*": Urgency.NONURGENT}))
    study = a_found_study(spool, a_score("effusion", 0.91), policy=table)

    assert "TQ1" not in [line[0] for line in segments(spool, study)]
    assert next(line for line in segments(spool, study) if line[0] == "OBX")[8] == "A"
    assert isinstance(read(spool, study).images[0].assessment, ImageAssessment)
