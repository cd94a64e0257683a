"""The spool: received objects, results and locks as files. Files are the truth."""
