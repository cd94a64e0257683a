"""docs/how-to/runbook.md has a section for every alert, and the alert leads to it and says the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = "docs/how-to/runbook.md"
TEXT = (ROOT / PAGE).read_text()
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
HEADING = re.compile(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(HEADING.findall(TEXT))


def named(action: str) -> set[str]:
    """Commands and settings that an alert's action speaks of, without their arguments."""
    plain = re.sub(r"\{\{.*?\}\}", "NAME", action)
    commands = {" ".join(line.split()[:2]) for line in re.findall(r"`(triage [^`]+)`", plain)}
    return commands | set(re.findall(r"--[a-z-]+", plain)) | set(re.findall(r"\b[a-z]+\.[a-z]+_[a-z_]+\b", plain))


def test_the_alerts_of_the_runbook_are_those_of_prometheus() -> None:
    assert ALERTS
    assert {name for name in SECTIONS if name.startswith("Cxr")} == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_leads_to_its_section_and_says_the_same(alert: dict[str, Any]) -> None:
    section = SECTIONS[alert["alert"]]
    assert alert["annotations"]["runbook"] == f"{PAGE}#{alert['alert'].lower()}"
    assert section.startswith(f"**{alert['labels']['severity']}**\n")
    parts = re.findall(r"^- \*\*(\w+):\*\* \S", section, re.MULTILINE)
    assert parts == ["Means", "Look", "Do", "Escalate"]
    assert {each for each in named(alert["annotations"]["action"]) if each not in section} == set()


def test_the_actions_name_commands_and_settings_to_compare() -> None:
    every = {each for alert in ALERTS for each in named(alert["annotations"]["action"])}
    assert {"triage dead-letters", "--requeue-all", "spool.retention_days"} <= every


def test_every_metric_and_alert_that_is_named_exists() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "triage/metrics").glob("*.py")))
    for name in re.findall(r"\bcxr_triage_([a-z_]+)\b", TEXT):
        assert f'"{name.removesuffix("_bucket")}"' in source, name
    assert set(re.findall(r"\bCxrTriage\w+", TEXT)) <= {alert["alert"] for alert in ALERTS}


def test_every_anchor_in_the_page_leads_to_a_heading() -> None:
    for page in ("docs/how-to/runbook.md", "docs/reference/conformance.md", "docs/how-to/connect-your-pacs.md"):
        for link, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", (ROOT / page).read_text()):
            target = (ROOT / page).parent / link if link else ROOT / page
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, (page, link, anchor)


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub makes: lower case, spaces to hyphens, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
