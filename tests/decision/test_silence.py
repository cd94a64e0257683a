"""Whether a study is silent."""

from __future__ import annotations

import pytest

from triage.decision.silence import is_silent

TAGGED, EARLIER, LATER = 100.0, 90.0, 110.0


@pytest.mark.parametrize(
    ("before", "newest", "setting", "in_doubt", "silent"),
    [
        (None, LATER, True, False, True),  # it begins
        (None, LATER, False, False, False),
        (False, LATER, True, False, False),  # people know it: a late image is told
        (True, LATER, True, False, True),
        (True, EARLIER, False, False, True),  # a dead letter that is tried again after going live
        (True, TAGGED, False, False, True),
        (True, LATER, False, False, False),  # an image that came after going live
        (True, EARLIER, False, True, False),  # nobody can say which came first
        (True, EARLIER, True, True, True),
    ],
)
def test_it_is_settled_when_the_study_begins_and_ends_with_news(
    before: bool | None, newest: float, setting: bool, in_doubt: bool, silent: bool
) -> None:
    assert is_silent(before, TAGGED, newest, setting, clock_in_doubt=in_doubt) is silent
