"""Conditions on the keys of uploads: what began before the database was restored, and what has passed its deadline."""

from __future__ import annotations

OTHER_TIMELINE = """
timeline <> CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END
"""
"""The upload began before the database was restored to a time, or before a standby became the primary.

Its end may have been acknowledged behind that time: the key may be that of the only copy.
"""

UNENDED = f"(state = 'uploading' AND (deadline < clock_timestamp() OR {OTHER_TIMELINE}))"
"""The upload has passed its deadline, or is of another timeline: its key names nothing, unless a row follows yet."""
