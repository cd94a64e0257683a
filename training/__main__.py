"""``python -m training``: the commands of ``training.cli``, or one line if what they need is not installed."""

from __future__ import annotations

import os
import sys

from triage.runtime.extras import what_to_install


def main() -> None:
    """Run it; status 1 with a line where a package of its extras is missing.

    What it and its child processes write is for their owner alone: tables, caches and scores name patients.
    """
    os.umask(0o077)
    try:
        from training.cli import main as commands
    except ModuleNotFoundError as error:
        lacking = what_to_install(error, "python -m training", "cpu,train")
        if lacking is None:
            raise
        sys.exit(lacking)
    commands()


if __name__ == "__main__":
    main()
