"""Runs a role that kills itself (kill -9) when it comes to a named point for the first time.

    python -m tests.dying before|after MODULE:CLASS.METHOD ROLE...

The role's own code runs, whole and unchanged, up to the point; nothing of what Python would do at an exit is done.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

from triage.cli import main


def die_at(when: str, where: str) -> None:
    module, _, name = where.partition(":")
    owner_name, method = name.split(".")
    owner = getattr(importlib.import_module(module), owner_name)
    original = getattr(owner, method)

    def dying(*arguments: Any, **named: Any) -> None:
        if when == "after":
            original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, dying)


if __name__ == "__main__":  # not in the decode processes, which import the main module
    die_at(*sys.argv[1:3])
    sys.argv[1:] = sys.argv[3:]
    main()
