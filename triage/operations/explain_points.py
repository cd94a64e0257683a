"""PURE: the operating points by which a study's images were judged, for `triage explain`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo

from triage.decision.findings import FindingScore
from triage.decision.types import ModelResult
from triage.model.points_entry import PointCases, PointEntry
from triage.model.points_file import PointsFile
from triage.operations.trace import StudyTrace

_OF_SETTINGS = "models.operating_point"


def points_in_words(trace: StudyTrace, file: PointsFile, now: float, zone: tzinfo | None) -> Iterator[str]:
    """Yield, for each point that judged an image, threshold, name, stratum, expiry and provenance.

    Threshold and name are those of the record: the file may have changed since, which is said.
    """
    told: set[tuple[str, str, str, float]] = set()
    for each in trace.objects:
        for result in each.assessment.model_results if each.assessment else ():
            for finding in result.findings:
                key = (result.model_digest, finding.name, finding.point, finding.threshold)
                if key not in told:
                    told.add(key)
                    yield from _point(result, finding, file, now, zone)


def _point(
    result: ModelResult, finding: FindingScore, file: PointsFile, now: float, zone: tzinfo | None
) -> Iterator[str]:
    named = f"{result.model_id}, {finding.title}: positive from {finding.threshold:.4g}"
    if not finding.point:
        yield f"{named}, the card's own"
        return
    if finding.point == _OF_SETTINGS:
        yield f"{named}, {_OF_SETTINGS} of the settings"
        return
    yield f"{named}, point {finding.point}"
    entry = file.find(result.model_digest, finding.name, finding.point)
    if entry is None:
        yield "  no longer in models.operating_points: its provenance is not known here"
        return
    if entry.threshold != finding.threshold:
        yield f"  the file has {entry.threshold} by this name now, which the following is about"
    yield from (f"  {line}" for line in _entry(entry, now, zone))


def _entry(entry: PointEntry, now: float, zone: tzinfo | None) -> Iterator[str]:
    origin = entry.provenance
    yield f"for {entry.stratum.words}" + (f"; reason: {entry.reason}" if entry.reason else "")
    if entry.expires is not None:
        gone = entry.expires.timestamp() <= now
        yield f"{'EXPIRED' if gone else 'expires'} {_moment(entry.expires, zone)}" + (
            ": the point of its parent is in force" if gone else ""
        )
    yield f"chosen {_moment(origin.at, zone)} by {origin.by}: {origin.rule}"
    for what, cases in (("chosen on (figures flatter it)", origin.chosen_on), ("checked on others", origin.checked_on)):
        if cases is not None:
            yield f"{what}: {_cases(cases)}"


def _cases(cases: PointCases) -> str:
    figures = ", ".join(
        f"{name} {each.value:.3f} ({each.low:.3f} to {each.high:.3f})" for name, each in cases.figures.items()
    )
    where = cases.manifest + (f", {cases.split}" if cases.split else "")
    return (
        f"{where} (SHA-256 {cases.manifest_sha256[:16]}), {cases.studies} studies of {cases.patients} patients, "
        f"{cases.positive_patients} positive: {figures}"
    )


def _moment(at: datetime, zone: tzinfo | None) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")
