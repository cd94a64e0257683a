"""``python -m training``: the commands of ``training.cli``, or one line where a package is not installed."""

from __future__ import annotations

import os

from training.program import run_program


def main() -> None:
    """Run the commands. Files are readable to their owner alone: tables, caches and scores name patients."""
    os.umask(0o077)
    run_program("python -m training", "training.cli")


if __name__ == "__main__":
    main()
