"""The queue of scoring jobs on Redis and RQ."""
