"""Indiana University chest radiographs of Open-i: images, a table of projections, and reports with MeSH codes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.labeller.label_table import CheckedReports, read_labels
from training.prepare import options, splits
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError, count
from training.prepare.files import digest_of, find_file, index_images, locate, read_table, stem
from training.prepare.options import DrawOptions
from triage.report_labeller import mesh
from triage.report_labeller.reports import ARCHIVE, Report, read_reports
from triage.validation.cohort.manifest import Row
from triage.validation.cohort.provenance import Check

REPORTS, IMAGES, FRONTAL = 3955, 7466, 3818
TEST: dict[Hashable, int] = {0: 216, 1: 216}
"""Size of the test set by label: the paper tests on 432 frontal images, half of them normal."""
TEST_DIGESTS = {
    mesh.STRICT: "6a4a7ecbaa33bfbc82de952ea92aade5f4f98c76d1364f70f7098d5828a2b5f7",
    mesh.CARDIOPULMONARY: "eeec5048d16a90dd44e0dae652554732caf511a52fe48382bb42e2fbf25cb72a",
}
"""``digest_of`` the names of the test images that the default seed draws: our published split."""
PROJECTIONS_DIGEST = "f5c8a35370dd8a943e9f88db5273d17df4c148109588a697e3386bcd5168acd0"
"""``digest_of`` the lines ``filename projection``."""
VIEW = "view"
RULES = {
    mesh.STRICT: "normal: the indexers' code `normal`; abnormal: any other finding, devices and healed fractures too",
    mesh.CARDIOPULMONARY: (
        "as the paper counts: abnormal with a finding in heart, lungs, pleura, mediastinum or diaphragm, or a fracture "
        "not said to be healed; normal with none, devices, bones and aortic sclerosis notwithstanding (mesh.toml)"
    ),
    VIEW: "1 lateral, 0 frontal, from the table of projections: for the view classifier",
}
UNPUBLISHED = "the paper's 432 test images are unpublished; these are drawn with a seed and are not the paper's"
NO_PATIENTS = "Open-i publishes no patient identifiers: a report stands for a patient here, which is not verified"
OWN_CLASSIFIER = "the paper found 3,813 frontal images with a classifier of its own; the table of projections has 3,818"
ADVICE = (
    "Unpack NLMCXR_png.tgz or NLMCXR_dcm.tgz of openi.nlm.nih.gov/faq (or the normalised PNG copies that name the "
    "table of projections) below the source folder"
)


@dataclass(frozen=True)
class _IndianaImage:
    where: str
    report: str
    name: str
    projection: str


@dataclass(frozen=True)
class IndianaOptions(DrawOptions):
    """Options of ``prepare indiana``: reports, definition of the label, and labels of reports without codes."""

    reports: Path | None
    labels: str
    report_labels: Path | None


def prepare(source: Path, chosen: IndianaOptions) -> PreparedCohort:
    """Return frontal rows (all rows for ``view``) labelled by the reports' MeSH codes. Raises PrepareError.

    The test set is drawn by report.
    """
    labels = chosen.labels
    known = {report.identifier: report for report in read_reports(chosen.reports or _find_reports(source))}
    images = _read_images(source)
    if chosen.report_labels and labels == VIEW:
        raise PrepareError("--report-labels are of reports; the view comes from the table of projections")
    checked = read_labels(chosen.report_labels, labels) if chosen.report_labels else CheckedReports()
    label_of = _view_labels(images) if labels == VIEW else _report_labels(images, known, labels, checked)
    published = chosen.seed == options.DEFAULT_SEED and chosen.report_labels is None
    rows: Sequence[Row] = [_row(image, label_of[image.name], known) for image in images if image.name in label_of]
    rows = rows if labels == VIEW else splits.hold_out(rows, TEST, chosen.seed, "test")
    rows = splits.assign_folds(splits.carve(rows, chosen.validation, chosen.seed), chosen.folds, chosen.seed)
    present, missing = locate(rows, index_images(source, image_key))
    return PreparedCohort(
        rows=tuple(present),
        checks=(*_checks(known, images), *(() if labels == VIEW else _test_checks(rows, labels if published else ""))),
        missing=tuple(f"{name}.png" for name in missing),
        advice=ADVICE,
        warnings=(NO_PATIENTS, *(() if labels == VIEW else (UNPUBLISHED, OWN_CLASSIFIER))),
        notes={"labels": RULES[labels], **_left_out(images, label_of, labels)},
    )


def image_key(name: str) -> str:
    """Return one name for an image of any publication: ``CXR1_1_IM-0001-3001.png`` -> ``1_IM-0001-3001``."""
    return re.sub(r"^CXR(\d+_(?=\d+_IM-))?", "", stem(name))


def _find_reports(source: Path) -> Path:
    for name in (ARCHIVE, "NLMCXR_reports", "ecgen-radiology"):
        if (source / name).exists():
            return source / name
    raise PrepareError(f"{source} holds no {ARCHIVE} and no ecgen-radiology: give the reports with --reports")


def _read_images(source: Path) -> list[_IndianaImage]:
    path = find_file(source, "indiana_projections.csv", purpose="it says which images are frontal")
    images = {}
    for record in read_table(path, ("uid", "filename", "projection")):
        image = _IndianaImage(record.where, record["uid"], image_key(record["filename"]), record["projection"])
        if image.projection not in ("Frontal", "Lateral"):
            raise PrepareError(f"{record.where}: projection {image.projection!r} is not Frontal or Lateral")
        if image.name in images:
            raise PrepareError(f"{record.where}: {record['filename']} is in the table already")
        if image.name.partition("_")[0] != image.report:
            raise PrepareError(f"{record.where}: {record['filename']} is not an image of report {image.report}")
        images[image.name] = image
    return list(images.values())


def _report_labels(
    images: list[_IndianaImage], reports: Mapping[str, Report], definition: str, checked: CheckedReports
) -> dict[str, int]:
    """Return labels of the frontal images: a person's, else MeSH's, else the rules'; others are left out."""
    found = {}
    for image in images:
        if image.report not in reports:
            raise PrepareError(f"{image.where}: report {image.report} is not among the reports")
        label = checked.resolve(image.report, mesh.label(reports[image.report].mesh, definition))
        if image.projection == "Frontal" and label is not None:
            found[image.name] = label
    return found


def _view_labels(images: list[_IndianaImage]) -> dict[str, int]:
    return {image.name: int(image.projection == "Lateral") for image in images}


def _row(image: _IndianaImage, label: int, reports: Mapping[str, Report]) -> Row:
    if image.report not in reports:
        raise PrepareError(f"{image.where}: report {image.report} is not among the reports")
    return Row(
        image=Path(image.name),
        label=label,
        patient=f"indiana:{image.report}",
        split="train",
        view=image.projection.upper(),
        source="indiana-openi",
        columns={"report": image.report, "mesh": "|".join(reports[image.report].mesh)},
    )


def _checks(reports: Mapping[str, Report], images: list[_IndianaImage]) -> list[Check]:
    frontal = sum(image.projection == "Frontal" for image in images)
    digest = digest_of(f"{image.name}.dcm.png {image.projection}" for image in images)
    return [
        count("reports", len(reports), REPORTS),
        count("images in the table of projections", len(images), IMAGES),
        count("frontal images", frontal, FRONTAL),
        Check(what="SHA-256 of the sorted projections", found=digest, expected=PROJECTIONS_DIGEST),
    ]


def _test_checks(rows: Sequence[Row], definition: str) -> list[Check]:
    test = [row for row in rows if row.split == "test"]
    found: Counter[Hashable] = Counter(row.label for row in test)
    digest = digest_of(row.image.name for row in test)
    return [
        *(count(f"test images labelled {label}", found[label], number) for label, number in TEST.items()),
        Check(what="SHA-256 of the test's sorted names", found=digest, expected=TEST_DIGESTS.get(definition)),
    ]


def _left_out(images: list[_IndianaImage], label_of: Mapping[str, int], labels: str) -> dict[str, int]:
    if labels == VIEW:
        return {}
    frontal = [image for image in images if image.projection == "Frontal"]
    return {"frontal images left out, report without a label": sum(image.name not in label_of for image in frontal)}


COHORT = CohortKind(
    name="indiana",
    title="Indiana University chest radiographs, Open-i (Demner-Fushman et al. 2016)",
    terms="CC BY-NC-ND 4.0, National Library of Medicine, Open-i; cite Demner-Fushman et al. 2016",
    prepare=prepare,
    options_type=IndianaOptions,
    options=(
        options.path("--reports", "Folder or .tgz of the reports. Default: found in the source folder."),
        options.choice(
            "--labels", tuple(RULES), mesh.STRICT, "Which definition of abnormal; or the view, of all images."
        ),
        options.file("--report-labels", "CSV from `label-reports` for reports without MeSH codes, corrected or not."),
        *options.drawn(),
    ),
)
