"""The comparison of a bucket with the database whose rows name its keys (docs/adr/0081)."""
