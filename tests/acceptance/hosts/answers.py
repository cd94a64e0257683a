"""What the hosts say of a study: never another patient, and each host the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tests.acceptance.hosts.altered import Alteration
from tests.acceptance.hosts.engines import DATABASE
from tests.acceptance.hosts.objects import Outgoing
from tests.acceptance.hosts.service import PAGES
from tests.acceptance.hosts.trial import Trial
from triage.spool.instance import ReceivedInstance

if TYPE_CHECKING:
    from tests.acceptance.hosts.checks import Verdict

Studies = dict[str, list[Outgoing]]
_RECEIVED = "SELECT study_uid, sop_uid, digest, CAST(extract(epoch FROM received) AS float8) FROM object"
_UNBELIEVED = ("not those that were received", "other bytes came than were acknowledged")
_SAID = ("Tag ", "Urgency ", "Priority ", "Score ", "Because of ", "Reasons ", "Revision ")
"""Beginnings of the lines of `triage explain` that say what a study's result is."""


def received_by(trial: Trial) -> dict[ReceivedInstance, float]:
    """When each object was received, by the database's clock, past the product."""
    rows = trial.database.server.run(_RECEIVED, DATABASE)
    return {ReceivedInstance(*map(str, names)): float(str(at)) for *names, at in rows}


def patients_are_right(trial: Trial, kept: Studies, verdict: Verdict) -> None:
    """Each page shows each study's own patient, and never another, also while its header was altered."""
    patients = {study: objects[0].patient for study, objects in kept.items()}
    for name in PAGES:
        shown = trial.service.listed_patients(trial.hosts[name])
        wrong = sorted(study for study, patient in patients.items() if shown.get(study) != patient)
        verdict.expect(not wrong, f"host {name} does not show the patient of {len(wrong)} studies: {wrong[:3]}")
    others = trial.shown_wrongly
    verdict.expect(not others, f"shown with another patient while headers were altered: {others[:3]}")
    lines = [
        line
        for host in trial.hosts.values()
        for log in host.folder.glob("triage-*.log")
        for line in log.read_text(errors="replace").splitlines()
    ]
    verdict.figures["headers_altered"] = sum(len(each.originals) for each in trial.altered)
    verdict.figures["altered_headers_noticed"] = [noticed(each, lines) for each in trial.altered]
    unseen = [each for each in trial.altered if not noticed(each, lines)]
    verdict.expect(not unseen, "no host noticed one of the headers that were altered")


def noticed(alteration: Alteration, lines: Iterable[str]) -> int:
    """Return of how many altered objects a log says that its bytes are not believed."""
    said = [line for line in lines if any(words in line for words in _UNBELIEVED)]
    return sum(any(key in line for line in said) for key in alteration.originals)


def contents_are_one(trial: Trial, kept: Studies, verdict: Verdict) -> None:
    """Of a study with several contents under one SOP Instance UID each host says the same."""
    several = [study for study, objects in kept.items() if has_several_contents(objects)]
    verdict.figures["studies_of_several_contents"] = len(several)
    pages = {name: trial.service.worklist(trial.hosts[name]) for name in PAGES}
    for study in several:
        listed = {
            name: [
                {key: value for key, value in each.items() if key != "links"} for each in entries if _is(each, study)
            ]
            for name, entries in pages.items()
        }
        verdict.expect(_is_one(listed), f"the pages say of {study} what differs: {listed}")
        explained = {name: said_of(trial, name, study) for name in trial.hosts}
        verdict.expect(_is_one(explained), f"triage explain says of {study} what differs: {explained}")


def has_several_contents(objects: Iterable[Outgoing]) -> bool:
    """Return whether two objects have one SOP Instance UID."""
    uids = [each.instance.sop_instance_uid for each in objects]
    return len(set(uids)) < len(uids)


def said_of(trial: Trial, name: str, study: str) -> list[str]:
    """What a host says of a study's result."""
    done = trial.service.run(trial.hosts[name], "explain", study)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(_SAID)]


def _is(entry: Mapping[str, object], study: str) -> bool:
    return entry["study_instance_uid"] == study


def _is_one(said: Mapping[str, object]) -> bool:
    """Return whether all say the same, and something."""
    first, *others = said.values()
    return bool(first) and all(each == first for each in others)
