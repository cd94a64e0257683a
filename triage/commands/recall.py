"""``triage recall``: what a model or an operating point said, scored again and corrected."""

from __future__ import annotations

import math
import time
from datetime import datetime

import click

from triage.commands.base import Invocation, given, open_spool

_WHEN = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.option("--model", "digest", default="", help="SHA-256 of the model's weights, or at least 8 digits of it.")
@click.option("--point", default="", help="Name of the operating point that findings were judged by.")
@click.option("--study", default="", help="One Study Instance UID, whatever model scored it.")
@click.option("--from", "since", type=_WHEN, help="Assessed from this day or time on (local time).")
@click.option("--to", "until", type=_WHEN, help="Assessed before this day or time (local time).")
@click.option("--score-again", "again", is_flag=True, help="Put the objects back to be scored with today's models.")
@click.option("--send-corrections", "send", is_flag=True, help="Correct what was delivered; needs --reason and --by.")
@click.option("--reason", default="", help="Why, in your words: it goes to every receiver. No patient's name.")
@click.option("--by", default="", help="Your name: it goes to every receiver.")
@given
def recall(
    invocation: Invocation,
    digest: str,
    point: str,
    study: str,
    since: datetime | None,
    until: datetime | None,
    *,
    again: bool,
    send: bool,
    reason: str,
    by: str,
) -> None:
    """List what a bad model or operating point said, and where it was delivered; score it again, then correct it.

    Without --score-again and --send-corrections nothing is changed. Interrupted, the same command goes on where it was.
    """
    from triage.commands.output.recall import recall_run
    from triage.operations.recall import RecallScope

    _check(digest, point, study, again=again, send=send)
    if send:
        _check_words(reason, by)
    settings = invocation.settings()
    span = (since.timestamp() if since else 0.0, until.timestamp() if until else math.inf)
    scope = RecallScope(digest.lower(), point, study, *span)
    run = recall_run(settings, open_spool(settings), scope)
    if again:
        run.score_again()
    elif send:
        run.send_corrections(by.strip(), reason.strip(), time.time())
    else:
        run.show()


def _check(digest: str, point: str, study: str, *, again: bool, send: bool) -> None:
    from triage.dicom.uid import InvalidUIDError, valid_uid

    if not (digest or point or study):
        raise click.UsageError("what is recalled? --model DIGEST, --point NAME or --study UID")
    if digest and (len(digest) < 8 or not set(digest.lower()) <= set("0123456789abcdef")):
        raise click.UsageError("--model takes the SHA-256 of the weights, at least 8 digits: `triage explain` shows it")
    if again and send:
        raise click.UsageError("--score-again first; --send-corrections when the objects are scored")
    try:
        if study:
            valid_uid(study)
    except InvalidUIDError as error:
        raise click.UsageError(str(error)) from error


def _check_words(reason: str, by: str) -> None:
    from triage.decision.correction import plain

    for option, text, longest in (("--reason", reason, 300), ("--by", by, 64)):
        if not plain(text):
            raise click.UsageError(f"--send-corrections needs {option}: every receiver is told who and why")
        if len(text) > longest or not text.isprintable():
            raise click.UsageError(f"{option} takes one line of at most {longest} characters")
