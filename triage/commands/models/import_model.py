"""``triage models import``: a model folder from an ONNX file of any origin and its description."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from triage.commands.base import PATH, CannotStart, Invocation, audit, given, plain_start_errors

if TYPE_CHECKING:
    from triage.model.card import ModelCard
    from triage.settings.schema import Settings


@click.command("import")
@click.argument("graph", metavar="MODEL.onnx", type=PATH)
@click.option("--describe", type=PATH, required=True, help="The description of the model (TOML).")
@click.option(
    "--images", multiple=True, type=PATH, help="Images of the site (DICOM, PNG), or a folder of them: for the distance."
)
@click.option("--cohort", type=PATH, help="A manifest of images for the distance.")
@click.option("--models", type=PATH, help="Folder of the model folders. [default: models.path]")
@click.option("--replace", is_flag=True, help="Replace the folder of this name.")
@click.option("--side-by-side", is_flag=True, help="Write NAME@VERSION, next to another version of the model.")
@given
def command(invocation: Invocation, /, graph: Path, describe: Path, **options: Any) -> None:
    """Make a model folder of MODEL.onnx, a graph with one image input, as its description says.

    All mistakes of description and graph are told at once, each with its line. The graph is wrapped, compared with the
    given one, and gets a distance from images of the site: at least 100 that the model would score. Nothing is written
    unless all of it is right. A model whose description states no performance is a demonstration, for use in shadow.
    """
    settings = invocation.settings()
    from triage.commands.output.imported import show_imported
    from triage.model_import.candidate import ImportRequest
    from triage.model_import.importer import import_model
    from triage.model_import.site_images import site_files
    from triage.service.models import policy_of

    models = options["models"] or settings.models.path
    if models is None:
        raise CannotStart("into which folder? Give --models, or set models.path")
    with plain_start_errors():
        files, origin = site_files(options["images"], options["cohort"])
        request = ImportRequest(graph, describe, files, origin, policy_of(settings, {}, every=False))
        done = import_model(
            request,
            models,
            replacing=options["replace"],
            side_by_side=options["side_by_side"],
            announce=lambda card: _write_down(settings, card),
        )
    show_imported(done)


def _write_down(settings: Settings, card: ModelCard) -> None:
    """Write the import down in the audit trail before it is done."""
    from triage.security.audit_trail import note_configuration

    what = f"imported as {card.model_id}, SHA-256 {card.model_sha256}"
    audit(settings, "models", lambda trail: note_configuration(trail, f"model {card.name}", what))
