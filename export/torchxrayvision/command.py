"""``python -m export torchxrayvision NAME --weights FILE``: a model folder of weights of torchxrayvision's."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from export.torchxrayvision.checkpoint import load_network
from export.torchxrayvision.draft import draft
from export.torchxrayvision.graph import write_graph
from export.torchxrayvision.published import published
from triage.errors import TriageError
from triage.model_import.candidate import ImportRequest
from triage.model_import.importer import Imported, import_model
from triage.model_import.site_images import site_files

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PATH = click.Path(path_type=Path)


@click.command(name="torchxrayvision")
@click.argument("name")
@click.option("--weights", type=FILE, required=True, help="The checkpoint file, as torchxrayvision publishes it.")
@click.option("-o", "--out", type=PATH, help="Folder of the model folders: the model is imported there.")
@click.option("--draft", "drafts", type=PATH, help="Write NAME.onnx and NAME.toml there, to be read and imported.")
@click.option("--describe", type=FILE, help="Your edited description instead of the draft.")
@click.option("--images", multiple=True, type=PATH, help="Images of the site, for the distance.")
@click.option("--cohort", type=PATH, help="A manifest of images for the distance.")
@click.option("--op-norm", "normed", is_flag=True, help="Ship the scores after op_norm, which are no probabilities.")
@click.option("--replace", is_flag=True, help="Replace the model of this name.")
def torchxrayvision(name: str, weights: Path, **options: Any) -> None:
    """Make a model of torchxrayvision's weights NAME, as `densenet121-res224-all`, from their checkpoint file.

    The file is read without running code of it: it may hold tensors and the layers of a DenseNet alone. Outputs without
    a label or a threshold are no findings. --draft writes graph and description alone, -o imports them.
    """
    if not (options["out"] or options["drafts"]):
        raise click.UsageError("where to? -o imports the model, --draft writes its graph and description")
    try:
        with TemporaryDirectory() as work:
            graph, described = write_draft(name, weights, Path(work), normed=options["normed"])
            if options["drafts"]:
                _keep(graph, described, options["drafts"])
            if options["out"]:
                done = _import(graph, options["describe"] or described, options)
                click.echo(f"{done.folder}: {done.card.covers}")
    except TriageError as error:
        raise click.ClickException(str(error)) from error


def write_draft(name: str, file: Path, folder: Path, *, normed: bool) -> tuple[Path, Path]:
    """Write the graph and the drafted description of the weights ``name``; return their paths. Raises TrainingError."""
    known = published(name)
    network = load_network(name, file, len(known.outputs))
    graph, described = folder / f"{name}.onnx", folder / f"{name}.toml"
    write_graph(network, [each.threshold for each in known.outputs], known.size, graph)
    described.write_text(draft(name, known, normed=normed), encoding="utf-8")
    return graph, described


def _keep(graph: Path, described: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in (graph, described):
        shutil.copyfile(file, folder / file.name)
        click.echo(f"{folder / file.name}: written")


def _import(graph: Path, described: Path, options: dict[str, Any]) -> Imported:
    files, origin = site_files(options["images"], options["cohort"])
    request = ImportRequest(graph, described, files, origin)
    return import_model(request, options["out"], replacing=options["replace"])
