"""PURE: one accession number out of what an image has in Accession Number (0008,0050)."""

from __future__ import annotations


def first_number(values: str) -> str:
    """The first that is not empty of several values with backslashes between them (PS3.5 6.4), as receivers know one.

    Accession Number has one value; systems that fulfil two orders in one study write two.
    """
    return next((value.strip() for value in values.split("\\") if value.strip()), "")
