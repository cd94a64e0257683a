"""The Open-i collection's reports (Demner-Fushman et al. 2016): one XML file each, in a folder or a tar archive."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from triage.errors import StartError
from triage.runtime.csv_table import identifier_fault, read_table

ARCHIVE = "NLMCXR_reports.tgz"
SECTIONS = ("FINDINGS", "IMPRESSION")
"""Sections with the radiologist's observations; indication and comparison describe suspicions and earlier images."""


class ReportError(StartError):
    """A report that cannot be read; the message names the file."""


@dataclass(frozen=True)
class Report:
    """One report: its identifier, its sections, and the indexers' findings with qualifiers (``mesh``)."""

    identifier: str
    findings: str
    impression: str
    mesh: tuple[str, ...] = ()

    @property
    def sections(self) -> tuple[tuple[str, str], ...]:
        """Name and text of the sections with observations."""
        return tuple(zip(SECTIONS, (self.findings, self.impression), strict=True))


def read_reports(source: Path) -> list[Report]:
    """Read every report of a .tgz, or of a folder that holds it or XML files, by number. Raises ReportError."""
    reports: dict[str, Report] = {}
    archive = source / ARCHIVE
    for name, data in _files(archive if archive.is_file() else source):
        report = parse_report(name, data)
        if report.identifier in reports:
            raise ReportError(f"{name}: report {report.identifier} is there twice")
        reports[report.identifier] = report
    if not reports:
        raise ReportError(f"{source} holds no report: give the folder or the .tgz of Open-i's NLMCXR_reports")
    return sorted(reports.values(), key=lambda report: (len(report.identifier), report.identifier))


def read_report_table(path: Path) -> list[Report]:
    """Read the reports of a CSV file with columns ``report`` (identifier) and ``text``. Raises ReportError."""
    reports: dict[str, Report] = {}
    table = read_table(path, ("report", "text"), refusal=ReportError)
    for row in table.records:
        identifier = row.values["report"]
        if fault := identifier_fault(identifier):
            raise ReportError(f"{path}, line {row.line}: report {fault}")
        if identifier in reports:
            raise ReportError(f"{path}, line {row.line}: report {identifier!r} is there already")
        reports[identifier] = Report(identifier, findings=row.values["text"], impression="")
    return list(reports.values())


def parse_report(name: str, data: bytes) -> Report:
    """Parse one XML file. Raises ReportError."""
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ReportError(f"{name} is not XML: {error}") from error
    identifier = re.fullmatch(r"CXR(\d+)", _attribute(root, "uId", "id"))
    if identifier is None:
        raise ReportError(f"{name} has no uId of the form CXR1")
    sections = {element.get("Label", ""): element.text or "" for element in root.iter("AbstractText")}
    mesh = tuple(text for element in root.iter("major") if (text := (element.text or "").strip()))
    findings, impression = (sections.get(section, "").strip() for section in SECTIONS)
    return Report(identifier[1], findings, impression, mesh)


def _attribute(root: ElementTree.Element, tag: str, name: str) -> str:
    element = root.find(tag)
    return "" if element is None else element.get(name, "")


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*.xml")):
            yield path.name, path.read_bytes()
        return
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and member.name.endswith(".xml"):
                    yield member.name, file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ReportError(f"{source} cannot be read as an archive of reports: {error}") from error
