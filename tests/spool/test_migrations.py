"""The rule for steps of the schema: two releases work on one database, so a step adds (docs/adr/0092)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic import op

from tests.support.widening_steps import narrowing
from triage.spool.cluster.migrations import RELEASED
from triage.spool.cluster.schema import Steps

_FIRST = "0009"
"""The step with which the rule begins."""
_WITHOUT_A_SCHEMA = {"0.1.0", "0.2.0"}
"""Releases of before the store that hosts share."""


@dataclass(frozen=True)
class Step:
    """One step: what it says of itself, and its SQL."""

    revision: str
    oldest: str
    statements: tuple[str, ...]


def faults(steps: list[Step], released: str) -> list[str]:
    """Return what is wrong with steps, in their order. ``released``: the schema of the last release, "" for none."""
    found, before = list[str](), steps[0].oldest
    for each in steps:
        if not before <= each.oldest <= each.revision:
            found.append(f"{each.revision}: programs from schema {each.oldest} on, behind one from {before} on")
        if released and each.revision > released and each.oldest > released:
            found.append(f"{each.revision}: the last release ({released}) is locked out of a site half way")
        if each.oldest == before:
            found += [f"{each.revision}: {sql}" for sql in narrowing(each.statements)]
        before = each.oldest
    return found


def statements_of(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The SQL that a step runs: by ``op.execute`` alone, so that it can be read here."""
    seen = list[str]()

    def refuse() -> Any:
        raise AssertionError(f"{module.__name__} asks the database: what it then does cannot be read")

    with monkeypatch.context() as patched:
        patched.setattr(op, "execute", seen.append)
        patched.setattr(op, "get_bind", refuse)
        module.upgrade()
    return tuple(seen)


def test_each_step_leaves_programs_of_before_what_they_use(monkeypatch: pytest.MonkeyPatch):
    scripts = reversed([each for each in Steps().scripts.walk_revisions() if each.revision >= _FIRST])
    steps = [Step(each.revision, each.module.oldest, statements_of(each.module, monkeypatch)) for each in scripts]
    assert steps[0].revision == _FIRST and steps[0].statements
    assert faults(steps, max(RELEASED.values(), default="")) == []


def test_each_release_has_its_schema_written_down():
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
    assert set(re.findall(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)) - _WITHOUT_A_SCHEMA == set(RELEASED)


NEW = "CREATE TABLE ward (tenant text NOT NULL, study_uid text REFERENCES study ON DELETE CASCADE)"


@pytest.mark.parametrize(
    "statements",
    [
        (NEW,),
        ("ALTER TABLE study ADD COLUMN ward text",),
        ("ALTER TABLE study ADD COLUMN ward text CHECK (length(ward) < 9)",),
        ("ALTER TABLE study ADD COLUMN ward text\n  NOT NULL DEFAULT 'a, b'", "UPDATE study SET ward = 'b'"),
        ("CREATE INDEX study_by_ward ON study (ward)",),
        (NEW, "CREATE UNIQUE INDEX ward_of_study ON ward (study_uid)", "ALTER TABLE ward ADD UNIQUE (tenant)"),
        (NEW, "INSERT INTO ward SELECT tenant, study_uid FROM study"),
        ("CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",),
        ("CREATE TRIGGER told AFTER INSERT OR UPDATE ON study FOR EACH ROW EXECUTE FUNCTION tell()",),
    ],
)
def test_what_adds_is_let_through(statements: tuple[str, ...]):
    assert faults([Step("0010", "0009", statements)], "0009") == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE study DROP COLUMN touched",
        "ALTER TABLE study RENAME COLUMN touched TO changed",
        "ALTER TABLE study RENAME TO examination",
        "ALTER TABLE study ALTER COLUMN touched TYPE date",
        "ALTER TABLE study ALTER COLUMN decision SET NOT NULL",
        "ALTER TABLE study ALTER COLUMN touched DROP DEFAULT",
        "ALTER TABLE study ADD COLUMN ward text NOT NULL",
        "ALTER TABLE study ADD COLUMN ward text UNIQUE",
        "ALTER TABLE study ADD COLUMN ward text, DROP COLUMN touched",
        "ALTER TABLE study ADD COLUMN ward text REFERENCES place",
        "ALTER TABLE study ADD CONSTRAINT decided CHECK (decision IS NOT NULL)",
        "CREATE UNIQUE INDEX one_group ON study (study_group)",
        "CREATE TABLE ward (study_uid text REFERENCES study)",
        "CREATE TRIGGER guard BEFORE UPDATE ON study FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
        "DROP TABLE place",
        "DROP INDEX study_by_group",
        "DROP TRIGGER study_changed ON study",
        "UPDATE study SET decision = upper(decision)",
        "DELETE FROM record",
        "INSERT INTO place VALUES ('a', '', 'b')",
        "REVOKE UPDATE ON study FROM public",
    ],
)
def test_what_narrows_is_found_unless_who_uses_it_is_locked_out(statement: str):
    steps = [Step("0010", "0009", ()), Step("0011", "0009", (statement,))]
    assert faults(steps, "0010") == [f"0011: {statement}"]
    raised = [steps[0], Step("0011", "0010", (statement,))]
    assert faults(raised, "0010") == []
    assert faults(raised, "0009") == ["0011: the last release (0009) is locked out of a site half way"]


def test_no_step_lets_programs_back_in_that_an_earlier_one_has_locked_out():
    steps = [Step("0010", "0010", ()), Step("0011", "0009", ())]
    assert faults(steps, "0011") == ["0011: programs from schema 0009 on, behind one from 0010 on"]
