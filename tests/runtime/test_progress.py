"""A process is ready while it gets on with its work, and not because it runs."""

from triage.runtime.progress import ProgressWatch, all_ready


def test_ready_from_the_first_progress_until_none_comes() -> None:
    now = [0.0]
    progress = ProgressWatch("sweeping", 60.0, clock=lambda: now[0])
    assert progress.ready() == (False, "starting")
    progress.made()
    assert progress.ready() == (True, "sweeping")
    now[0] = 61.0
    assert progress.ready() == (False, "no progress for 61 s: see the log")
    progress.made()
    assert progress.ready() == (True, "sweeping")


def test_a_failure_is_said_until_there_is_progress() -> None:
    progress = ProgressWatch("sweeping", 60.0)
    progress.made()
    progress.failed("Redis does not answer")
    assert progress.ready() == (False, "Redis does not answer")
    progress.made()
    assert progress.ready() == (True, "sweeping")


def test_a_process_is_ready_if_all_of_it_is() -> None:
    parts = [ProgressWatch("a", 60.0), ProgressWatch("b", 60.0)]
    parts[0].made()
    parts[1].failed("b: the disk is full")
    assert all_ready(parts) == (False, "b: the disk is full")
    parts[1].made()
    assert all_ready(parts) == (True, "a; b")
