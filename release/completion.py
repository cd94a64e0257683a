"""Shell completion of commands and options."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete


def bash_completion(program: click.Group) -> str:
    """Return a file for /usr/share/bash-completion/completions."""
    completer = BashComplete(program, {}, "triage", "_TRIAGE_COMPLETE")
    return completer.source_template % completer.source_vars()
