"""SIGTERM to the whole service in the midst of its work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE

from tests.support.dicom_peer import DX
from tests.support.real_radiographs import adults, read, wrapped
from tests.support.wait import wait_for
from tests.support.whole_service import AE_TITLE, Service


class Sender(threading.Thread):
    """Sends copies of one object, each a study of its own, until nobody takes any; notes what was acknowledged."""

    def __init__(self, port: int, path: Path) -> None:
        super().__init__()
        self._port = port
        self._path = path
        self.acknowledged: list[tuple[str, str]] = []

    def run(self) -> None:
        entity = AE("SENDER")
        entity.add_requested_context(DX, ExplicitVRLittleEndian)
        dataset = read(self._path)
        while (association := entity.associate("127.0.0.1", self._port, ae_title=AE_TITLE)).is_established:
            for _ in range(5):
                if association.is_established and self._store(association, dataset) != 0x0000:
                    return
            association.release()

    def _store(self, association: object, dataset: Dataset) -> int:
        dataset.StudyInstanceUID, dataset.SOPInstanceUID = generate_uid(), generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        status = int(association.send_c_store(dataset).get("Status", -1))  # type: ignore[attr-defined]
        if status == 0x0000:
            self.acknowledged.append((str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)))
        return status


# pynetdicom leaves the socket open of an association that nobody accepts.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_under_load_loses_nothing(tmp_path: Path, models: Path, triage_data: Path) -> None:
    row = adults(triage_data, 1)[0]
    source = wrapped(row["path"], tmp_path, row["view"], row["age"]).path
    with Service(tmp_path / "service", models, listener_processes=2) as service:
        senders = [Sender(service.dicom_port, source) for _ in range(3)]
        for sender in senders:
            sender.start()
        # Some are tagged, more wait: the worker is in the midst of it too.
        wait_for(lambda: sum(len(sender.acknowledged) for sender in senders) > 60, "a load")
        wait_for(service.worklist, "tags to land")
        assert service.stop() == 0
        for sender in senders:
            sender.join()

        acknowledged = {each for sender in senders for each in sender.acknowledged}
        assert not list(service.spool.incoming.glob("*.part"))
        kept = {(each.study_instance_uid, each.sop_instance_uid) for each in service.spool.waiting()}
        kept |= {(uid, each["sop_instance_uid"]) for uid in service.spool.study_uids() for each in service.images(uid)}
        assert acknowledged <= kept

        service.start()
        entries = service.tagged(*(study for study, _ in acknowledged))
        for study, sop in acknowledged:
            (image,) = service.images(study)
            assert image["sop_instance_uid"] == sop
            assert len(service.spool.history(study)) == 1
        assert len({(entry["tag"], entry["probability"]) for entry in entries.values()}) == 1
        assert service.get("/api/status")[1]["dead_letters"] == 0
        assert "Traceback" not in service.log()
