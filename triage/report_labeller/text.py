"""Normal or abnormal from a report's text: a finding that no word near it takes back (after Chapman's NegEx, 2001)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from triage.report_labeller.mesh import STRICT
from triage.report_labeller.reports import Report
from triage.report_labeller.rules import AbnormalTerm, Rules, rules

# A point ends a sentence unless it stands in a number or after a list's numeral; de-identified words are XXXX.
_SENTENCE_ENDS = re.compile(r"(?<!\d)\.(?!\d)|(?<=\d)\.(?=\s+[A-Z])|(?<=[a-z]\d)\.|[;!?\n]|\.\s*$")
_LETTER = re.compile("[A-Za-z]")
_REACH = 6
"""Words between a finding and a negation after it."""
_NUMERAL = re.compile(r"^\s*\d+\s*[.)]\s*")


@dataclass(frozen=True)
class ReportLabel:
    """``label`` 1 abnormal, 0 normal, None where the text says neither. ``sentence`` is the one that decided."""

    label: int | None
    sentence: str
    why: str


def judge(report: Report, definition: str = STRICT, using: Rules | None = None) -> ReportLabel:
    """Abnormal with any asserted finding that ``definition`` counts; normal only where the text says so.

    A report that neither asserts a finding nor denies one is not taken for normal: no label.
    """
    known = using or rules()
    spoken_for = ReportLabel(None, "", "no finding is named and nothing is said to be normal")
    for _, text in report.sections:
        for sentence in sentences(text):
            for finding in asserted(sentence, known):
                if definition == STRICT or finding.kind == definition:
                    return ReportLabel(1, sentence, finding.name)
            if spoken_for.label is None and says_normal(sentence, known):
                spoken_for = ReportLabel(0, sentence, "said to be normal, and no finding is asserted")
    return spoken_for


def sentences(text: str) -> Iterator[str]:
    """The sentences of a section, without the numerals of lists."""
    for part in _SENTENCE_ENDS.split(text):
        sentence = _NUMERAL.sub("", part).strip()
        if _LETTER.search(sentence):
            yield " ".join(sentence.split())


def asserted(sentence: str, known: Rules) -> list[AbnormalTerm]:
    """The findings that a sentence asserts: named, and not negated before, within or after."""
    return [finding for finding, negated in named(sentence, known) if not negated]


def says_normal(sentence: str, known: Rules) -> bool:
    """Whether a sentence says that something is normal, or that a finding is absent."""
    return bool(known.says_normal.search(sentence.lower())) or any(negated for _, negated in named(sentence, known))


def named(sentence: str, known: Rules) -> Iterator[tuple[AbnormalTerm, bool]]:
    """The findings that a sentence names, in its order, and whether each is negated.

    Where phrases overlap the longest counts: a healed fracture is not a fracture.
    """
    lower = known.ignored.sub(lambda match: " " * len(match[0]), sentence.lower())
    guarded = known.not_a_negation.sub(lambda match: "~" * len(match[0]), lower)
    found = [(finding, match) for finding in known.findings for match in finding.matches(lower)]
    found.sort(key=lambda each: (each[1].start() - each[1].end(), each[1].start()))
    taken: list[tuple[int, int]] = []
    for finding, match in found:
        if all(match.end() <= start or end <= match.start() for start, end in taken):
            taken.append(match.span())
            yield finding, _negated(guarded, match, known)


def _negated(sentence: str, match: re.Match[str], known: Rules) -> bool:
    """A negation before, in or after the finding holds, unless a word in between ends its scope."""
    ends = [end.end() for end in known.scope_ends.finditer(sentence, 0, match.start())]
    if known.negated_before.search(sentence, ends[-1] if ends else 0, match.end()):
        return True
    after = sentence[match.end() :]
    stop = known.scope_ends.search(after)
    negation = known.negated_after.search(after, 0, stop.start() if stop else len(after))
    return negation is not None and len(after[: negation.start()].split()) <= _REACH
