"""``triage workitem``: claims of workitems that a reader of the page left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from triage.commands.base import Invocation, audit, given, open_spool, redis_url

if TYPE_CHECKING:
    from triage.security.audit_message import AuditOutcome
    from triage.settings.schema import Settings
    from triage.spool.store import Store
    from triage.worklist.claims import Claims


@click.group()
def workitem() -> None:
    """Show and end claims of workitems (web.ups)."""


@workitem.command("release")
@click.argument("uid")
@click.option("--by", required=True, help="Your name: it is kept with the study.")
@click.option("--reason", required=True, help="Why, in your words. No patient's name.")
@given
def release(invocation: Invocation, uid: str, by: str, reason: str) -> None:
    """End the claim of a reader of the page; UID is the study's or the workitem's. It is CANCELED, and replaced.

    A claim of another system stays: only the holder of its Transaction UID can end it.
    """
    _check(by, reason)
    settings = invocation.settings()
    from triage.security.audit_message import AuditOutcome
    from triage.worklist.claims import ClaimVia, HeldError, NotClaimedError, Person

    spool = open_spool(settings)
    claims, study = _claims(settings, spool, uid)
    person = Person(by.strip(), time.time(), admin=True, via=ClaimVia.COMMAND)
    _note(settings, spool, study, None)
    try:
        claims.release(study, person, reason.strip())
    except (HeldError, NotClaimedError, OSError) as error:
        _note(settings, spool, study, AuditOutcome.MINOR_FAILURE)
        raise click.ClickException(str(error)) from error
    _note(settings, spool, study, AuditOutcome.SUCCESS)
    _tell(settings, spool, study)
    click.echo(f"the claim of study {study} is ended; `triage explain {study}` shows it")


def _check(by: str, reason: str) -> None:
    for option, text, longest in (("--reason", reason, 200), ("--by", by, 64)):
        if not text.strip() or len(text) > longest or not text.isprintable():
            raise click.UsageError(f"{option} takes one line of at most {longest} characters")


def _claims(settings: Settings, spool: Store, uid: str) -> tuple[Claims, str]:
    """Return the claims of the spool, and the study that ``uid`` is or whose workitem it is."""
    from triage.dicom.uid import InvalidUIDError, valid_uid
    from triage.worklist.claims import Claims
    from triage.worklist.workitem_store import Workitems

    workitems = Workitems(spool, settings.web.ups_worklist_label, settings.decision.lower_normal)
    try:
        found = workitems.find(valid_uid(uid))
    except InvalidUIDError as error:
        raise click.UsageError(str(error)) from error
    return Claims(spool, workitems), found[0] if found else uid


def _note(settings: Settings, spool: Store, study: str, outcome: AuditOutcome | None) -> None:
    """Record the act in the audit trail: its outcome, None before it is done."""
    from triage.security.audit_message import AuditOutcome, intent
    from triage.security.audit_trail import CLAIM_ENDED, note_act, operator

    what, result = (intent(CLAIM_ENDED), AuditOutcome.SUCCESS) if outcome is None else (CLAIM_ENDED, outcome)
    audit(
        settings,
        "triage workitem",
        lambda trail: note_act(trail, spool, study, what, operator(), result),
        done=outcome is not None,
    )


def _tell(settings: Settings, spool: Store, study: str) -> None:
    """Tell open pages; where the list does not answer they see it later."""
    from triage.queue.score_queue import connect
    from triage.worklist.opening import worklist_of
    from triage.worklist.worklist import AWAY

    try:
        with connect(redis_url(settings), settings.redis.timeout_s) as client:
            worklist_of(spool, client).touch(study)
    except (*AWAY, click.ClickException):
        click.echo("open pages are not told: Redis does not answer; they show it when they are loaded anew", err=True)
