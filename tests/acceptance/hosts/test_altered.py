"""Headers that are altered for a time, and two contents under one UID: what the trial does, and what it would find."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydicom import dcmread

from tests.acceptance.hosts.altered import Alteration, alter_for, of_another, of_other_patients
from tests.acceptance.hosts.answers import contents_are_one, has_several_contents, noticed, patients_are_right
from tests.acceptance.hosts.checks import Verdict
from tests.acceptance.hosts.corrections import counting, send_both
from tests.acceptance.hosts.objects import NO_AGE, Outgoing, contents, file_of

TAGS = {"0": {"tag": "NORMAL"}, "1": {"tag": "ABNORMAL"}, NO_AGE: {"tag": "NOT_ASSESSED"}}


@dataclass
class _Bucket:
    objects: dict[str, bytes]
    puts: list[str] = field(default_factory=list)

    def read(self, key: str) -> bytes:
        return self.objects[key]

    def put(self, key: str, content: BytesIO, size: int, sha256: bytes) -> None:
        self.objects[key] = content.read()
        self.puts.append(key)
        assert (len(self.objects[key]), sha256_of(self.objects[key])) == (size, sha256)


def sha256_of(content: bytes) -> bytes:
    return sha256(content).digest()


def test_one_byte_makes_it_another_patients_object() -> None:
    file = file_of("0")
    changed = of_another(file)
    assert sum(a != b for a, b in zip(file, changed, strict=True)) == 1
    before, after = (dcmread(BytesIO(each)) for each in (file, changed))
    assert before.PatientID == "PHANTOM-0" and after.PatientID == "PHANTOM-1"
    assert before.SOPInstanceUID == after.SOPInstanceUID


def test_what_is_altered_is_put_right_at_the_end_and_what_was_removed_stays_away() -> None:
    files = {"k0": file_of("0"), "k1": file_of("1")}
    bucket, rows = _Bucket(dict(files)), [("2.25.1", "k0")]
    alteration, looks = Alteration(bucket, lambda _: rows), list[set[str]]()

    def look(studies: set[str]) -> None:
        looks.append(set(studies))
        assert all(bucket.objects[key] != files[key] for key in files)
        rows[:] = [("2.25.2", "k1")]  # the study of the other one is removed

    alter_for(0.1, alteration, lambda: rows.append(("2.25.2", "k1")), look)
    assert looks == [{"2.25.1", "2.25.2"}] * len(looks)
    assert bucket.objects["k1"] == files["k1"] and bucket.objects["k0"] != files["k0"]
    assert bucket.puts == ["k0", "k1", "k1"]


def test_another_patient_is_told_from_none_and_from_the_right_one() -> None:
    patients = {"2.25.1": "P-1", "2.25.2": "P-2", "2.25.3": "P-3"}
    shown = {"2.25.1": "P-2", "2.25.2": "", "2.25.3": "P-3", "2.25.4": "P-1"}
    assert of_other_patients(shown, patients, set(patients)) == ["2.25.1"]
    assert of_other_patients(shown, patients, {"2.25.3"}) == []


def test_a_log_has_to_name_the_object_that_it_does_not_believe() -> None:
    alteration = Alteration(_Bucket({}), lambda _: [], {"t/p/abc": b"", "t/p/def": b""})
    line = "ERROR bucket/t/p/abc: other bytes came than were acknowledged; they are not used"
    assert noticed(alteration, [line, line]) == 1
    assert noticed(alteration, ["INFO put t/p/abc", "ERROR t/p/xyz: other bytes came than were acknowledged"]) == 0


def _pair(*kinds: str) -> list[Outgoing]:
    return contents(7, 100_000, kinds)


def test_contents_have_one_uid_and_one_patient_and_other_bytes() -> None:
    one, other = _pair("0", NO_AGE)
    assert one.instance.sop_instance_uid == other.instance.sop_instance_uid
    assert one.instance.study_instance_uid == other.instance.study_instance_uid
    assert one.patient == other.patient == "PHANTOM-100000"
    assert one.instance.content_digest != other.instance.content_digest
    assert has_several_contents([one, other]) and not has_several_contents([one])


def test_the_content_that_came_last_counts_and_an_abnormal_one_always() -> None:
    normal, unknown = _pair("0", NO_AGE)
    assert counting([normal, unknown], {normal.instance: 1.0, unknown.instance: 2.0}, TAGS) == [unknown]
    assert counting([normal, unknown], {normal.instance: 2.0, unknown.instance: 1.0}, TAGS) == [normal]
    abnormal, normal = _pair("1", "0")
    assert counting([abnormal, normal], {abnormal.instance: 1.0, normal.instance: 2.0}, TAGS) == [abnormal, normal]
    assert counting([abnormal, normal], {abnormal.instance: 2.0, normal.instance: 1.0}, TAGS) == [abnormal]


def test_both_are_sent_at_once_and_again_until_they_are_taken() -> None:
    one, other = _pair("0", "1")
    sent, both = list[tuple[str, Outgoing]](), threading.Barrier(2)

    def send(address: str, each: Outgoing) -> bool:
        if (address, each) not in sent:
            sent.append((address, each))
            both.wait(60)  # the other one is on its way, too
            return each is one
        sent.append((address, each))
        return True

    send_both(send, {"a": one, "b": other})
    assert sent.count(("a", one)) == 1 and sent.count(("b", other)) == 2


def _trial(shown: dict[str, str], explained: dict[str, str], **others: Any) -> Any:
    """A trial whose pages show these patients, and whose hosts explain a study so."""
    hosts = {name: SimpleNamespace(name=name, folder=Path("none")) for name in "abc"}
    rows = [{"study_instance_uid": study, "tag": "NORMAL", "links": []} for study in shown]
    service = SimpleNamespace(
        listed_patients=lambda _: shown,
        worklist=lambda _: rows,
        run=lambda host, *_: SimpleNamespace(returncode=0, stdout=explained[host.name], stderr=""),
    )
    return SimpleNamespace(hosts=hosts, service=service, altered=[], shown_wrongly=[], **others)


def _faults(check: Callable[..., None], trial: Any, kept: dict[str, list[Outgoing]]) -> list[str]:
    verdict = Verdict()
    check(trial, kept, verdict)
    return verdict.faults


def test_each_page_has_to_show_each_studys_own_patient() -> None:
    (one, other), study = _pair("0", NO_AGE), "2.25.1"
    kept = {study: [one, other]}
    assert _faults(patients_are_right, _trial({study: "PHANTOM-100000"}, {}), kept) == []
    for shown in ({study: "PHANTOM-100001"}, {study: ""}, {}):
        assert len(_faults(patients_are_right, _trial(shown, {}), kept)) == 2  # on each of two pages
    trial = _trial({study: "PHANTOM-100000"}, {})
    trial.shown_wrongly.append(f"{study} on host a")
    (fault,) = _faults(patients_are_right, trial, kept)
    assert "another patient while headers were altered" in fault
    trial = _trial({study: "PHANTOM-100000"}, {})
    trial.altered.append(Alteration(_Bucket({}), lambda _: [], {"t/p/abc": b""}))
    (fault,) = _faults(patients_are_right, trial, kept)
    assert "no host noticed" in fault


def test_each_host_has_to_say_the_same_of_two_contents() -> None:
    (one, other), study = _pair("0", NO_AGE), "2.25.1"
    kept, same = {study: [one, other]}, "Study 2.25.1\nTag        NORMAL\nReceived   now\n"
    assert _faults(contents_are_one, _trial({study: ""}, dict.fromkeys("abc", same)), kept) == []
    assert _faults(contents_are_one, _trial({}, {}), {study: [one]}) == []
    differing = {"a": same, "b": same, "c": same.replace("NORMAL", "NOT ASSESSED")}
    (fault,) = _faults(contents_are_one, _trial({study: ""}, differing), kept)
    assert "triage explain says" in fault
    (fault,) = _faults(contents_are_one, _trial({}, dict.fromkeys("abc", same)), kept)
    assert "the pages say" in fault
