"""The store of several machines: facts in PostgreSQL, the bytes of objects in a bucket that speaks S3 (docs/adr/0072)."""
