"""The functions that a job may name. They are names only: the worker scores in batches and calls none of them.

rq would import and call what a job names; ours never does, so that nobody who can write to Redis can run code here.
"""


def score(key: str) -> None:
    """Score the object with this spool key."""
    raise NotImplementedError(f"{key}: jobs are run by `triage work`, not by an rq worker")
