"""HL7 and DICOM timestamps as POSIX seconds."""

from __future__ import annotations

import re
import time
from calendar import timegm

_MOMENT = re.compile(r"(\d{12}(?:\d\d)?)(?:\.\d{1,6})?([+-]\d{4})?")


def moment(text: str) -> float | None:
    """Return HL7's TS or DICOM's DT in POSIX seconds; in this machine's time zone where it has none.

    None for a text that is no time, or has no minutes.
    """
    match = _MOMENT.fullmatch(text.strip())
    if not match:
        return None
    digits, zone = match[1].ljust(14, "0"), match[2]
    try:
        parts = time.strptime(digits, "%Y%m%d%H%M%S")
        if zone is None:
            return time.mktime(parts)
        seconds = (int(zone[1:3]) * 60 + int(zone[3:])) * 60
        return float(timegm(parts) - (seconds if zone[0] == "+" else -seconds))
    except (ValueError, OverflowError):
        return None
