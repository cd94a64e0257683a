"""What retention removed: the studies that were read, whole, in the database and in the bucket, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

Query = Callable[[str], list[list[object]]]
_TABLES = (
    "SELECT table_name FROM information_schema.columns WHERE column_name = 'study_uid' AND table_schema = 'public'"
)
"""Whatever tables a release has."""


def rows_by_table(query: Query) -> dict[str, set[str]]:
    """The studies that each table has rows of."""
    tables = sorted(str(name) for (name,) in query(_TABLES))
    return {table: {str(uid) for (uid,) in query(f"SELECT DISTINCT study_uid FROM {table}")} for table in tables}


def left_in_rows(gone: Collection[str], rows: Mapping[str, Collection[str]]) -> list[str]:
    """Return in words the tables with rows of studies that have to be gone."""
    found = {table: set(gone) & set(studies) for table, studies in rows.items()}
    return [f"{table} has rows of {len(studies)}: {sorted(studies)[:2]}" for table, studies in found.items() if studies]


def left_in_bucket(digests: Collection[str], keys: Collection[str], leaving: Collection[str]) -> list[str]:
    """Return the keys of objects that have to be gone. One of an upload that was cut off may be on its way out."""
    return sorted(key for key in set(keys) - set(leaving) if digest_of(key) in set(digests))


def digest_of(key: str) -> str:
    """The content's digest in a key: tenant, partition, digest, and what is chosen by chance."""
    return (*key.split("/"), "", "")[2]
