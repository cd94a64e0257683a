"""The store of several machines: facts in PostgreSQL, bytes of objects in a bucket that speaks S3 (ADR 72)."""
