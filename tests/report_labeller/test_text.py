"""Findings, negations and their scope in report text; a report that says nothing has no label."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from triage.report_labeller.mesh import CARDIOPULMONARY, STRICT
from triage.report_labeller.reports import Report
from triage.report_labeller.rules import Rules, RulesError, rules
from triage.report_labeller.text import asserted, judge, sentences


def _label(text: str, definition: str = STRICT) -> int | None:
    return judge(Report("1", text, ""), definition).label


@pytest.mark.parametrize(
    "text",
    [
        "The lungs are clear.",
        "No pleural effusion, pneumothorax or focal consolidation.",
        "Lungs are free of focal airspace disease.",
        "Pneumothorax is not seen.",
        "Effusions and infiltrates are not identified.",
        "The previously seen infiltrate has resolved.",
        "The cardiac silhouette is not enlarged.",
        "Heart size and pulmonary vascular engorgement appear within limits of normal.",
        "Negative for pneumonia.",
        "There is neither edema nor effusion.",
        "1. Normal chest. 2. No acute disease.",
    ],
)
def test_normal(text: str) -> None:
    assert _label(text) == 0


@pytest.mark.parametrize(
    "text",
    [
        "There is a left pleural effusion.",
        "The heart is mildly enlarged.",
        "No pneumothorax but a small effusion.",
        "No pneumothorax. Small effusion.",
        "The lungs are clear. Patchy opacity in the right base.",
        "No change in the right upper lobe nodule.",
        "No significant interval change in cardiomegaly.",
        "Pneumonia cannot be entirely excluded.",
        "Opacity not seen on the prior examination.",
        "No effusion, however there is atelectasis.",
        "Clear lungs. 1. Cardiomegaly. 2. No effusion.",
        "Nodule of 1.5 cm in the left lung.",
    ],
)
def test_abnormal(text: str) -> None:
    assert _label(text) == 1
    assert _label(text, CARDIOPULMONARY) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Clear lungs. Right-sided PICC tip in the SVC.",
        "Clear lungs. Old right-sided rib fracture.",
        "Clear lungs. Healed fractures of the ribs.",
        "Clear lungs. Degenerative changes of the spine.",
        "Clear lungs. Calcification of the aortic arch.",
        "Clear lungs. Low lung volumes.",
    ],
)
def test_what_the_paper_counts_as_normal(text: str) -> None:
    assert (_label(text), _label(text, CARDIOPULMONARY)) == (1, 0)


def test_a_fracture_that_is_not_old_is_abnormal_either_way() -> None:
    assert _label("Fracture of the left sixth rib.", CARDIOPULMONARY) == 1


@pytest.mark.parametrize("text", ["", "Two views.", "XXXX", "The patient is rotated."])
def test_what_says_nothing_has_no_label(text: str) -> None:
    assert _label(text) is None


def test_the_sentence_that_decided_is_given() -> None:
    verdict = judge(Report("1", "Heart size is normal. There is mild edema.", "Edema."))
    assert (verdict.sentence, verdict.why) == ("There is mild edema", "oedema")


def test_sentences_survive_decimals_and_numerals() -> None:
    text = "1. Nodule of 1.5 cm. 2. No effusion; no edema.\nHeart normal."
    assert list(sentences(text)) == ["Nodule of 1.5 cm", "No effusion", "no edema", "Heart normal"]


def test_the_longest_phrase_counts() -> None:
    assert [finding.kind for finding in asserted("Healed rib fractures", rules())] == ["other"]
    assert [finding.kind for finding in asserted("Rib fractures", rules())] == ["cardiopulmonary"]


def _plain_words() -> list[str]:
    """Phrases of the rules that are words and not patterns."""
    table = tomllib.loads(Path("triage/report_labeller/rules.toml").read_text(encoding="utf-8"))["finding"]
    phrases = [phrase for kind in table.values() for found in kind.values() for phrase in found]
    return sorted(phrase for phrase in phrases if re.fullmatch("[a-z -]+", phrase))


def test_every_plain_word_of_the_rules_is_found_and_taken_back() -> None:
    words = _plain_words()
    assert len(words) > 80
    for word in words:
        assert _label(f"The lungs are clear. Mild {word} is present.") == 1, word
        assert _label(f"The heart is normal without any mild {word}.") == 0, word
        assert _label(f"There is mild {word}, no longer seen.") == 0, word


def test_rules_of_ones_own(tmp_path: Path) -> None:
    shipped = Path("triage/report_labeller/rules.toml").read_text(encoding="utf-8")
    own = tmp_path / "own.toml"
    own.write_text(shipped.replace("[finding.other]\n", "[finding.other]\nlocal = ['flurble']\n"))
    assert judge(Report("1", "A flurble is seen.", ""), STRICT, Rules.load(own)).why == "local"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[finding.other]", "[finding.bones]", "finding.bones: a finding is one of"),
        ("'edema'", "'ede(ma'", "finding.cardiopulmonary.oedema holds no regular expressions"),
        ("[negation]", "[negations]", "cannot be used as rules"),
    ],
)
def test_rules_that_cannot_be_used_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(Path("triage/report_labeller/rules.toml").read_text(encoding="utf-8").replace(old, new))
    with pytest.raises(RulesError, match=message):
        Rules.load(path)
