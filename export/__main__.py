"""``python -m export``: the command of ``export.cli``, or one line where a package is not installed."""

from __future__ import annotations

from training.program import run_program


def main() -> None:
    """Run the command."""
    run_program("python -m export", "export.cli")


if __name__ == "__main__":
    main()
