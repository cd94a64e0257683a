"""Facts of listed studies: read in small steps, at a cost that is that of the studies, and no more of them kept."""

from __future__ import annotations

from collections.abc import Iterator, Set

from tests.support.studies import a_study
from triage.spool.spool import Spool
from triage.worklist.facts_index import FactsIndex


class Listed(Set[str]):
    """The studies of a list, and how often they were gone through."""

    def __init__(self, studies: set[str]) -> None:
        self.studies, self.passes = studies, 0

    def __contains__(self, study: object) -> bool:
        return study in self.studies

    def __iter__(self) -> Iterator[str]:
        self.passes += 1
        return iter(self.studies)

    def __len__(self) -> int:
        return len(self.studies)


class Clock:
    """A time that goes on by a second each time it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def read_all(facts: FactsIndex, listed: Listed, version: int) -> int:
    """Return the steps, of two studies at most each, until all facts are known."""
    steps = 1
    while not facts.follow(listed, version, 2.0):
        facts.keep_only(listed, version)
        steps += 1
    facts.keep_only(listed, version)
    return steps


def test_a_list_is_gone_through_once_however_many_steps_its_reading_takes(spool: Spool) -> None:
    listed = Listed({a_study(spool) for _ in range(9)})
    facts = FactsIndex(spool, Clock())

    assert read_all(facts, listed, 1) > 4
    assert listed.passes < 4
    assert all(facts.of(each).patient_id for each in listed.studies)


def test_studies_that_are_no_longer_listed_are_forgotten_with_the_next_version(spool: Spool) -> None:
    listed = Listed({a_study(spool) for _ in range(3)})
    facts = FactsIndex(spool, Clock())
    read_all(facts, listed, 1)
    gone = listed.studies.pop()

    read_all(facts, listed, 2)

    assert not facts.of(gone).patient_id


def test_a_study_that_is_asked_for_and_not_listed_is_not_kept(spool: Spool) -> None:
    listed, other = Listed({a_study(spool)}), a_study(spool)
    facts = FactsIndex(spool, Clock())
    read_all(facts, listed, 1)

    assert facts.newest(other).patient_id
    facts.keep_only(listed, 1)

    assert not facts.of(other).patient_id
