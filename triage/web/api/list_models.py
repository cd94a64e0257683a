"""Order, filter and columns of the list as a browser sends them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from triage.decision.types import Tag
from triage.decision.urgency import Urgency
from triage.worklist.list_filter import ListFilter
from triage.worklist.list_order import Column, Sort

Word = Annotated[str, StringConstraints(max_length=64)]
Years = Annotated[float, Field(ge=0, le=150, allow_inf_nan=False)]

_CLOSED = ConfigDict(extra="forbid", frozen=True)


class SortBy(BaseModel):
    """An order by a column."""

    model_config = _CLOSED

    column: Column
    descending: bool = False

    def to_sort(self) -> Sort:
        """Return it as the worklist has it."""
        return Sort(self.column, self.descending)


class FilterBy(BaseModel):
    """A filter. Ages in years, ``arrived_within_hours`` in hours; see ``ListFilter``."""

    model_config = _CLOSED

    tags: tuple[Tag, ...] = Field((), max_length=3)
    urgencies: tuple[Urgency, ...] = Field((), max_length=5)
    senders: tuple[Word, ...] = Field((), max_length=20)
    views: tuple[Word, ...] = Field((), max_length=8)
    age_from: Years | None = None
    age_to: Years | None = None
    arrived_within_hours: float | None = Field(None, gt=0, le=10_000)

    def to_filter(self) -> ListFilter:
        """Return it as the worklist has it."""
        return ListFilter(
            frozenset(self.tags),
            frozenset(self.urgencies),
            frozenset(self.senders),
            frozenset(self.views),
            self.age_from,
            self.age_to,
            None if self.arrived_within_hours is None else self.arrived_within_hours * 3600,
        )


class ListPreferences(BaseModel):
    """The list as a user has arranged it. No search is kept: it may name a patient.

    ``columns``: names of the shown columns in their order; None for the default ones. Names are the page's, and
    unknown ones are ignored there, so that a column can be added or removed. ``language``: of the pages; None for that
    of the site or the browser.
    """

    model_config = _CLOSED

    columns: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")], ...] | None = Field(
        None, max_length=40
    )
    sort: SortBy | None = None
    filter: FilterBy = FilterBy()
    language: Literal["en", "de"] | None = None


class ListQuery(BaseModel):
    """A page of the list. ``show``: the unread studies, those read last, or those without a result yet."""

    model_config = _CLOSED

    show: Literal["unread", "read", "untagged"] = "unread"
    text: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] = ""
    sort: SortBy | None = None
    filter: FilterBy = FilterBy()
    limit: int = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=2000)
