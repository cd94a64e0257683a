"""Small cohorts in the layouts in which their owners publish them, for tests of `prepare`."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
from click.testing import CliRunner, Result
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from training.cli import main


def run(*arguments: object) -> Result:
    """``python -m training`` with ``arguments``."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def picture(path: Path, shape: tuple[int, int] = (6, 8)) -> Path:
    """A tiny grey image, of each path another one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.random.default_rng(crc32(str(path).encode())).integers(0, 255, shape, dtype=np.uint8)
    assert cv2.imwrite(str(path), drawn)
    return path


def table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rsna_image(path: Path, patient: str, view: str = "AP") -> Path:
    """A DICOM file with the header that RSNA's have, the age written without its unit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=[patient])
    dataset.PatientID, dataset.PatientSex, dataset.ViewPosition = patient, "F", view
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 51 is no valid age string
        dataset.PatientAge = "51"
        dataset.save_as(path, enforce_file_format=True)
    return path


NIH_COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender",
               "View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]")  # fmt: skip


def nih(root: Path) -> Path:
    """Six images of four patients, the table gone into images_*/ folders, and the paper's four lists."""
    names = ["00000001_000", "00000001_001", "00000002_000", "00000003_000", "00000004_000", "00000004_001"]
    rows = [
        (
            f"{name}.png",
            "No Finding" if number % 2 else "Mass|Nodule",
            0,
            int(name[:8]),
            50 + number,
            "M",
            "PA",
            9,
            9,
            1,
            1,
        )
        for number, name in enumerate(names)
    ]
    table(root / "Data_Entry_2017_v2020.csv", NIH_COLUMNS, rows)
    for number, name in enumerate(names):
        picture(root / f"images_{number % 2 + 1:03}" / "images" / f"{name}.png")
    lists = {
        "train.txt": "00000001_000.png 1\n00000001_001.png 0\n",
        "val.txt": "00000002_000.png 1\n",
        "test_attending_rad.txt": "00000003_000.png 0\n00000004_000.png 1\n",
        "test_rad_consensus_voted3.txt": "00000003_000.png 1\n00000004_000.png 1\n",
    }
    for name, text in lists.items():
        (root / name).write_text(text)
    return root


RSNA_KINDS = ("Normal", "Lung Opacity", "No Lung Opacity / Not Normal")


def rsna(root: Path, images: int = 60) -> Path:
    """``images`` DICOM files whose NIH patients have two each: image n is of patient n // 2 + 1."""
    identifiers = [f"id-{number:03}" for number in range(images)]
    classes, labels = [], []
    for number, identifier in enumerate(identifiers):
        kind = RSNA_KINDS[number % 3]
        boxes = 2 if kind == "Lung Opacity" else 1
        classes += [(identifier, kind)] * boxes
        labels += [(identifier, "", "", "", "", int(kind == "Lung Opacity"))] * boxes
        rsna_image(root / "stage_2_train_images" / f"{identifier}.dcm", identifier)
    table(root / "stage_2_detailed_class_info.csv", ("patientId", "class"), classes)
    table(root / "stage_2_train_labels.csv", ("patientId", "x", "y", "width", "height", "Target"), labels)
    table(
        root / "crosswalk.csv",
        ("rsna_patient", "nih_image"),
        [(identifier, f"{number // 2 + 1:08}_{number:03}.png") for number, identifier in enumerate(identifiers)],
    )
    return root


def report(identifier: int, mesh: Sequence[str], findings: str = "", impression: str = "") -> str:
    """A report's XML as Open-i has it."""
    majors = "".join(f"<major>{text}</major>" for text in mesh)
    return (
        f'<eCitation><uId id="CXR{identifier}"/><MedlineCitation><Article><Abstract>'
        f'<AbstractText Label="INDICATION">cough</AbstractText>'
        f'<AbstractText Label="FINDINGS">{findings}</AbstractText>'
        f'<AbstractText Label="IMPRESSION">{impression}</AbstractText>'
        f"</Abstract></Article></MedlineCitation><MeSH>{majors}</MeSH></eCitation>"
    )
