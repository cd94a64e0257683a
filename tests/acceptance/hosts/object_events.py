"""Events of single objects: a header that is altered, two contents under one UID, a study that comes again."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle

from tests.acceptance.hosts import engines
from tests.acceptance.hosts.altered import AT_LEAST_S, Alteration, Row, alter_for, of_other_patients
from tests.acceptance.hosts.corrections import send_both
from tests.acceptance.hosts.objects import NO_AGE, Outgoing, contents
from tests.acceptance.hosts.pacs import Acknowledged
from tests.acceptance.hosts.ris import READ_AFTER_S
from tests.acceptance.hosts.service import PAGES
from tests.acceptance.hosts.site import Site
from tests.support.wait import wait_for
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.instance import ReceivedInstance

_NEWEST = "SELECT study_uid, key FROM object ORDER BY received DESC LIMIT "


def alter_headers(site: Site, seconds: float) -> None:
    """Behind the proxy with faults, and with a checksum that fits: the store notices nothing."""

    def newest(count: int) -> list[Row]:
        rows = site.database.server.run(f"{_NEWEST}{count}", engines.DATABASE)
        return [(str(study), str(key)) for study, key in rows]

    def look(studies: set[str]) -> None:
        patients = {each.study_instance_uid: known.outgoing.patient for each, known in _acknowledged(site)}
        for name in PAGES:
            wrong = of_other_patients(
                site.service.listed_patients(site.hosts[name]), patients, studies & patients.keys()
            )
            site.shown_wrongly.extend(f"{study} on host {name}" for study in wrong)

    alteration = Alteration(S3Bucket(site.bucket.server.address), newest)
    site.altered.append(alteration)
    addresses, number = cycle(each.address for each in site.hosts.values()), len(site.altered)
    more = [contents(number, _OF_ALTERED + at, ("1",))[0] for at in range(_MORE)]

    def bring() -> None:
        if more:
            site.pacs.send_to(next(addresses), more.pop())

    alter_for(AT_LEAST_S + seconds, alteration, bring, look)


def _acknowledged(site: Site) -> list[tuple[ReceivedInstance, Acknowledged]]:
    return list(site.pacs.acknowledged.items())


_CONTENTS = (
    (("0", NO_AGE), "ab"),
    (("1", "0"), "bc"),
    ((NO_AGE, "1"), "ca"),
    (("2", "0"), "cb"),
    (("0", NO_AGE), "ba"),
)
"""Kinds of images under one UID, and the hosts that they are sent to."""


def two_contents(number: int) -> Callable[[Site, float], None]:
    def act(site: Site, _: float) -> None:
        for at, (kinds, hosts) in enumerate(_CONTENTS):
            objects = contents(number, _OF_CONTENTS + at, kinds)
            send_both(site.pacs.send_to, dict(zip([site.hosts[each].address for each in hosts], objects, strict=True)))

    return act


_OF_CONTENTS, _OF_ALTERED, _MORE = 100_000, 200_000, 10
"""The first numbers of patients who have no other study, and how many come while headers are altered."""


def come_again(site: Site, _: float) -> None:
    """The PACS sends a study that was read and removed: it is a new one."""

    def removed() -> list[Outgoing]:
        there = {str(uid) for (uid,) in site.database.server.run(_STUDIES, engines.DATABASE)}
        old = [known.outgoing for _, known in _acknowledged(site) if time.time() - known.moment > READ_AFTER_S]
        return [
            each for each in old if each.is_read and not each.is_early and each.instance.study_instance_uid not in there
        ]

    returning = wait_for(removed, "a study that was read to be removed", 300.0)[0]
    address = site.hosts["a"].address
    wait_for(lambda: site.pacs.send_to(address, returning), "a removed study to be taken again", 240.0)
    site.pacs.comes_again(returning)
    site.returned.add(returning.instance.study_instance_uid)


_STUDIES = "SELECT study_uid FROM study UNION SELECT study_uid FROM object"
