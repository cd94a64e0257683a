"""Migrations of the schema, in order; each is plain SQL (docs/adr/0072).

A step widens: programs of the release before go on, and may be started again, on the tables that it leaves. What it
takes away has been used by no program since the release before. ``oldest`` of a step says from which schema on
programs may use the tables after it (docs/adr/0092); ``tests/spool/test_migrations.py`` holds each step to that.
"""

RELEASED: dict[str, str] = {}
"""The newest schema of each release that has one: no step locks out the last of them."""
