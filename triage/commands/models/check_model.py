"""``triage models check``: whether a model folder, or a graph with its description, does what its card says."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from triage.commands.base import PATH, Invocation, given, plain_start_errors


@click.command("check")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--describe", type=PATH, help="MODEL is an ONNX file: check it with this description, and write nothing.")
@given
def command(invocation: Invocation, models: tuple[str, ...], describe: Path | None) -> None:
    """Load each MODEL (a name or a folder; all without one), score drawn images, and say what is not as it should be.

    Scores must be numbers of 0 to 1, the same a second time, and those of an image must not depend on others. With
    --describe, MODEL is an ONNX file that would be imported. Status 1 if something is wrong.
    """
    settings = invocation.settings()
    from triage.commands.output.imported import show_candidate, show_checks

    with plain_start_errors():
        if describe is not None:
            if len(models) != 1:
                raise click.UsageError("--describe is of one ONNX file: name it")
            from triage.model_import.candidate import ImportRequest, check_candidate

            show_candidate(check_candidate(ImportRequest(Path(models[0]), describe)))
            return
        from triage.model.installed import models_folder
        from triage.model_import.check import check_folders, folders_of

        checks = check_folders(folders_of(models, lambda: models_folder(settings.models.path)))
        sys.exit(0 if show_checks(checks) else 1)
