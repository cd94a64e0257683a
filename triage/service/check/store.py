"""Check the store that several hosts share: its database, its bucket, and this host's folder for parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from triage.errors import cause
from triage.operations.in_work import Part, at_work, differences
from triage.runtime.extras import what_to_install
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.service.check.places import writable
from triage.service.leadership import LED
from triage.settings.sections.spool import SpoolSettings
from triage.spool.cluster.address import BucketAddress, ClusterAddress
from triage.spool.cluster.s3_probe import try_bucket
from triage.spool.errors import SpoolError
from triage.spool.open_store import schema_of, store_at
from triage.spool.store import Store
from triage.spool.usage import HighWater

_SETTINGS = "give each host the same settings, and start work again"
_TO_DO = {
    Part.MODELS: "copy the folder of models, or promote on each (models.path)",
    Part.OPERATING_POINTS: "give each host the same settings and file of operating points, and start work again",
    Part.PROGRAM: "finish the upgrade, with the same plug-ins on each host",
}


def check_cluster(address: ClusterAddress, limits: SpoolSettings) -> Iterator[CheckResult]:
    """Check both engines and the folder. A small object is put into the bucket and removed; no table is touched."""
    yield from _check_database(address, HighWater(limits.high_water, limits.min_free_bytes))
    yield from _check_hosts(address)
    yield from _check_bucket(address.bucket)
    yield writable("scratch", address.scratch, address.scratch)


def _check_database(address: ClusterAddress, high_water: HighWater) -> Iterator[CheckResult]:
    database = address.database
    name = f"{database.host}:{database.port}/{database.database}"
    try:
        store = store_at(address)
    except ModuleNotFoundError as error:
        yield failed("database", what_to_install(error, "store.kind = postgres+s3") or str(error))
        return
    with closing(store):
        yield _database(store, name, address, high_water)


def _database(store: Store, name: str, address: ClusterAddress, high_water: HighWater) -> CheckResult:
    try:
        schema = schema_of(address)
        if not schema.revision:
            return warning("database", f"{name} has no tables of ours yet: the first process makes them")
        full = high_water.reached(store)
    except SpoolError as error:
        return failed("database", f"{name}: {error}")
    except OSError as error:
        return failed("database", f"{name}: {cause(error)}")
    if full:
        return failed("database", f"{name}: above spool.high_water of store.quota_bytes: C-STORE is refused")
    return (warning if schema.is_later else ok)("database", f"{name}: there, as {address.tenant}, {schema}")


def _check_hosts(address: ClusterAddress) -> Iterator[CheckResult]:
    """Report which hosts lead, and what decides otherwise on some of them; nothing of a store that fails."""
    try:
        with closing(store_at(address)) as store:
            leaders = {name: store.workers.leader(name) for name in LED}
            differ = differences(at_work(store))
    except (OSError, ModuleNotFoundError):
        return
    words = ", ".join(f"{name} on {host}" for name, host in leaders.items() if host)
    yield ok("leaders", words or "none: no host runs the service")
    for each in differ:
        yield warning(f"{each.part.words} of hosts", f"{each}: {_TO_DO.get(each.part, _SETTINGS)}")


def _check_bucket(address: BucketAddress) -> Iterator[CheckResult]:
    name = f"{address.endpoint}/{address.bucket}"
    try:
        faults = list(try_bucket(address))
    except OSError as error:
        yield failed("bucket", cause(error))
        return
    for each in faults:
        yield warning("bucket", f"{name}: {each}")
    if not faults:
        yield ok("bucket", f"{name}: written, read, listed and removed; a wrong checksum is refused")
