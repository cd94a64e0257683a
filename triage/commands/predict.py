"""``triage predict``: files scored without any service."""

from __future__ import annotations

import json
from pathlib import Path

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, given, start_errors

SECTION = CommandSection.RESEARCH


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), default=None, help="Model folder; overrides choice by age.")
@given
def predict(invocation: Invocation, files: tuple[Path, ...], model: Path | None) -> None:
    """Score FILES (DICOM, PNG, JPEG) without any service; print one JSON object a line, in the order given.

    The results are those of the service. --model overrides the choice of the model by age and nothing else. A
    picture is taken for a frontal chest radiograph: giving one asserts that.
    """
    settings = invocation.settings()
    from triage.service.predict import predictions

    with start_errors():
        for line in predictions(settings, list(files), model):
            click.echo(json.dumps(line))
