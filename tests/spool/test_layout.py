"""Steps from an earlier layout to this one: killed anywhere, of a later release, and back again."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.old_release import unpacked
from triage.cli import triage as cli
from triage.errors import EXIT_CANNOT_START
from triage.spool import layout
from triage.spool.errors import SpoolError
from triage.spool.layout import (
    FIRST,
    LAYOUT,
    LAYOUT_FILE,
    STEPS,
    LayoutError,
    LayoutStep,
    advance,
    at_start,
    layout_of,
    pending,
)
from triage.spool.opening import VERSION
from triage.spool.spool import Spool


class Killed(BaseException):
    pass


def steps_of(todo: list[str], harmless: bool = True) -> tuple[LayoutStep, ...]:
    """Two steps that move files, the second of which dies as often as there is something in ``todo``."""

    def first(root: Path) -> None:
        (root / "control" / "a").touch()

    def second(root: Path) -> None:
        for number in range(3):
            (root / "control" / f"b{number}").touch()
            if todo:
                todo.pop()
                raise Killed

    return LayoutStep(FIRST + 1, "make a", first), LayoutStep(FIRST + 2, "make b", second, harmless)


def test_the_steps_lead_from_the_first_layout_to_this_one() -> None:
    assert [step.to for step in STEPS] == list(range(FIRST + 1, LAYOUT + 1))


def test_a_spool_that_says_no_layout_is_of_the_first_and_a_new_one_says_it(tmp_path: Path) -> None:
    old = unpacked(tmp_path / "old")
    assert layout_of(old.spool.root) == FIRST
    assert layout_of(Spool.open(tmp_path / "new").root) == LAYOUT


def test_killed_in_any_step_it_is_run_again_to_the_end(spool: Spool) -> None:
    deaths = ["once", "twice"]
    steps = steps_of(deaths)
    for left in (1, 0):
        with pytest.raises(Killed):
            advance(spool.root, pending(spool.root, steps))
        assert layout_of(spool.root) == FIRST + 1
        assert len(deaths) == left
    advance(spool.root, pending(spool.root, steps))
    assert layout_of(spool.root) == FIRST + 2
    assert {"a", "b0", "b1", "b2"} <= {each.name for each in (spool.root / "control").iterdir()}
    assert pending(spool.root, steps) == []


def test_a_start_takes_harmless_steps_and_says_how_to_take_others(spool: Spool) -> None:
    with pytest.raises(LayoutError, match=r"stop every process, take a backup \(triage backup\), then: triage migrate"):
        at_start(spool.root, steps_of([], harmless=False))
    assert layout_of(spool.root) == FIRST  # none, not even the first
    at_start(spool.root, steps_of([]))
    assert layout_of(spool.root) == FIRST + 2


def test_a_later_layout_that_we_can_read_is_opened_and_one_that_we_would_misread_is_refused(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    (spool.root / LAYOUT_FILE).write_text(f"{LAYOUT + 5}\n")
    Spool.open(spool.root)
    assert f"has layout {LAYOUT + 5} of a later release" in caplog.text
    assert layout_of(spool.root) == LAYOUT + 5
    (spool.root / "VERSION").write_text(f"{int(VERSION) + 1}\n")
    with pytest.raises(SpoolError, match="run the release that wrote it"):
        Spool.open(spool.root)


@pytest.mark.parametrize("text", ["", "two", "-1", "0", "1\n2\n"])
def test_a_layout_that_is_no_number_is_refused_in_words(spool: Spool, text: str) -> None:
    (spool.root / LAYOUT_FILE).write_text(text)
    with pytest.raises(SpoolError, match="is not a number: restore it from a backup"):
        Spool.open(spool.root)


def run(root: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["migrate", *arguments], env={"TRIAGE_SPOOL_PATH": str(root)})
    return done.exit_code, done.output


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_check_changes_nothing_and_its_status_tells(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = spool.partition("canary")
    assert run(spool.root, "--check")[0] == 0
    steps = steps_of([])
    monkeypatch.setattr(layout.pending, "__defaults__", (steps,))
    before = everything(spool.root)
    status, said = run(spool.root, "--check")
    assert (status, said.count("to do: make a\n")) == (1, 2)  # the canary's is a spool, too
    assert everything(spool.root) == before
    assert run(spool.root)[0] == 0
    assert layout_of(spool.root) == layout_of(canary.root) == FIRST + 2
    assert run(spool.root, "--check")[0] == 0


def test_a_step_that_is_not_harmless_waits_until_nobody_works(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout.pending, "__defaults__", (steps_of([], harmless=False),))
    with spool.workers.hold("a-worker"):
        status, said = run(spool.root)
    assert status == EXIT_CANNOT_START
    assert "stop all of them first" in said
    assert layout_of(spool.root) == FIRST
    assert run(spool.root)[0] == 0


def test_of_a_later_release_it_says_so_and_touches_nothing(spool: Spool, tmp_path: Path) -> None:
    (spool.root / "VERSION").write_text("2\n")
    before = everything(spool.root)
    status, said = run(spool.root)
    assert (status, everything(spool.root)) == (EXIT_CANNOT_START, before)
    assert "run the release that wrote it" in said
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty")[0] == EXIT_CANNOT_START


def test_an_earlier_release_s_spool_needs_nothing_and_stays_one_that_it_can_read(tmp_path: Path) -> None:
    old = unpacked(tmp_path / "old")
    assert run(old.spool.root, "--check")[0] == 0
    Spool.open(old.spool.root)
    assert (old.spool.root / "VERSION").read_text().strip() == "1"
