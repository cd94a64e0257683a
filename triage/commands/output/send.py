"""Sending with a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triage.commands.output.console import progress_bar
from triage.operations.visible import visible

if TYPE_CHECKING:
    from triage.dicom.requestor import RemoteAE


def send_with_progress(paths: Sequence[Path], destination: RemoteAE, view: str | None, age: int | None) -> bool:
    """Send files and folders; whether all were stored.

    The bar goes to standard error, so that the list of failures can be piped.
    """
    from triage.sender.send import send, sort_files

    files, passed_over = sort_files(paths)
    for why, count in sorted(passed_over.items()):
        sys.stderr.write(f"passed over: {count} {'file' if count == 1 else 'files'}, {why}\n")
    failed = 0
    with progress_bar() as progress:
        task = progress.add_task("sending", total=len(files))
        for outcome in send(files, destination, view, age):
            progress.advance(task)
            if outcome.error:
                failed += 1
                told = visible(f"{outcome.path}: {outcome.error}")  # a stranger may have named the file
                progress.console.print(told, markup=False, highlight=False, soft_wrap=True)
    sys.stdout.write(f"{len(files) - failed} of {len(files)} files stored\n")
    return bool(files) and not failed
