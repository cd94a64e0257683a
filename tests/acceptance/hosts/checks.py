"""What has to be true at the end, whatever was killed, cut and refused."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.acceptance.hosts.answers import Studies, contents_are_one, patients_are_right, received_by
from tests.acceptance.hosts.bounds import more_than_decided, undocumented
from tests.acceptance.hosts.corrections import counting
from tests.acceptance.hosts.engines import BUCKET, DATABASE, POSTGRES, ROLE, ROLE_PASSWORD
from tests.acceptance.hosts.objects import LATERAL, NO_AGE, Outgoing, file_of, kinds
from tests.acceptance.hosts.pacs import Pacs, Results
from tests.acceptance.hosts.removed import left_in_bucket, left_in_rows, rows_by_table
from tests.acceptance.hosts.ris import READ_AFTER_S, Ris
from tests.acceptance.hosts.service import PAGES, RETENTION_S
from tests.acceptance.hosts.trial import CLOCKS, Trial
from tests.support.dicom_peer import data_set_of
from tests.support.s3_peer import ACCESS_KEY, SECRET_KEY
from tests.support.s3_peer import BUCKET as BUCKET_NAME
from tests.support.wait import wait_for
from triage.spool.cluster.address import BucketAddress, ClusterAddress, DatabaseAddress
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.open_store import open_store

_QUIET_S = 900.0
_REMOVED_S = 120.0
"""Seconds in which a sweep removes what is old enough, on a machine that has other work."""
_GONE_S = READ_AFTER_S + RETENTION_S + _REMOVED_S
ALTERED = re.compile("not those that were received|other bytes arrived than the store says it keeps")


Said = dict[str, dict[str, Any]]


@dataclass
class Verdict:
    """Faults in words; figures of what was looked at."""

    faults: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def expect(self, holds: bool, text: str) -> None:
        if not holds:
            self.faults.append(text)

    def held(self, check: Callable[..., None], *what: object) -> None:
        """Run one check; what ends it is a fault of the trial too, and the other checks are run nevertheless."""
        try:
            check(*what, self)
        except Exception as error:
            self.faults.append(f"{check.__name__.strip('_')} was not held to its end: {type(error).__name__}: {error}")


def address_of(trial: Trial) -> ClusterAddress:
    """The store as a program outside of the hosts opens it."""
    host, ca = trial.hosts[trial.database.primary].address, trial.service.ca
    database = DatabaseAddress(host, DATABASE, ROLE, POSTGRES, ROLE_PASSWORD, ca)
    endpoint = f"https://{trial.bucket.host.address}:{BUCKET}"
    bucket = BucketAddress(endpoint, BUCKET_NAME, ACCESS_KEY, SECRET_KEY, ca_file=ca)
    return ClusterAddress(database, bucket, trial.outside.folder / "scratch")


def expected(trial: Trial, folder: Path) -> dict[str, dict[str, Any]]:
    """What the models say of each kind of image, alone and undisturbed."""
    files = []
    for kind in kinds():
        files.append(folder / f"{kind.replace(' ', '-')}.dcm")
        files[-1].write_bytes(file_of(kind))
    done = trial.service.run(trial.hosts["c"], "predict", *map(str, files))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip(kinds(), lines, strict=True))


def wait_until_quiet(store: ClusterStore, results: Results, studies: set[str], verdict: Verdict) -> None:
    """Until nothing waits and everything is delivered."""
    deadline, began = time.monotonic() + _QUIET_S, time.monotonic()
    while True:
        waiting = len(list(store.waiting()))
        lacking = studies - results.studies_of_reports.keys()
        if not waiting and not lacking and _is_still(results):
            break
        if time.monotonic() > deadline:
            verdict.faults.append(f"after {_QUIET_S:.0f} s {waiting} objects wait, {len(lacking)} lack a report")
            break
        time.sleep(1)
    verdict.figures["seconds_until_quiet"] = round(time.monotonic() - began, 1)


def _is_still(results: Results) -> bool:
    """Nothing came for longer than a report waits for the second image of its study."""
    before = results.taken
    time.sleep(15)
    return results.taken == before


def judge(
    trial: Trial, pacs: Pacs, results: Results, ris: Ris, said: dict[str, dict[str, Any]], verdict: Verdict
) -> None:
    """Hold the store, the bucket, the lists and what was delivered against what was acknowledged and read."""
    of_study: dict[str, list[Outgoing]] = {}
    for each in pacs.acknowledged.values():
        of_study.setdefault(each.outgoing.instance.study_instance_uid, []).append(each.outgoing)
    gone = {study: objects for study, objects in of_study.items() if objects[0].is_read}
    kept = {study: objects for study, objects in of_study.items() if study not in gone}
    store = open_store(address_of(trial))
    assert isinstance(store, ClusterStore)
    try:
        verdict.figures["removed_while_sending"] = sum(not store.has_study(study) for study in gone)
        wait_until_quiet(store, results, set(of_study), verdict)
        if _altered_are_tried_again(trial, store, verdict):
            wait_until_quiet(store, results, set(of_study), verdict)
        verdict.held(_read_and_removed, store, ris, gone)
        verdict.held(_nothing_is_left, trial, gone)
        for check in (_kept, _assessed, _bucket_agrees):
            verdict.held(check, trial, store, kept, said)
        counted = {study: counting(objects, received_by(trial), said) for study, objects in kept.items()}
        verdict.held(_decided, trial, store, counted, said)
        verdict.held(_timed, trial, store, pacs)
        once = {study: objects for study, objects in kept.items() if study not in trial.returned}
        verdict.held(_told_as_often_as_decided, store, results, once)
    finally:
        store.close()
    for name in PAGES:
        verdict.held(_listed, trial, name, kept)
    verdict.held(_delivered, results, gone | counted, said, trial.returned)
    verdict.held(patients_are_right, trial, kept)
    verdict.held(contents_are_one, trial, kept)
    verdict.expect(not pacs.surprises, f"answers that are none: {pacs.surprises[:3]}")
    other = undocumented(pacs.refusals)
    verdict.expect(not other, f"the PACS was answered {other}, which no object of the trial is to be")


def _read_and_removed(
    store: ClusterStore, ris: Ris, gone: Studies, verdict: Verdict, longest_s: float = _GONE_S
) -> None:
    """Each study of which a report was taken is removed, some time after it; each report was answered as documented."""
    began = time.monotonic()
    with suppress(AssertionError):
        wait_for(lambda: not ris.left and not any(map(store.has_study, gone)), "studies to be removed", longest_s)
    there = [study for study in gone if store.has_study(study)]
    verdict.figures |= {
        "studies_read_and_removed": len(gone) - len(there),
        "seconds_until_removed": round(time.monotonic() - began, 1),
        "answers_to_reports": dict(ris.answers),
    }
    verdict.expect(bool(gone) and bool(ris.confused), "no study was read, or none reported with another patient")
    verdict.expect(not ris.left, f"{len(ris.left)} reports were not taken, or not refused: {ris.left[:5]}")
    verdict.expect(not there, f"{len(there)} studies were read, and are not removed: {there[:5]}")
    odd = [*ris.surprises, *(code for code in ris.answers if code not in ("AA", "AE", "AR") and code.isupper())]
    verdict.expect(not odd, f"reports were answered otherwise: {odd[:5]}")


def _nothing_is_left(trial: Trial, gone: Studies, verdict: Verdict) -> None:
    """Of a study that was removed no table has a row, and the bucket no object, once the sweep has deleted its keys."""

    def query(sql: str) -> list[list[object]]:
        return trial.database.server.run(sql, DATABASE)

    def left() -> list[str]:
        leaving = {str(key) for (key,) in query("SELECT key FROM bucket_key WHERE state = 'uploading'")}
        digests = {each.instance.content_digest for each in _all(gone)}
        return left_in_bucket(digests, set(S3Bucket(address_of(trial).bucket).keys("")), leaving)

    rows = left_in_rows(gone, rows_by_table(query))
    verdict.expect(not rows, f"of studies that were removed {rows}")
    with suppress(AssertionError):
        wait_for(lambda: not left(), "the bucket to lose what was removed", _REMOVED_S)
    keys = left()
    verdict.expect(not keys, f"{len(keys)} objects of studies that were removed are in the bucket: {keys[:3]}")


def _told_as_often_as_decided(store: ClusterStore, results: Results, kept: Studies, verdict: Verdict) -> None:
    """No study has more reports, or messages, than it had decisions: the same again has the same name."""
    decisions = {study: len(store.history(study)) for study in kept}
    verdict.figures["decisions"] = sum(decisions.values())
    for what, told in (("reports", results.studies_of_reports), ("messages", results.studies_of_messages)):
        more = more_than_decided(told, decisions)
        verdict.expect(not more, f"{len(more)} studies have more {what} than decisions: {more[:5]}")


def _altered_are_tried_again(trial: Trial, store: ClusterStore, verdict: Verdict) -> bool:
    """Requeue, as a person would, what was given up because other bytes came than were received."""
    altered = [instance for instance, why in store.dead_letters() if ALTERED.search(json.dumps(why))]
    verdict.figures["given_up_for_altered_bytes"] = len(altered)
    if not altered:
        return False
    done = trial.service.run(
        trial.hosts["a"], "dead-letters", *(word for each in altered for word in ("--requeue", each.key))
    )
    verdict.expect(done.returncode == 0, f"dead letters cannot be requeued: {done.stderr[-500:]}")
    return True


def _kept(_: Trial, store: ClusterStore, of_study: Studies, __: Said, verdict: Verdict) -> None:
    """Every acknowledged object is read back, with the bytes that were sent."""
    lost, other = [], []
    for each in _all(of_study):
        stored = store.stored_object(each.instance)
        if stored is None:
            lost.append(each.instance.sop_instance_uid)
        elif sha256(data_set_of(stored.read_bytes())).hexdigest() != each.instance.content_digest:
            other.append(each.instance.sop_instance_uid)
    verdict.figures["acknowledged_objects"] = len(list(_all(of_study)))
    verdict.figures["lost"], verdict.figures["with_other_bytes"] = len(lost), len(other)
    verdict.expect(not lost, f"{len(lost)} acknowledged objects are lost: {lost[:5]}")
    verdict.expect(not other, f"{len(other)} objects have other bytes: {other[:5]}")
    dead = [instance.sop_instance_uid for instance, _ in store.dead_letters()]
    verdict.figures["dead_letters"] = len(dead)
    verdict.expect(not dead, f"{len(dead)} dead letters, which only a fault of ours made: {dead[:5]}")


def _assessed(_: Trial, store: ClusterStore, of_study: Studies, said: Said, verdict: Verdict) -> None:
    """Each image has one assessment, which is what the models say of its drawing: of these very pixels."""
    several, differing, hidden = [], [], []
    for study, objects in of_study.items():
        found = {(each["sop_instance_uid"], each["content_digest"]): each for each in store.assessments(study)}
        if len(found) != len(store.assessments(study)) or len(found) != len(objects):
            several.append(study)
        for each in objects:
            content = (each.instance.sop_instance_uid, each.instance.content_digest)
            got, right = found.get(content, {}), said[each.kind]
            if (got.get("tag"), got.get("probability")) != (right["tag"], right["probability"]):
                differing.append((study, each.kind, got.get("tag"), got.get("probability")))
            if each.kind in (NO_AGE, LATERAL) and got.get("tag") != "NOT_ASSESSED":
                hidden.append(study)
    verdict.expect(not several, f"{len(several)} studies have not one assessment for each image: {several[:5]}")
    verdict.expect(not differing, f"{len(differing)} images are scored otherwise: {differing[:5]}")
    verdict.expect(not hidden, f"{len(hidden)} studies are tagged that cannot be assessed: {hidden[:5]}")


def _decided(_: Trial, store: ClusterStore, of_study: Studies, said: Said, verdict: Verdict) -> None:
    """Each study has one current result; that of a study without an assessed image is NOT ASSESSED."""
    without, wrong, tags, revised = [], [], Counter[str](), 0
    for study, objects in of_study.items():
        decision = store.decision(study)
        if decision is None:
            without.append(study)
            continue
        tags[decision["tag"]] += 1
        revised += len(store.history(study)) > 1
        right = _right_tag(objects, said)
        if decision["tag"] != right or (right == "NOT_ASSESSED" and decision["priority"] == "LOW"):
            wrong.append((study, decision["tag"], decision["priority"], right))
    verdict.figures |= {"studies": len(of_study), "tags": dict(tags), "studies_with_several_decisions": revised}
    verdict.expect(not without, f"{len(without)} studies have no result: {without[:5]}")
    verdict.expect(not wrong, f"{len(wrong)} studies have a wrong tag: {wrong[:5]}")
    found = set(store.study_uids())
    verdict.expect(found == set(of_study), f"{len(found ^ set(of_study))} studies too many or too few in the store")


def _right_tag(objects: list[Outgoing], said: Said) -> str:
    """The tag of a study: that of its assessed image, of which it has one at most, or an abnormal one with another."""
    assessed = {str(said[each.kind]["tag"]) for each in objects} - {"NOT_ASSESSED"}
    return min(assessed, default="NOT_ASSESSED")  # ABNORMAL before NORMAL


def _timed(trial: Trial, store: ClusterStore, pacs: Pacs, verdict: Verdict) -> None:
    """No time of receipt is farther from the right one than the clock of a host: the database has that of its own."""
    odd, farthest = [], max(CLOCKS.values())
    for instance, each in pacs.acknowledged.items():
        for record in store.assessments(instance.study_instance_uid):
            if (
                record["sop_instance_uid"] == instance.sop_instance_uid
                and record["content_digest"] == instance.content_digest
            ):
                received = float(record["received_at"])
                if not trial.began_at <= received <= each.moment + farthest + 1:
                    odd.append((instance.sop_instance_uid, received - each.moment))
    verdict.expect(not odd, f"{len(odd)} objects have a time of receipt that no clock showed: {odd[:5]}")


def _bucket_agrees(trial: Trial, store: ClusterStore, of_study: Studies, __: Said, verdict: Verdict) -> None:
    """Each row's key is in the bucket once; a key without a row is on the list of those that go."""
    run = trial.database.server.run
    rows = [str(key) for (key,) in run("SELECT key FROM object", DATABASE)]
    rows += [str(key) for (key,) in run("SELECT key FROM entry WHERE key IS NOT NULL", DATABASE)]
    listed = {str(key) for (key,) in run("SELECT key FROM bucket_key", DATABASE)}
    keys = set(S3Bucket(address_of(trial).bucket).keys(""))
    missing, stray = set(rows) - keys, keys - set(rows) - listed
    verdict.figures |= {"keys": len(keys), "keys_on_their_way_out": len(keys - set(rows)), "stray_keys": len(stray)}
    verdict.expect(len(rows) == len(set(rows)), "two rows have one key")
    verdict.expect(not missing, f"{len(missing)} rows name a key that the bucket lacks")
    verdict.expect(not stray, f"{len(stray)} keys of the bucket are known to no table: {sorted(stray)[:3]}")
    content = "SELECT study_uid, sop_uid, digest, count(*) FROM object GROUP BY 1, 2, 3 HAVING count(*) > 1"
    doubled = run(content, DATABASE)
    verdict.expect(not doubled, f"{len(doubled)} objects are in the store twice")


def _listed(trial: Trial, name: str, of_study: Studies, verdict: Verdict) -> None:
    """The page of each host lists each study once, with the current tag."""
    entries = trial.service.worklist(trial.hosts[name])
    counts = Counter(str(each["study_instance_uid"]) for each in entries)
    twice = [uid for uid, count in counts.items() if count > 1]
    verdict.expect(not twice, f"host {name} lists {len(twice)} studies more than once")
    lacking, more = set(of_study) - counts.keys(), counts.keys() - set(of_study)
    verdict.expect(not lacking, f"host {name} does not list {len(lacking)} studies: {sorted(lacking)[:3]}")
    verdict.expect(not more, f"host {name} lists {len(more)} studies that were not acknowledged")


def _delivered(results: Results, of_study: Studies, said: Said, returned: set[str], verdict: Verdict) -> None:
    """Each study's result went out, the last of it as it stands, and whatever went out again had the same bytes.

    ``returned``: studies that came again after they had been removed. The same facts have the same name, at a new time.
    """
    differing = sorted(set(results.differing()) - results.names_of(returned))
    verdict.figures |= {
        "reports": len(results.reports),
        "messages": len(results.messages),
        "deliveries": results.taken,
        "delivered_with_other_bytes": len(differing),
    }
    verdict.expect(not differing, f"{len(differing)} results were delivered with different bytes: {differing[:3]}")
    told = results.last_tags()
    untold = [uid for uid in of_study if uid not in told]
    verdict.expect(not untold, f"{len(untold)} studies have no HL7 message: {untold[:3]}")
    old = [uid for uid, objects in of_study.items() if told.get(uid, "") not in ("", _right_tag(objects, said))]
    others = [uid for uid, objects in of_study.items() if results.patients.get(uid, set()) - {objects[0].patient}]
    verdict.expect(not others, f"what was told of {len(others)} studies names another patient, or none: {others[:3]}")
    verdict.expect(not old, f"the last message of {len(old)} studies has another tag than they have: {old[:3]}")


def _all(of_study: Studies) -> Iterator[Outgoing]:
    return (each for objects in of_study.values() for each in objects)


_OURS: Callable[[str], Any] = re.compile(r"Traceback|defect of ours|CRITICAL").search


def log_lines(trial: Trial) -> dict[str, list[str]]:
    """Lines of the service's own logs that are defects of ours."""
    found = {}
    for host in trial.hosts.values():
        for log in sorted(host.folder.glob("triage-*.log")):
            lines = log.read_text(errors="replace").splitlines()
            found[f"{host.name}/{log.stem}"] = [line for line in lines if _OURS(line)]
    return {name: lines for name, lines in found.items() if lines}
