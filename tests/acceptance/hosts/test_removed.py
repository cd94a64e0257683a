"""What the trial of three hosts finds of studies that were to be removed."""

from __future__ import annotations

from tests.acceptance.hosts.removed import left_in_bucket, left_in_rows, rows_by_table

GONE, KEPT = "2.25.1", "2.25.2"
DIGEST, OTHER = "ab" * 32, "cd" * 32
KEY = f"default/main/{DIGEST}/1f"


def test_every_table_that_names_studies_is_read() -> None:
    answers = {"object": [[KEPT]], "record": [[GONE], [None]]}

    def query(sql: str) -> list[list[object]]:
        return answers.get(sql.rpartition(" ")[2], [["record"], ["object"]])

    assert rows_by_table(query) == {"object": {KEPT}, "record": {GONE, "None"}}


def test_a_row_of_a_removed_study_is_told() -> None:
    assert left_in_rows({GONE}, {"object": {KEPT}, "record": {KEPT}}) == []
    assert left_in_rows({GONE}, {"object": {KEPT}, "record": {GONE}}) == [f"record has rows of 1: ['{GONE}']"]


def test_an_object_of_a_removed_study_is_told() -> None:
    kept = f"default/main/{OTHER}/2e"
    assert left_in_bucket({DIGEST}, {kept}, set()) == []
    assert left_in_bucket({DIGEST}, {kept, KEY}, set()) == [KEY]
    assert left_in_bucket({DIGEST}, {kept, KEY}, {KEY}) == []
