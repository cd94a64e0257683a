"""A service that knows its senders and shares its port between two processes; and that nobody's name gets out of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydicom.uid import generate_uid
from pynetdicom import AE
from redis import Redis

from tests.support.dicom_peer import RawPeer, command, encoded
from tests.support.dicom_senders import run, storescu
from tests.support.real_radiographs import Sent, adults, fresh, read, wrapped, written
from tests.support.whole_service import AE_TITLE, Service, fetch, status_of
from triage.metrics.labels import PREFIX

NAME, PATIENT_ID, BORN, OTHER_ID, DOCTOR = "ZZUNIQUE^PATIENTA", "QX77PID88", "19560213", "QX99OTHER", "ZZDOCTOR^HOUSE"
SECRETS = ("ZZUNIQUE", "PATIENTA", PATIENT_ID, BORN, OTHER_ID, "ZZDOCTOR")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("guarded"),
        models,
        listener_processes=2,
        listener_require_called_ae_title="true",
        listener_calling_ae_titles="MY_PACS, CR1",
        listener_source_addresses="127.0.0.1/32",
        log_level="DEBUG",
    ) as running:
        yield running


@pytest.fixture
def named(triage_data: Path, tmp_path: Path) -> Sent:
    """A scored chest of somebody whose name would be noticed anywhere."""
    row = adults(triage_data, 1)[0]
    return fresh(wrapped(row["path"], tmp_path, row["view"], row["age"]).path, tmp_path, **identity())


def identity() -> dict[str, Any]:
    return {
        "PatientName": NAME,
        "PatientID": PATIENT_ID,
        "PatientBirthDate": BORN,
        "OtherPatientIDs": OTHER_ID,
        "ReferringPhysicianName": DOCTOR,
    }


# Who may connect


def echoscu(service: Service, calling: str, called: str) -> bool:
    return run("echoscu", "-aet", calling, "-aec", called, "127.0.0.1", service.dicom_port).returncode == 0


def rejected(service: Service, reason: str) -> float:
    return service.counted("associations_rejected_total", reason=reason)


def test_only_those_who_may_connect_do(guarded: Service, named: Sent) -> None:
    assert echoscu(guarded, "MY_PACS", AE_TITLE)
    assert not echoscu(guarded, "SOMEBODY", AE_TITLE)
    assert rejected(guarded, "calling_ae_title") == 1
    assert not echoscu(guarded, "CR1", "SOMEBODY_ELSE")
    assert rejected(guarded, "called_ae_title") == 1
    entity = AE("MY_PACS")
    entity.add_requested_context("1.2.840.10008.1.1")
    elsewhere = entity.associate("127.0.0.1", guarded.dicom_port, ae_title=AE_TITLE, bind_address=("127.0.0.2", 0))
    assert not elsewhere.is_established
    assert rejected(guarded, "source_address") == 1

    told = guarded.run("send", named.path, check=False)
    assert told.returncode == 1
    assert "does not know our (calling) AE title" in told.stderr
    said = storescu(guarded.dicom_port, named.path, calling="SOMEBODY")
    assert "Received Store Response" not in said
    assert "Received Store Response (Success)" in storescu(guarded.dicom_port, named.path, calling="CR1")
    guarded.tagged(named.study)
    assert guarded.counted("associations_accepted_total", calling_ae_title="CR1") >= 1


# Two processes, one port


def test_two_listeners_share_the_port(guarded: Service, named: Sent, tmp_path: Path) -> None:
    copies = [fresh(named.path, tmp_path, PatientName="") for _ in range(24)]
    for each in copies:  # an association each
        assert "(Success)" in storescu(guarded.dicom_port, each.path, calling="MY_PACS")
    entries = guarded.tagged(*(each.study for each in copies))
    assert len({(entry["tag"], entry["probability"]) for entry in entries.values()}) == 1
    stored = [
        sum(
            sample.value
            for family in text_string_to_metric_families(guarded.metrics(port))
            for sample in family.samples
            if sample.name == f"{PREFIX}_objects_received_total"
        )
        for port in guarded.listener_ports
    ]
    assert all(stored), "the kernel gives each process its share of the connections"
    assert sum(stored) >= len(copies)


# Health and metrics


def test_every_process_answers_for_its_health(guarded: Service) -> None:
    asked = {
        **dict.fromkeys(guarded.listener_ports, "objects_received"),
        guarded.worker_port: "time_to_tag_seconds",
        guarded.sweep_port: "oldest_untagged_timestamp_seconds",
        guarded.web_port: "http_requests",
    }
    assert set(asked) == set(guarded.ports)
    for port, own in asked.items():
        assert status_of(port, "/healthz") == 200
        assert status_of(port, "/readyz") == 200
        assert status_of(port, "/nothing") == 404
        families = {family.name for family in text_string_to_metric_families(guarded.metrics(port))}
        assert f"{PREFIX}_{own}" in families
        assert all(name.startswith((PREFIX, "process_", "python_")) for name in families)


# Nobody's name


def send_all_sorts(service: Service, named: Sent, triage_data: Path, folder: Path) -> list[Sent]:
    """Good, broken, contradictory and unparsable objects of one patient; those that must be tagged."""
    dataset = read(named.path)
    cut = written(read(named.path), folder / "cut.dcm", PixelData=dataset.PixelData[:1000], **new_uids())
    other = triage_data / "dicom" / "other-modality"
    report = fresh(other / "data_pydicom_test-SR.dcm", folder, **identity())
    # Values that libraries like to quote when they complain.
    values = {"PatientBirthDate": f"{BORN}X", "PatientAge": PATIENT_ID[:5], "ViewPosition": NAME[:16]}
    odd = fresh(named.path, folder, SeriesInstanceUID=PATIENT_ID, **values)
    for each in (named, cut, report, odd):
        assert "(Success)" in storescu(service.dicom_port, "-nh", each.path, calling="MY_PACS")
    for command_uid, data_set, status in (
        (generate_uid(), encoded(dataset), 0xA900),
        (named.sop, NAME.encode() * 100, 0xC000),
        (named.sop, encoded(dataset)[:300], 0xC000),
    ):
        with RawPeer(service.dicom_port) as peer:
            peer.associate(calling="MY_PACS")
            peer.send_store(str(dataset.SOPClassUID), command_uid, data_set)
            assert peer.status() == status
    with RawPeer(service.dicom_port) as peer:  # aborted in mid-object
        peer.associate(calling="MY_PACS")
        peer.send_fragment(1, 0x03, command(0x0001, str(dataset.SOPClassUID), named.sop))
        peer.send_fragment(1, 0x00, encoded(dataset)[:5000])
    return [named, cut, report, odd]


def new_uids() -> dict[str, str]:
    return {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}


def in_redis(url: str) -> Iterator[bytes]:
    """Every key and every value, rq's compressed ones unpacked."""
    readers = {
        b"string": lambda client, key: [client.get(key)],
        b"hash": lambda client, key: [part for pair in client.hgetall(key).items() for part in pair],
        b"list": lambda client, key: client.lrange(key, 0, -1),
        b"set": lambda client, key: client.smembers(key),
        b"zset": lambda client, key: client.zrange(key, 0, -1),
    }
    with Redis.from_url(url) as client:
        for key in client.scan_iter():
            yield key
            for value in readers[client.type(key)](client, key):
                yield value
                try:
                    yield zlib.decompress(value)
                except zlib.error:
                    continue


def test_no_patient_is_named_anywhere(guarded: Service, named: Sent, triage_data: Path, tmp_path: Path) -> None:
    sent = send_all_sorts(guarded, named, triage_data, tmp_path)
    tags = {entry["tag"] for entry in guarded.tagged(*(each.study for each in sent)).values()}
    assert "NOT_ASSESSED" in tags
    explained = [guarded.run("explain", each.study).stdout for each in sent]
    told = guarded.run("send", "--calling-ae", "MY_PACS", *(each.path for each in sent))
    seen = {
        "log": guarded.log().encode(),
        "Redis": b"\n".join(in_redis(guarded.redis_url)),
        "Redis's files": b"\n".join(path.read_bytes() for path in _files(Path(guarded.redis_url[7:]).parent)),
        "metrics": "\n".join(map(guarded.metrics, guarded.ports)).encode(),
        "API": (
            fetch(guarded.web_port, "/api/worklist?limit=500")[1] + fetch(guarded.web_port, "/api/status")[1]
        ).encode(),
        "commands": "".join([*explained, told.stdout, told.stderr]).encode(),
    }
    assert all(seen.values())
    for place, content in seen.items():
        for secret in SECRETS:
            assert secret.encode() not in content.upper(), f"{secret} in {place}"
    # The object itself is kept as it was received: there the name has to be.
    assert any(NAME.encode() in path.read_bytes() for path in guarded.spool.root.rglob("*.dcm"))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]
