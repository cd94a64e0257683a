"""``triage explain``: all that is known of one study."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, open_spool, redis_url


@click.command()
@click.argument("study")
@given
def explain(invocation: Invocation, study: str) -> None:
    """Show every step, object, score, reason and time of one STUDY (a Study Instance UID)."""
    settings = invocation.settings()
    from triage.commands.output.explain import print_explanation
    from triage.dicom.uid import InvalidUIDError
    from triage.service.operating_points import present_points
    from triage.service.running import running

    try:
        spool, address, points = open_spool(settings), redis_url(settings), present_points(settings.models)
        print_explanation(study, spool, address, settings.redis.timeout_s, running(settings), points)
    except (InvalidUIDError, LookupError) as error:
        raise click.ClickException(str(error)) from error
