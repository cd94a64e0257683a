"""PURE: the words of a page. It says the finding and how often such a result is right, and names the study."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from triage.paging.predictive_value import PredictiveValue

TITLE = "cxr-triage: a raised chest radiograph is not read"
NOTE = (
    "This is the output of a program about one examination, for the reading rota. It is no report, must not be passed "
    "on to referrers, and takes the place of no procedure for critical results."
)

_AT_MOST, _LONGEST = 4, 120  # findings, and characters of a title: Discord takes 2,000 in all


@dataclass(frozen=True)
class PagedFinding:
    """One finding, for people. ``probability`` and ``threshold`` from 0 to 1; ``ppv`` is None where it is not known.

    ``urgency``: by the site's table; empty where the decision has none.
    """

    title: str
    model: str = ""
    probability: float | None = None
    threshold: float | None = None
    ppv: PredictiveValue | None = None
    urgency: str = ""


@dataclass(frozen=True)
class PageFacts:
    """The content of a page. Times in POSIX seconds; identifiers are empty where the site wants none.

    ``contact``: the last contact of a reader, for people, and when. ``repeated``: the page was tried before. ``full``:
    with it the cap of so many pages an hour is reached. ``address``: that of the study on the worklist page.
    """

    identity: str
    number: int
    since: float
    now: float
    repeat_s: float
    findings: tuple[PagedFinding, ...] = ()
    accession_number: str = ""
    patient: str = field(default="", repr=False)
    study_instance_uid: str = ""
    address: str = ""
    contact: str = ""
    contact_at: float | None = None
    repeated: bool = False
    full: int = 0
    zone: tzinfo = UTC
    test: bool = False


@dataclass(frozen=True)
class Page:
    """A page for any route. ``fields``: the parts of the text by name, for templates."""

    identity: str
    number: int
    title: str
    text: str
    fields: dict[str, str] = field(repr=False)


def page_of(facts: PageFacts) -> Page:
    """Return the page in words."""
    title = f"TEST: {TITLE}" if facts.test else TITLE
    lines = ["TEST: this page is about no patient.", ""] if facts.test else []
    lines += [_why(facts), *_findings(facts.findings), *_who(facts), f"Page {facts.number} about this study."]
    if facts.repeated:
        lines.append("It was tried before without a certain end: you may have it already.")
    if facts.full:
        lines.append(f"The cap of {facts.full} pages an hour is reached: further raised studies are on the list only.")
    again = f"Opening or acknowledging is not reading: it is paged again after {_minutes(facts.repeat_s)}, until read."
    text = "\n".join([*lines, again, NOTE])
    values = {
        "text": text,
        "title": title,
        "finding": ", ".join(_isolated(_plain(each.title)) for each in facts.findings) or "not known",
        "ppv": "; ".join(ppv_text(each.ppv) for each in facts.findings) or "not known",
        "accession_number": _plain(facts.accession_number),
        "address": facts.address,
        "number": str(facts.number),
    }
    return Page(facts.identity, facts.number, title, text, values)


def _why(facts: PageFacts) -> str:
    raised = f"raised at {_clock(facts.since, facts)}, {_minutes(facts.now - facts.since)} ago"
    if facts.contact and facts.contact_at is not None:
        met = f"was {_isolated(_plain(facts.contact))} at {_clock(facts.contact_at, facts)} and is not read"
        return f"A chest radiograph, {raised}, {met}."
    return f"A chest radiograph, {raised}, was opened by no reader and is not read."


def _findings(findings: Sequence[PagedFinding]) -> list[str]:
    """Return a bounded text: a chat refuses a long message."""
    shown = [_finding(each) for each in findings[:_AT_MOST]]
    further = len(findings) - len(shown)
    return [*shown, f"And {further} further findings."] if further else shown


def _finding(finding: PagedFinding) -> str:
    words = [_isolated(_plain(finding.title)[:_LONGEST])]
    if finding.urgency:
        words.append(f"({finding.urgency})")
    if finding.model:
        words.append(f"by {_isolated(_plain(finding.model))}")
    found = " ".join(words)
    if finding.probability is not None:
        found += f", score {finding.probability:.2f}"
    if finding.threshold is not None:
        found += f" (positive from {finding.threshold:.2f})"
    return f"Finding: {found}.\nPositive predictive value: {ppv_text(finding.ppv)}."


def ppv_text(ppv: PredictiveValue | None) -> str:
    """Return a predictive value in words, or that it is not known."""
    if ppv is None:
        return "not known at this site (models.prevalence or the model's card does not state enough)"
    of = f"at this site's prevalence of {ppv.prevalence:.3g}"
    approximate = ", by figures that the card calls approximate" if ppv.approximate else ""
    return f"{ppv.value:.2f} ({ppv.low:.2f} to {ppv.high:.2f}) {of}{approximate}"


def _who(facts: PageFacts) -> list[str]:
    named = {
        "Patient": _isolated(_plain(facts.patient)),
        "Accession number": _isolated(_plain(facts.accession_number)),
        "Study": facts.address or facts.study_instance_uid,
    }
    return [f"{name}: {value}" for name, value in named.items() if value]


def _clock(moment: float, facts: PageFacts) -> str:
    return f"{datetime.fromtimestamp(moment, UTC).astimezone(facts.zone):%Y-%m-%d %H:%M %Z}"


def _minutes(seconds: float) -> str:
    return f"{max(seconds, 0.0) / 60:.0f} min"


def _isolated(text: str) -> str:
    """Return a text of others for a sentence: a name from right to left changes the order of nothing else."""
    from_right = any(unicodedata.bidirectional(each) in ("R", "AL", "AN") for each in text)
    return f"\u2068{text}\u2069" if from_right else text


def _plain(text: str) -> str:
    """Return a text of others on one line, with a space for each character that is not seen."""
    shown = (" " if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") else each for each in text)
    return " ".join("".join(shown).split())
