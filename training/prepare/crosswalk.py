"""Crosswalk from RSNA's images to NIH's: it tells which patients the two cohorts share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from training.prepare.cohort import PrepareError
from training.prepare.files import read_table, read_text, stem
from training.prepare.tang import patient_number

WHERE = (
    "RSNA publishes it as pneumonia-challenge-dataset-mappings_2018.json on the page of its 2018 challenge; a CSV file "
    "with columns rsna_patient,nih_image is read as well"
)


def read_crosswalk(path: Path) -> dict[str, str]:
    """Return ``nih:NUMBER`` by RSNA's patientId, from RSNA's JSON or a CSV file. Raises PrepareError naming the row."""
    pairs = _from_json(path) if path.suffix.lower() == ".json" else _from_csv(path)
    found: dict[str, str] = {}
    for where, rsna, image in pairs:
        number = patient_number(stem(image))
        if not rsna or not number.isdigit():
            raise PrepareError(f"{where}: {rsna!r} and {image!r} are not RSNA's patientId and NIH's image name")
        if found.setdefault(rsna, f"nih:{number}") != f"nih:{number}":
            raise PrepareError(f"{where}: {rsna} is an image of another patient further up")
    if not found:
        raise PrepareError(f"{path} names no image")
    return found


def translate(patient: str, crosswalk: Mapping[str, str], where: str) -> str:
    """Return NIH's patient of ``rsna:...``, any other patient unchanged. Raises PrepareError naming ``where``."""
    cohort, _, identifier = patient.partition(":")
    if cohort != "rsna":
        return patient
    if identifier not in crosswalk:
        raise PrepareError(f"{where}: {identifier} is not in the crosswalk, so its NIH patient is unknown")
    return crosswalk[identifier]


def _from_csv(path: Path) -> list[tuple[str, str, str]]:
    records = read_table(path, ("rsna_patient", "nih_image"))
    return [(record.where, record["rsna_patient"], record["nih_image"]) for record in records]


def _from_json(path: Path) -> list[tuple[str, str, str]]:
    try:
        entries = json.loads(read_text(path))
        return [
            (f"{path}, entry {number}", str(entry["subset_img_id"]), str(entry["img_id"]))
            for number, entry in enumerate(entries, start=1)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise PrepareError(
            f"{path} is not RSNA's mapping, a list of entries with subset_img_id and img_id: {error!r}"
        ) from error
