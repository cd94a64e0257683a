"""NIH ChestX-ray14's own table of all 112,120 images (Wang et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.prepare.cohort import PrepareError, count
from training.prepare.files import digest_of, find_file, read_table, sex, years
from training.prepare.tang import patient_number
from triage.validation.cohort.manifest import Row
from triage.validation.cohort.provenance import Check

NAMES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position")
IMAGES, PATIENTS = 112_120, 30_805
DIGEST = "9e749a0b70e21f2803b792b4e4d4c2d7bf7560e2c4bd75780a5b83904df79b7a"
"""``digest_of`` the image names."""

TERMS = (
    "NIH Clinical Center: free use; cite Wang et al. 2017 (CVPR, ChestX-ray8) and name the NIH Clinical Center as the "
    "provider of the data"
)
NO_FINDING = "No Finding"


@dataclass(frozen=True)
class NIHTableRow:
    """One image of NIH's table."""

    name: str
    patient: str
    findings: str
    view: str
    age: float | None
    sex: str

    @property
    def text_label(self) -> int:
        """Label 1 if a finding was text-mined from the report, else 0."""
        return int(self.findings != NO_FINDING)

    def row(self, image: Path, label: int, split: str, columns: Mapping[str, str] | None = None) -> Row:
        """Return the manifest's row of the image, with free ``columns`` in addition to the findings."""
        return Row(
            image=image,
            label=label,
            patient=self.patient,
            split=split,
            view=self.view,
            age=self.age,
            sex=self.sex,
            source="nih-chestxray14",
            columns={"findings": self.findings, **(columns or {})},
        )


def read_entries(folder: Path) -> dict[str, NIHTableRow]:
    """Read the table's rows by image name. Raises PrepareError naming the row."""
    purpose = "NIH publishes it with the images, on nihcc.app.box.com/v/ChestXray-NIHCC"
    path = find_file(folder, *NAMES, purpose=purpose)
    entries: dict[str, NIHTableRow] = {}
    for record in read_table(path, COLUMNS):
        entry = _entry(record.where, record.values)
        if entry.name in entries:
            raise PrepareError(f"{record.where}: {entry.name} is in the table already")
        entries[entry.name] = entry
    return entries


def checks(entries: Mapping[str, NIHTableRow]) -> list[Check]:
    """Return the checks of the table's counts and digest against NIH's."""
    patients = len({entry.patient for entry in entries.values()})
    digest = digest_of(entries)
    return [
        count("images in NIH's table", len(entries), IMAGES),
        count("patients in NIH's table", patients, PATIENTS),
        Check(what="NIH's table, SHA-256 of its sorted image names", found=digest, expected=DIGEST),
    ]


def _entry(where: str, values: Mapping[str, str]) -> NIHTableRow:
    name, patient = values["Image Index"], values["Patient ID"].lstrip("0")
    if patient != patient_number(name):
        raise PrepareError(f"{where}: {name} is not an image of patient {values['Patient ID']}")
    if not values["Finding Labels"]:
        raise PrepareError(f"{where}: {name} has no finding label, not even {NO_FINDING!r}")
    return NIHTableRow(
        name=name,
        patient=f"nih:{patient}",
        findings=values["Finding Labels"],
        view=values["View Position"],
        age=years(values["Patient Age"]),
        sex=sex(values["Patient Gender"]),
    )
