"""``triage send``: files to a DICOM destination."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from triage.commands.base import Invocation, given


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--to", "address", default=None, help="HOST:PORT of the receiver; default: the listener of the settings.")
@click.option("--called-ae", default=None, help="AE title of the receiver; default: that of the settings.")
@click.option("--calling-ae", default="TRIAGE_SEND", show_default=True, help="AE title to call ourselves.")
@click.option("--view", type=click.Choice(["PA", "AP"]), default=None, help="View of pictures, if you know it.")
@click.option("--age", type=click.IntRange(0, 130), default=None, help="Age in years of pictures, if you know it.")
@given
def send(
    invocation: Invocation,
    paths: tuple[Path, ...],
    address: str | None,
    called_ae: str | None,
    calling_ae: str,
    view: str | None,
    age: int | None,
) -> None:
    """Send DICOM, PNG or JPEG files or folders to a DICOM destination."""
    settings = invocation.settings()
    from triage.show import send_with_progress

    host, _, port = (address or f"{settings.listener.host}:{settings.listener.port}").rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("use HOST:PORT", param_hint="--to")
    destination = (host, int(port), called_ae or settings.listener.ae_title, calling_ae)
    if not send_with_progress(list(paths), destination, view, age):
        sys.exit(1)
