"""One accession number from the values of Accession Number (0008,0050). Pure."""

from __future__ import annotations


def first_number(values: str) -> str:
    """Return the first value that is not empty, of several with backslashes between them (PS3.5 6.4).

    Accession Number has one value; systems that fulfil two orders in one study write two. Receivers expect one.
    """
    return next((value.strip() for value in values.split("\\") if value.strip()), "")
