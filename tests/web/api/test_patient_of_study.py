"""The study's page, the list, the audit trail and messages name one patient, also where a study has images of two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.delivery.test_unread import OTHER, contradicted, rejected
from tests.support.redis_server import RedisServer
from tests.support.studies import a_radiograph, settle
from tests.support.worklist_page import served
from triage.security.audit_trail import subject_of
from triage.spool.patient import patient_of
from triage.spool.spool import Spool


@pytest.mark.parametrize("mixed", [contradicted, rejected])
def test_the_page_names_the_patient_of_the_study_s_own_image_whatever_came_first(
    redis_server: RedisServer, spool: Spool, monkeypatch: pytest.MonkeyPatch, mixed: Callable[..., Any]
) -> None:
    for at in range(4):  # the UIDs say in which order the images of a study are found
        study = str(generate_uid())
        own = a_radiograph(study, SOPInstanceUID=f"1.2.{9 - at}", PatientBirthDate="19500101")
        monkeypatch.setitem(OTHER, "SOPInstanceUID", f"1.2.{at + 6}")
        mixed(spool, study, own)
        settle(spool, study)
        assert patient_of(spool, study).patient_id == "P-1" == subject_of(spool, study).patient_id
        with served(redis_server, spool) as (address, _):
            found = httpx.get(f"{address}/api/studies/{study}", trust_env=False, timeout=60).json()
        patient = found["patient"]
        assert (patient["PatientID"], patient["PatientBirthDate"]) == ("P-1", "19500101")


def test_a_study_without_a_decision_has_a_page_and_a_subject(spool: Spool) -> None:
    assert subject_of(spool, "1.2.3").patient_id == ""
