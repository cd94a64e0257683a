"""The worklist as a table of a store in PostgreSQL (docs/adr/0078)."""
