"""The silence of a study: recorded, and neither listed, raised nor delivered (docs/adr/0051). Pure."""

from __future__ import annotations


def is_silent(before: bool | None, tagged_at: float, newest: float, setting: bool, *, clock_in_doubt: bool) -> bool:
    """Return whether a study's next decision is silent.

    A study that was shown stays shown; a silent one stays silent until an image comes after the site has gone live. If
    the clock cannot tell which came first, the study is shown.

    Args:
        before: whether the last decision was silent; None if this is the first.
        tagged_at: when that was made, in POSIX seconds.
        newest: when the last of the images came, in POSIX seconds.
        setting: whether the site is silent now.
        clock_in_doubt: whether the clock has jumped.
    """
    if before is None:
        return setting
    if setting or not before:
        return before
    return newest <= tagged_at and not clock_in_doubt
