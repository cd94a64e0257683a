"""Runs a role in which something happens at a named point, when it comes there for the first time.

    python -m tests.support.kill_at before|after MODULE:CLASS.METHOD ROLE...

kills the role (kill -9). With ``TEST_DEED`` a shell command is run instead, and the role goes on. The role's own
code runs, whole and unchanged, up to the point; nothing of what Python would do at an exit is done.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from triage.cli import main


def once_at(when: str, where: str, deed: Callable[[], object]) -> None:
    module, _, name = where.partition(":")
    owner_name, method = name.split(".")
    owner = getattr(importlib.import_module(module), owner_name)
    original = getattr(owner, method)

    def meddled_with(*arguments: Any, **named: Any) -> Any:
        setattr(owner, method, original)
        if when == "before":
            deed()
        result = original(*arguments, **named)
        if when == "after":
            deed()
        return result

    setattr(owner, method, meddled_with)


def the_deed() -> None:
    """What happens at the point."""
    if command := os.environ.get("TEST_DEED"):
        subprocess.run(command, shell=True, check=True)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":  # not in the decode processes, which import the main module
    once_at(*sys.argv[1:3], the_deed)
    sys.argv[1:] = sys.argv[3:]
    main()
