"""``triage send``: files to a DICOM destination."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from triage.commands.base import Invocation, given, start_errors

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
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
@given
def send(invocation: Invocation, /, paths: tuple[Path, ...], view: str | None, age: int | None, **peer: Any) -> None:
    """Send DICOM, PNG or JPEG files or folders to a DICOM destination.

    DICOM files are sent as they are, pictures wrapped as DX (--view and --age, if they are known); folders are
    searched. The destination is the listener of the settings, or --to; a listener with listener.tls_only is
    reached over TLS without --tls. Status 0 if everything was stored.
    """
    settings = invocation.settings()
    from triage.commands.output.send import send_with_progress
    from triage.service.send_target import TLSOptions, send_target

    with start_errors():
        names = (peer.pop("address"), peer.pop("called_ae"), peer.pop("calling_ae"))
        destination = send_target(settings, *names, TLSOptions(**peer))
    if not send_with_progress(list(paths), destination, view, age):
        sys.exit(1)
