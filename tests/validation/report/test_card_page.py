"""The pages of the released models are those that `triage card` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage.model.card import load_card
from triage.validation.report.card_page import card_page, read_metrics

ROOT = Path(__file__).parents[3]
VALIDATIONS = {
    "rsna-adult": ("rsna-adult-out-of-fold", "rsna-adult-on-nih-expert"),
    "wcmc-pediatric": ("wcmc-pediatric-on-wcmc-test",),
}


@pytest.mark.parametrize("name", VALIDATIONS)
def test_the_committed_page_is_what_the_command_writes(name: str) -> None:
    metrics = [read_metrics(ROOT / "docs" / "validation" / each / "metrics.json") for each in VALIDATIONS[name]]
    page = card_page(load_card(ROOT / "models" / name), metrics)
    assert page == (ROOT / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8"), "run: triage card --out …"


def test_a_card_without_figures_marks_them_as_not_known() -> None:
    card = load_card(ROOT / "models" / "rsna-adult")
    findings = tuple(each.model_copy(update={"operating_points": (), "performance": ()}) for each in card.findings[:1])
    bare = card.model_copy(update={"findings": findings, "licence": None, "demo": True})
    page = card_page(bare)
    for heading in ("Partition", "Operating points", "Performance"):
        assert f"## {heading}\n\n- **not known**\n" in page
    assert "**A demonstration:**" in page
    assert "Weights: under what they may be used is **not known**" in page
