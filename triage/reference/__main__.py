"""Renew the generated parts of docs/reference: ``python -m triage.reference docs/reference``, or ``make reference``."""

from __future__ import annotations

import sys
from pathlib import Path

from triage.reference.every_page import pages, parts_of
from triage.reference.marked_page import renewed
from triage.reference.schemas import FILES, schema


def main(arguments: list[str]) -> None:
    """Renew every page below the folder that is named."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m triage.reference docs/reference")
    for name in pages():
        page = Path(arguments[0]) / name
        page.write_text(renewed(page.read_text(encoding="utf-8"), parts_of(name)), encoding="utf-8")
    for name in FILES:
        (Path(arguments[0]) / name).write_text(schema(name), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
