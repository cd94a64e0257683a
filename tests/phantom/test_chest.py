"""Phantoms: honest about what they are, valid DICOM, and like a chest to our own decoding."""

from __future__ import annotations

import re
import subprocess
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from triage.phantom.chest import PhantomSubject, as_dicom, draw, draw_lateral, samples
from triage.radiograph.decode import decode_pixels, open_dicom
from triage.radiograph.eligibility import ineligible, view_of
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.types import Radiograph, Rejected, View

DCIODVFY = Path("/usr/bin/dciodvfy")


def small(seed: int = 1, *, opacity: bool = False, child: bool = False) -> bytes:
    return as_dicom(draw(seed, rows=128, columns=96, opacity=opacity, child=child), PhantomSubject())


def test_the_same_seed_draws_the_same_chest() -> None:
    assert small(1) == small(1)
    assert small(1) != small(2)
    assert small(1) != small(1, opacity=True)
    assert draw(1).dtype == np.uint16
    assert draw(1, rows=300, columns=200).shape == (300, 200)
    assert 0 <= draw(1).min() < draw(1).max() < 4096


def test_lungs_are_dark_between_bright_mediastinum_and_belly() -> None:
    for seed in range(4):
        chest = cv2.resize(draw(seed), (32, 32), interpolation=cv2.INTER_AREA).astype(float)
        middle, left, right, belly = chest[8:18, 15:17], chest[8:18, 9:11], chest[8:14, 21:23], chest[27:31, 8:24]
        assert max(left.mean(), right.mean()) + 500 < min(middle.mean(), belly.mean())


def test_an_opacity_brightens_one_lung_only() -> None:
    difference = draw(3, opacity=True).astype(float) - draw(3)
    assert difference[400:650, 230:400].mean() > 300
    assert abs(difference[:, 600:].mean()) < 1


def test_every_sample_says_that_it_is_a_phantom() -> None:
    for sample in samples():
        for content in sample.files:
            dataset = dcmread(BytesIO(content))
            assert str(dataset.PatientName).startswith("PHANTOM^")
            assert dataset.QualityControlImage == "YES"
            assert "hantom" in dataset.ImageComments


def test_samples_show_every_way_through_the_service() -> None:
    found = {}
    for sample in samples():
        for content in sample.files:
            opened = open_dicom(content)
            assert not isinstance(opened, Rejected)
            dataset, attributes = opened
            assert isinstance(decode_pixels(dataset, attributes), Radiograph)
            refusal = ineligible(attributes, EligibilityPolicy())
            why = str(refusal.reason) if refusal else ""
            found.setdefault(sample.name, []).append(
                (view_of(attributes, EligibilityPolicy()), attributes.age_years, why)
            )
    assert found == {
        "adult": [(View.PA, 50.0, "")],
        "adult with an opacity": [(View.PA, 67.0, "")],
        "adult, two views": [(View.PA, 35.0, ""), (View.LATERAL, 35.0, "not_frontal")],
        "child of 3 years": [(View.AP, 3.0, "")],
        "age unknown": [(View.PA, None, "")],
        "for processing": [(View.PA, 50.0, "for_processing")],
    }


def test_uids_tell_objects_apart_and_keep_a_study_together() -> None:
    datasets = [[dcmread(BytesIO(content)) for content in sample.files] for sample in samples()]
    studies = [{each.StudyInstanceUID for each in group} for group in datasets]
    assert all(len(uids) == 1 for uids in studies)
    assert len(set.union(*studies)) == len(studies)
    instances = [each.SOPInstanceUID for group in datasets for each in group]
    assert len(set(instances)) == len(instances)
    assert all(re.fullmatch(r"2\.25\.\d+", uid) for uid in instances)


@pytest.mark.skipif(not DCIODVFY.exists(), reason="no dciodvfy: apt-get install dicom3tools")
def test_phantoms_are_valid_dx(tmp_path: Path) -> None:
    lateral = as_dicom(draw_lateral(1, rows=64, columns=64), PhantomSubject("LL"))
    urgent = as_dicom(draw(1, rows=64, columns=64), PhantomSubject(age="", accession="A1", priority="STAT"))
    for content in [lateral, urgent, *(content for sample in samples() for content in sample.files)]:
        path = tmp_path / "phantom.dcm"
        path.write_bytes(content)
        found = subprocess.run([DCIODVFY, "-new", path], capture_output=True, text=True, check=False)
        assert "Error" not in found.stderr, found.stderr
        assert found.returncode == 0
