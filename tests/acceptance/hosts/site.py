"""What events act on."""

from __future__ import annotations

from typing import Protocol

from tests.acceptance.hosts.altered import Alteration
from tests.acceptance.hosts.bounds import WayCut
from tests.acceptance.hosts.engines import Balancer, Bucket, Database, Lists
from tests.acceptance.hosts.network import Host
from tests.acceptance.hosts.pacs import Pacs
from tests.acceptance.hosts.service import Service
from tests.acceptance.hosts.units import Units
from tests.acceptance.hosts.watches import WorkWatch


class Site(Protocol):
    """What events act on."""

    hosts: dict[str, Host]
    units: Units
    database: Database
    lists: Lists
    bucket: Bucket
    balancers: dict[str, Balancer]
    work: WorkWatch
    service: Service
    pacs: Pacs
    way_cuts: list[WayCut]
    altered: list[Alteration]
    shown_wrongly: list[str]
    returned: set[str]
