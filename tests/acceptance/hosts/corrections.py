"""Two contents under one SOP Instance UID, sent to two hosts at once; and which of them counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from threading import Barrier
from typing import Any

from tests.acceptance.hosts.objects import Outgoing
from triage.spool.instance import ReceivedInstance

_PAUSE_S = 1.0
_LONGEST_S = 240.0


def send_both(send: Callable[[str, Outgoing], bool], contents: Mapping[str, Outgoing]) -> None:
    """Send to each host, by its address, one content: at once, and again until it is acknowledged.

    ``send`` returns whether it was. Raises AssertionError if it never is.
    """
    ready = Barrier(len(contents))

    def until_taken(item: tuple[str, Outgoing]) -> None:
        ready.wait()
        end = time.monotonic() + _LONGEST_S
        while not send(*item):
            assert time.monotonic() < end, f"{item[1].instance.sop_instance_uid} was never taken by {item[0]}"
            time.sleep(_PAUSE_S)

    with ThreadPoolExecutor(len(contents)) as pool:
        list(pool.map(until_taken, contents.items()))


def counting(
    objects: Sequence[Outgoing], received: Mapping[ReceivedInstance, float], tags: Mapping[str, Mapping[str, Any]]
) -> list[Outgoing]:
    """Return the objects that count for a study: of one SOP Instance UID the last one, and every abnormal one (ADR 1).

    ``received``: when each came, by the database's clock; ``tags`` of each kind of image.
    """
    found = []
    for _, group in groupby(sorted(objects, key=_sop), key=_sop):
        contents = sorted(group, key=lambda each: (received[each.instance], each.instance.content_digest))
        found += [each for each in contents[:-1] if tags[each.kind]["tag"] == "ABNORMAL"] + contents[-1:]
    return found


def _sop(each: Outgoing) -> str:
    return each.instance.sop_instance_uid
