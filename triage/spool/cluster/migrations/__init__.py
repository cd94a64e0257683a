"""Migrations of the schema, in order; each is plain SQL (docs/adr/0072)."""
