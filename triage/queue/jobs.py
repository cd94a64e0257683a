"""The functions that a job may name. They are names only: the worker scores in batches and calls none of them.

RQ would import and call the function that a job names. Our worker never does, so writing to Redis runs no code here.
"""


def score(key: str) -> None:
    """Score the object with this spool key."""
    raise NotImplementedError(f"{key}: jobs are run by `triage work`, not by an rq worker")
