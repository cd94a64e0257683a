"""PURE: whether a study is silent: recorded, and neither listed, raised nor delivered (ADR 51)."""

from __future__ import annotations


def is_silent(before: bool | None, tagged_at: float, newest: float, setting: bool, *, clock_in_doubt: bool) -> bool:
    """Whether a study's next decision is silent.

    ``before``: whether its last one was, made at ``tagged_at``; None if this is the first. ``newest``: when the last of
    its images came; both in POSIX seconds. ``setting``: what the site says today. A study that people know stays with
    them; one that began silent stays so until an image comes after the site has gone live. Where the clock cannot say
    which came first, it is shown.
    """
    if before is None:
        return setting
    if setting or not before:
        return before
    return newest <= tagged_at and not clock_in_doubt
