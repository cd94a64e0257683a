"""Start of a command line whose packages belong to an extra that may be absent."""

from __future__ import annotations

import sys
from importlib import import_module

from triage.runtime.extras import what_to_install


def run_program(program: str, module: str) -> None:
    """Run ``main`` of ``module`` as ``program``; exit with status 1 and one line where a package is not installed."""
    try:
        commands = import_module(module).main
    except ModuleNotFoundError as error:
        missing = what_to_install(error, program, "cpu,train")
        if missing is None:
            raise
        sys.exit(missing)
    commands()
