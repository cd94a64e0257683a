"""Parts of commands about a store in PostgreSQL and S3: its comparison, and the state that a backup notes."""
