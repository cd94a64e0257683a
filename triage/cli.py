"""The commands. The only place that reads the environment."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from triage.errors import EXIT_CANNOT_START, StartError
from triage.quiet import silence_libraries
from triage.settings import Settings, SettingsError, channels_reference, dump, load, reference
from triage.user_commands import user
from triage.validation import commands as validation

if TYPE_CHECKING:
    from triage.audit import Trail
    from triage.spool import Spool


_FILE = click.Path(dir_okay=False, path_type=Path)

# Commands import what they need when they run: `triage worklist` should not wait for ONNX Runtime.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.pass_context
def triage(context: click.Context, config: Path | None) -> None:
    """Reads every chest radiograph as it arrives and puts the suspicious ones on top of the worklist.

    Research use; not a medical device.
    """
    context.ensure_object(dict)
    chosen = config or (Path(os.environ["TRIAGE_CONFIG"]) if os.environ.get("TRIAGE_CONFIG") else None)
    context.obj["config"] = chosen
    context.obj["settings"] = lambda: _settings(context)
    context.obj["data"] = Path(os.environ["TRIAGE_DATA"]) if os.environ.get("TRIAGE_DATA") else None


def _settings(context: click.Context) -> Settings:
    try:
        settings = load(context.obj["config"], os.environ)
    except SettingsError as error:
        raise _CannotStart(str(error)) from error
    logging.basicConfig(
        level=settings.log.level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    silence_libraries()
    if settings.log.level == "INFO":  # what a sender does, step by step, would bury a progress bar
        logging.getLogger("pynetdicom").setLevel("WARNING")
    return settings


def _spool(settings: Settings) -> Spool:
    from triage.spool import Spool, SpoolError

    try:
        return Spool.open(settings.spool.path)
    except (SpoolError, OSError) as error:
        raise _CannotStart(str(error)) from error


class _CannotStart(click.ClickException):
    exit_code = EXIT_CANNOT_START


@contextmanager
def _start_errors() -> Iterator[None]:
    """Errors that a person has to act on before the process can start, as one line instead of a traceback."""
    try:
        yield
    except StartError as error:
        raise _CannotStart(str(error)) from error


@contextmanager
def _audited(settings: Settings, process: str, undo: Callable[[], object] | None = None) -> Iterator[Trail | None]:
    """The audit trail, if there is one; if it cannot be written, what was done is undone or the person told."""
    from triage.audit import AuditError, command_trail

    audit = settings.audit
    try:
        on = settings.sign_in.method or audit.always
        yield command_trail(audit.path, audit.rotate_at_bytes, audit.source, process) if on else None
    except AuditError as error:
        if undo is not None:
            undo()
        done = "it is not done, because it" if undo else "it is done, but"
        raise click.ClickException(f"{done} could not be written to the audit trail {audit.path}: {error}") from error


def _redis_url(settings: Settings) -> str:
    from triage.embedded_redis import embedded_url

    return settings.redis.url.get_secret_value() or embedded_url(settings.redis.socket_path)


index_option = click.option("--index", default=0, hidden=True, help="Which of several processes of its kind this is.")


@triage.command()
@click.option("--print-config", is_flag=True, help="Print the settings in force, secrets masked, and end.")
@click.option("--reference", "print_reference", is_flag=True, help="Print every setting as a table, and end.")
@click.pass_context
def up(context: click.Context, print_config: bool, print_reference: bool) -> None:
    """Run everything on this machine until Ctrl-C."""
    settings = _settings(context)
    if print_config or print_reference:
        click.echo(dump(settings) if print_config else reference(), nl=False)
        return
    from triage.up import serve

    _spool(settings)
    with _start_errors():
        serve(settings, context.obj["config"], os.environ)


@triage.command()
@index_option
@click.pass_context
def listen(context: click.Context, index: int) -> None:
    """Receive radiographs over DICOM (C-ECHO, C-STORE)."""
    settings = _settings(context)
    from triage.roles import listen as run

    with _start_errors():
        run(settings, _spool(settings), _redis_url(settings), index)


@triage.command()
@index_option
@click.pass_context
def work(context: click.Context, index: int) -> None:
    """Score what was received, and tag its studies."""
    settings = _settings(context)
    from triage.roles import work as run

    with _start_errors():
        run(settings, _spool(settings), _redis_url(settings), index)


@triage.command()
@index_option
@click.pass_context
def web(context: click.Context, index: int) -> None:
    """Serve the worklist over HTTP."""
    settings = _settings(context)
    from triage.roles import web as run

    with _start_errors():
        run(settings, _spool(settings), _redis_url(settings))


@triage.command()
@index_option
@click.pass_context
def deliver(context: click.Context, index: int) -> None:
    """Hand results over to the destinations of the settings."""
    settings = _settings(context)
    from triage.roles import deliver as run

    with _start_errors():
        run(settings, _spool(settings))


@triage.command()
@index_option
@click.pass_context
def reports(context: click.Context, index: int) -> None:
    """Hear which studies were reported, so that they leave the list (HL7 over MLLP, UPS)."""
    settings = _settings(context)
    from triage.roles import reports as run

    with _start_errors():
        run(settings, _spool(settings), _redis_url(settings))


@triage.command()
@click.option("--once", is_flag=True, help="Sweep once and end.")
@index_option
@click.pass_context
def sweep(context: click.Context, once: bool, index: int) -> None:
    """Reconcile the spool with the queue, retry, and remove what is past its retention."""
    settings = _settings(context)
    from triage.roles import sweep as run

    with _start_errors(), _redis_errors():
        if swept := run(settings, _spool(settings), _redis_url(settings), once):
            built = "rebuilt" if swept.rebuilt else "whole"
            click.echo(f"{swept.requeued} objects queued again, {swept.removed} studies removed, the index {built}")


@triage.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many studies, from the top.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def worklist(context: click.Context, limit: int, as_json: bool) -> None:
    """Print the worklist in reading order."""
    settings = _settings(context)
    from triage.show import print_worklist

    with _redis_errors():
        print_worklist(_redis_url(settings), settings.redis.timeout_s, settings.worklist.waiting_cap_s, limit, as_json)


@triage.command()
@click.argument("study")
@click.pass_context
def explain(context: click.Context, study: str) -> None:
    """Show every step, object, score, reason and time of one STUDY (a Study Instance UID)."""
    settings = _settings(context)
    from triage.show import print_explanation
    from triage.spool import InvalidUIDError

    try:
        print_explanation(study, _spool(settings), _redis_url(settings), settings.redis.timeout_s)
    except (InvalidUIDError, LookupError) as error:
        raise click.ClickException(str(error)) from error


@triage.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--to", "address", default=None, help="HOST:PORT of the receiver; default: the listener of the settings.")
@click.option("--called-ae", default=None, help="AE title of the receiver; default: that of the settings.")
@click.option("--calling-ae", default="TRIAGE_SEND", show_default=True, help="AE title to call ourselves.")
@click.option("--view", type=click.Choice(["PA", "AP"]), default=None, help="View of pictures, if you know it.")
@click.option("--age", type=click.IntRange(0, 130), default=None, help="Age in years of pictures, if you know it.")
@click.option("--tls", is_flag=True, help="Speak TLS. To the listener of the settings only where it has both ports.")
@click.option("--tls-ca-file", type=_FILE, help="With --to: authorities of the receiver (PEM); default: the system's.")
@click.option("--tls-server-name", help="With --to: the name in its certificate; default: that of --to.")
@click.option("--tls-certificate", type=_FILE, help="Ours, if it asks (PEM); default: client.tls_certificate.")
@click.option("--tls-key", type=_FILE, help="Its key (PEM).")
@click.pass_context
def send(
    context: click.Context,
    /,
    paths: tuple[Path, ...],
    address: str | None,
    called_ae: str | None,
    calling_ae: str,
    view: str | None,
    age: int | None,
    **tls: Any,
) -> None:
    """Send DICOM, PNG or JPEG files or folders to a DICOM destination."""
    settings = _settings(context)
    from triage.send_to import receiver
    from triage.show import send_with_progress

    with _start_errors():
        peer = receiver(settings, address, called_ae, calling_ae, **tls)
    if not send_with_progress(list(paths), peer, view, age):
        sys.exit(1)


@triage.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), default=None, help="Model folder; overrides choice by age.")
@click.pass_context
def predict(context: click.Context, files: tuple[Path, ...], model: Path | None) -> None:
    """Score FILES (DICOM, PNG, JPEG) without any service; one JSON object a line, in the order given."""
    settings = _settings(context)
    from triage.roles import predictions

    with _start_errors():
        for line in predictions(settings, list(files), model):
            click.echo(json.dumps(line))


@triage.command()
@click.argument("scenario", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--example", is_flag=True, help="Print a scenario to start from, and end.")
@click.option("--metrics", type=click.Path(dir_okay=False, path_type=Path), help="metrics.json of triage validate.")
@click.option("--point", default=None, help="Which operating point of it; needed if it has several.")
@click.option("--replications", type=click.IntRange(2), default=None, help="Overrides that of the scenario.")
@click.option("--weeks", type=click.IntRange(1), default=None, help="Overrides that of the scenario.")
@click.option("--seed", type=click.IntRange(0), default=None, help="Overrides that of the scenario.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for tables, JSON and figures.")
def simulate(
    scenario: Path | None,
    example: bool,
    metrics: Path | None,
    point: str | None,
    out: Path | None,
    **run: int | None,
) -> None:
    """Estimate what triage changes for waiting patients, in the reading room of SCENARIO (TOML)."""
    from triage.simulation.command import run as simulated
    from triage.simulation.scenario import EXAMPLE

    if example:
        click.echo(EXAMPLE, nl=False)
        return
    if scenario is None:
        raise click.UsageError("name a scenario; triage simulate --example prints one to start from")
    with _start_errors():
        options = {name: value for name, value in run.items() if value is not None}
        click.echo(simulated(scenario, metrics, point, options, out), nl=False)


@triage.group()
def readers() -> None:
    """Have local readers read one's own cases, blinded, and make labels of their answers."""


@readers.command("serve")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--cases", type=click.Path(exists=True, path_type=Path), help="Folder of images, or a manifest (CSV).")
@click.option("--reader", "names", multiple=True, metavar="NAME", help="Who reads (several allowed).")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="Port on loopback.")
@click.option(
    "--idle-seconds",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="How long a pause without input counts as reading.",
)
def readers_serve(folder: Path, cases: Path | None, names: tuple[str, ...], port: int, idle_seconds: float) -> None:
    """Begin the study in FOLDER or go on with it, and serve its page on loopback until Ctrl-C."""
    logging.basicConfig(level="WARNING", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from triage.readers.serve import serve

    with _start_errors():
        serve(folder, cases, names, port, idle_seconds)


@readers.command("labels")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def readers_labels(folder: Path) -> None:
    """Write the labels of the study in FOLDER: one file for each reader, one with the majority of all."""
    from triage.readers.serve import labels

    with _start_errors():
        click.echo(labels(folder), nl=False)


@triage.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Manifest (CSV) to write.")
@click.pass_context
def feedback(context: click.Context, out: Path) -> None:
    """Write what radiologists said on the page as labels for `triage validate`."""
    settings = _settings(context)
    from triage.audit import note_export
    from triage.feedback import export

    spool = _spool(settings)
    done = export(spool, out)
    with _audited(settings, "triage feedback", undo=out.unlink) as trail:
        if trail and done.studies:
            note_export(trail, out, spool, done.studies)
    click.echo(f"{done.images} image{'' if done.images == 1 else 's'} with a label: {out}")
    click.echo(
        f"left out: {done.contradicted} studies with contradicting readers, {done.without_image} without a score"
    )


@triage.command("dead-letters")
@click.option("--requeue", "keys", multiple=True, metavar="KEY", help="Try this one again (several allowed).")
@click.option("--requeue-all", is_flag=True, help="Try all of them again.")
@click.pass_context
def dead_letters(context: click.Context, keys: tuple[str, ...], requeue_all: bool) -> None:
    """List what was given up after the last try, objects and deliveries, and requeue it."""
    settings = _settings(context)
    from triage.audit import note_requeue
    from triage.outbox import Outbox
    from triage.outgoing import study_of_key
    from triage.show import requeue, show_dead_letters
    from triage.show_channels import dead_letter_rows, requeue_deliveries

    spool = _spool(settings)
    outbox = Outbox(spool)
    rows = dead_letter_rows(outbox)
    if not (keys or requeue_all):
        show_dead_letters(spool, rows)
        return
    every = [*(instance.key for instance, _ in spool.dead_letters()), *(key for *_, key in rows)]
    # The key of a delivery begins with its destination and a slash; that of an object has none.
    deliveries = None if requeue_all else [key for key in keys if "/" in key]
    objects = None if requeue_all else [key for key in keys if "/" not in key]
    try:
        if objects is None or objects:
            requeue(spool, _redis_url(settings), settings.redis.timeout_s, objects)
        if deliveries is None or deliveries:
            click.echo(f"{requeue_deliveries(outbox, deliveries, time.time())} deliveries are tried again")
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(f"no such dead letter: {error}") from error
    with _audited(settings, "triage dead-letters") as trail:
        if trail:
            note_requeue(trail, spool, map(study_of_key, every if requeue_all else keys))


@triage.command()
@click.argument("name", required=False)
@click.option("--disable", "action", flag_value="disable", help="Kill switch: the model scores nothing from now on.")
@click.option("--enable", "action", flag_value="enable", help="Switch it on again.")
@click.pass_context
def model(context: click.Context, name: str | None, action: str | None) -> None:
    """List the models, or switch model NAME off or on."""
    settings = _settings(context)
    from triage.model.card import CARD
    from triage.show import show_models

    if action and not name:
        raise click.UsageError(f"which model is to be {action}d? `triage model` lists them")
    spool = _spool(settings)
    if name and action:
        if name not in spool.disabled_models() and not (settings.models.path / name / CARD).is_file():
            raise click.ClickException(f"no model {name} in {settings.models.path}: `triage model` lists them")
        try:
            spool.set_model_disabled(name, action == "disable")
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    show_models(settings.models, spool.disabled_models())


@triage.command()
@click.option("--csv", type=click.Path(dir_okay=False, path_type=Path), help="Write a row for each image.")
@click.pass_context
def shadow(context: click.Context, csv: Path | None) -> None:
    """Compare the models in shadow with those in service, on the images that both scored."""
    settings = _settings(context)
    from triage.shadow import compare, pairs, write
    from triage.show import show_shadow

    found = pairs(_spool(settings))
    try:
        show_shadow(compare(found if csv is None else write(found, csv)))
    except OSError as error:
        raise click.ClickException(str(error)) from error


@triage.command()
@click.argument("name", required=False)
@click.option("--disable", "action", flag_value="disable", help="Kill switch: nothing is sent there from now on.")
@click.option("--enable", "action", flag_value="enable", help="Switch it on again; what waited is sent.")
@click.option("--drop", "action", flag_value="drop", help="Forget all that waits or is dead for it.")
@click.option("--reference", "print_reference", is_flag=True, help="Print the settings of destinations, and end.")
@click.pass_context
def channel(context: click.Context, name: str | None, action: str | None, print_reference: bool) -> None:
    """List the destinations of results, or switch destination NAME off or on."""
    if print_reference:
        click.echo(channels_reference(), nl=False)
        return
    settings = _settings(context)
    from triage.outbox import Outbox
    from triage.show_channels import drop, show_channels

    outbox = Outbox(_spool(settings))
    if name and name not in outbox.known() | {each.name for each in settings.channels.all()}:
        raise click.ClickException(f"no destination is called {name!r}")
    if name and action == "drop":
        click.echo(f"{drop(outbox, name, time.time())} forgotten")
    elif name and action:
        outbox.set_disabled(name, action == "disable")
    show_channels(settings.channels, outbox, time.time())


@triage.command("test-destination")
@click.argument("name")
@click.pass_context
def test_destination(context: click.Context, name: str) -> None:
    """Try destination NAME without any patient's data, and say in words what was found."""
    settings = _settings(context)
    from triage.show_channels import test_destination as try_it

    with _start_errors():
        sys.exit(0 if try_it(settings.channels, name) else 1)


@triage.command()
@click.pass_context
def canary(context: click.Context) -> None:
    """Send a canary now, say how far it comes, and remove it; status 0 if it came out everywhere."""
    settings = _settings(context)
    from triage.show_canary import fly_and_show

    with _start_errors():
        sys.exit(0 if fly_and_show(settings, _spool(settings), _redis_url(settings)) else 1)


@triage.command()
@click.option("--url", default=None, help="Address to ask; default: the web process of the settings.")
@click.pass_context
def healthcheck(context: click.Context, url: str | None) -> None:
    """End with status 0 if a process is ready (used by containers)."""
    settings = _settings(context)
    from triage.show import is_ready

    ready, answer = is_ready(url or f"http://{settings.web.host}:{settings.web.port}/readyz")
    click.echo(answer)
    sys.exit(0 if ready else 1)


@triage.command()
@click.option("--exit", "ends", is_flag=True, help="End once every sample is tagged; status 1 if any is lost.")
@click.pass_context
def demo(context: click.Context, ends: bool) -> None:
    """Run everything, send sample studies to our own DICOM port and print the worklist as tags land."""
    settings = _settings(context)
    from triage.demo import run

    _spool(settings)
    with _start_errors():
        sys.exit(run(settings, context.obj["config"], os.environ, ends))


for command in (validation.validate, validation.agreement, validation.card, user):
    triage.add_command(command)


@contextmanager
def _redis_errors() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except RedisError as error:
        raise click.ClickException(f"Redis does not answer ({error}): is the service running?") from error


def main() -> None:
    """Entry point of the ``triage`` script."""
    triage()


if __name__ == "__main__":
    main()
