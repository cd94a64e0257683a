"""Recognition of canaries by the listener: by our own AE title and by the content of our own phantom only."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.dicom_peer import Running, running_listener, store
from tests.support.wait import wait_for
from triage.canary.partition import CANARY, is_registered, open_partition, register, remove_canaries
from triage.canary.study import make_canary
from triage.dicom.association_request import APPLICATION_CONTEXT_NAME, AssociationRequest
from triage.listener.admission import admission_policy
from triage.listener.settings import ListenerSettings
from triage.listener.storage import CanaryRoute, uncounted_target
from triage.metrics.labels import Rejection
from triage.queue.score_queue import PartitionedInstance
from triage.settings.schema import Settings
from triage.spool.spool import Spool

OURS = "CXR_CANARY"


@contextmanager
def listening(spool: Spool, **settings: object) -> Iterator[Running]:
    partition = open_partition(spool)
    target = uncounted_target(partition, CANARY)
    canary = CanaryRoute.to(OURS, target, lambda instance: is_registered(partition, instance))
    with running_listener(spool, canary=canary, **settings) as running:
        yield running


def as_sent(file: bytes) -> Dataset:
    return dcmread(BytesIO(file))


def test_only_a_registered_content_from_our_own_title_is_a_canary(spool: Spool) -> None:
    partition, canary = open_partition(spool), make_canary(spool.installation_uid(), time.time())
    dataset = as_sent(canary.file)
    with listening(spool) as running:
        assert store(running.port, dataset, calling=OURS) == [0x0000]  # before it is registered
        assert running.inbox == [canary.instance]
        running.spool.inbox_path(canary.instance).unlink()

        register(partition, canary.instance)
        assert store(running.port, dataset, calling="MY_PACS") == [0x0000]  # another peer has a copy of it
        assert running.inbox == [canary.instance]
        running.spool.inbox_path(canary.instance).unlink()
        counted = running.counted("received_bytes_total")

        assert store(running.port, dataset, calling=OURS) == [0x0000]
        assert (running.inbox, list(partition.waiting())) == ([], [canary.instance])
        wait_for(lambda: len(running.enqueued) == 3, "all to be announced")
        assert running.enqueued == [canary.instance, canary.instance, PartitionedInstance(CANARY, canary.instance)]
        assert running.counted("received_bytes_total") == counted


@pytest.mark.parametrize("changed", [{"PatientName": "DOE^JANE"}, {"PixelData": bytes(2 * 256 * 256)}])
def test_a_patient_s_image_under_a_canary_s_uids_is_the_patient_s(spool: Spool, changed: dict[str, object]) -> None:
    partition, canary = open_partition(spool), make_canary(spool.installation_uid(), time.time())
    register(partition, canary.instance)
    patient = as_sent(canary.file)
    for keyword, value in changed.items():
        setattr(patient, keyword, value)
    with listening(spool) as running:
        assert store(running.port, patient, calling=OURS) == [0x0000]
        (received,) = running.inbox
        assert received == replace(canary.instance, content_digest=received.content_digest)
        assert received != canary.instance
        assert list(partition.waiting()) == []
        assert running.counted("received_bytes_total") > 0


def test_one_that_arrives_after_it_was_given_up_is_still_no_patient(spool: Spool) -> None:
    partition, now = open_partition(spool), time.time()
    canary = make_canary(spool.installation_uid(), now)
    register(partition, canary.instance)
    remove_canaries(partition, now + 23 * 3600)
    with listening(spool) as running:
        assert store(running.port, as_sent(canary.file), calling=OURS) == [0x0000]
    assert (list(spool.waiting()), list(partition.waiting())) == ([], [canary.instance])
    assert remove_canaries(partition, now + 25 * 3600) == [canary.instance]
    assert not is_registered(partition, canary.instance)
    assert list(partition.waiting()) == []


def test_two_canaries_are_two_contents_and_their_uids_are_valid() -> None:
    first, second = (make_canary("2.25." + "9" * 39, at).instance for at in (1.8e9, 1.8e9 + 1e-3))
    assert first.content_digest != second.content_digest
    assert first.study_instance_uid != second.study_instance_uid


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy: sudo apt-get install dicom3tools")
def test_it_is_a_valid_image(tmp_path: Path) -> None:
    file = tmp_path / "canary.dcm"
    file.write_bytes(make_canary("2.25.1", time.time()).file)
    checked = subprocess.run(["/usr/bin/dciodvfy", str(file)], capture_output=True, text=True)
    assert not [line for line in checked.stderr.splitlines() if line.startswith("Error")], checked.stderr


def request(calling: str, called: str = "CXR_TRIAGE") -> AssociationRequest:
    return AssociationRequest(calling, called, APPLICATION_CONTEXT_NAME, ())


def test_we_ourselves_are_let_in_from_this_machine_only() -> None:
    settings = ListenerSettings(host="10.1.2.3", calling_ae_titles=("MY_PACS",), source_addresses=("10.1.2.0/28",))
    policy = admission_policy(settings, OURS)
    assert policy.refusal(request(OURS), "127.0.0.1") is None
    assert policy.refusal(request(OURS), "::1") is None
    assert policy.refusal(request(OURS), "10.1.2.3") is None
    assert policy.refusal(request(OURS), "10.1.2.4") is Rejection.CALLING_AE_TITLE
    assert policy.refusal(request(OURS), "10.9.9.9") is Rejection.SOURCE_ADDRESS
    assert policy.refusal(request("OTHER"), "127.0.0.1") is Rejection.SOURCE_ADDRESS
    assert policy.refusal(request("MY_PACS"), "10.1.2.4") is None
    required = admission_policy(ListenerSettings(require_called_ae_title=True), OURS)
    assert required.refusal(request(OURS, "ANOTHER"), "127.0.0.1") is Rejection.CALLED_AE_TITLE
    assert admission_policy(settings).refusal(request(""), "127.0.0.1") is Rejection.SOURCE_ADDRESS


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="must differ"):
        Settings.model_validate({"listener": {"validation_ae_title": OURS}})
    orders = {"name": "ris", "host": "h", "port": 1, "message": "ORM^O01", "canary": True}
    with pytest.raises(ValidationError, match="canary = true needs message"):
        Settings.model_validate({"channels": {"hl7": [orders]}})
