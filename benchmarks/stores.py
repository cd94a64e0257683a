"""Both stores side by side: intake, the way to a decoded image, the list. Usage: stores.py [--weed PROGRAM]

The stores take turns (A B A B): files; rows in a PostgreSQL that waits for its disk, and objects in a folder that does
not; the same with objects in SeaweedFS on loopback, where its program is named (`--weed`, or BENCH_WEED). All of it is
one machine, so that what an engine takes is taken from the others: processor seconds say what each part costs, by
process, and rates say what this machine does. Ends within five minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median
from uuid import uuid4

import psutil
from figures import higher, lower, report
from intake import make_images
from patient_search import Clock, Listed
from redis import Redis
from service import load, table

sys.path.insert(0, str(Path(__file__).parents[1]))

from page import redis

from tests.support.file_bucket import FileBucket
from tests.support.postgres_server import PostgresServer
from tests.support.seaweed import SeaweedServer
from triage.radiograph.decode import decode_pixels, open_dicom
from triage.radiograph.types import Rejected
from triage.spool.cluster.address import BucketAddress, ClusterAddress
from triage.spool.cluster.opening import open_cluster
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.instance import ReceivedInstance
from triage.spool.open_store import open_store
from triage.spool.store import Store
from triage.worklist.index import IndexedWorklist
from triage.worklist.indexed_query import IndexedQuery
from triage.worklist.query import ListRequest

IN_FLIGHT = (1, 2, 4, 8, 16)
OF_FILES = (1, 4)
"""In flight with files, whose rates they are compared with."""
OBJECTS = 8
"""Objects of a turn, or as many as are in flight."""
TURNS = 2
STUDIES = 150
LOOKS = 9


@dataclass(frozen=True)
class Place:
    """One store, and the processes that it is made of, next to this one."""

    name: str
    store: Store
    engines: dict[str, Callable[[], list[psutil.Process]]]


@dataclass(frozen=True)
class Turn:
    """One turn of intake: objects a second, and processor milliseconds for an object of each part."""

    rate: float
    cpu_ms: dict[str, float]


def tree(process_id: int) -> list[psutil.Process]:
    """Return a process and its children, the short-lived sessions of PostgreSQL too."""
    root = psutil.Process(process_id)
    return [root, *root.children(recursive=True)]


def spent(place: Place) -> dict[str, float]:
    """Return the processor seconds that each part has taken so far."""
    engines = {name: sum(map(_seconds, found())) for name, found in place.engines.items()}
    return {"ours": time.process_time(), **engines}


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


def keep(store: Store, content: bytes) -> ReceivedInstance:
    """Store one object as the listener does, durably."""
    instance = ReceivedInstance("1.2.826.0.1", f"2.25.{uuid4().int}", sha256(content[:64] + os.urandom(8)).hexdigest())
    upload = store.begin_upload()
    try:
        view = memoryview(content)
        for at in range(0, len(content), 1 << 20):
            upload.write(view[at : at + (1 << 20)])
        store.keep(upload, instance)
    finally:
        upload.discard()
    return instance


def intake(place: Place, content: bytes, in_flight: int) -> Turn:
    """Store objects, so many at a time, and remove them again."""
    objects = max(OBJECTS, in_flight)
    before, started = spent(place), time.perf_counter()
    with ThreadPoolExecutor(in_flight) as threads:
        for each in [threads.submit(keep, place.store, content) for _ in range(objects)]:
            each.result()
    took, after = time.perf_counter() - started, spent(place)
    place.store.drop_unfinished()
    place.store.remove_old_parts(time.time())
    parts = {name: (after[name] - before[name]) * 1000 / objects for name in after}
    return Turn(objects / took, parts)


def latency(place: Place, content: bytes) -> tuple[float, float, float]:
    """Return the seconds until an object is acknowledged, until its bytes are read again, and to decode them."""
    started = time.perf_counter()
    instance = keep(place.store, content)
    kept = time.perf_counter()
    stored = place.store.stored_object(instance)
    assert stored is not None
    data = stored.read_bytes()
    read = time.perf_counter()
    opened = open_dicom(data)
    assert not isinstance(opened, Rejected)
    decode_pixels(*opened)
    decoded = time.perf_counter()
    place.store.drop_unfinished()
    return kept - started, read - kept, decoded - read


def looks(place: Place, folder: Path) -> dict[str, float]:
    """Return the seconds of a first reading of the list (a study), a page, and a search after a new study."""
    folder.mkdir()
    with redis(folder / "redis") as url, Redis.from_url(url) as client:
        worklist, clock = IndexedWorklist(client), Clock()
        query = IndexedQuery(worklist, place.store, 3600.0, clock)
        there = Listed(place.store, worklist, clock, query)  # type: ignore[arg-type]
        for number in range(STUDIES):
            there.add(number)
        worklist.end_building(worklist.begin_building())
        first = there.first_reading() / STUDIES
        page = median(there.page(ListRequest()) for _ in range(LOOKS))
        searches = []
        for number in range(STUDIES, STUDIES + LOOKS):
            there.add(number)
            searches.append(there.search(number))
        return {"first reading, a study": first, "page": page, "search after a new study": median(searches)}


@contextmanager
def places(folder: Path, weed: str) -> Iterator[list[Place]]:
    """Yield the stores, each in folders and servers of its own."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer())
        server.stop()
        server.settings["fsync"] = "on"
        server.start()

        def sessions() -> list[psutil.Process]:
            return tree(int((server.folder / "data" / "postmaster.pid").read_text().split()[0]))

        def clustered(name: str, bucket: FileBucket | S3Bucket, address: BucketAddress, **engines: object) -> Place:
            there = ClusterAddress(server.address("postgres"), address, folder / f"{name}-scratch", name)
            return Place(name, open_cluster(there, bucket), {"PostgreSQL": sessions, **engines})  # type: ignore[dict-item]

        (folder / "bucket").mkdir()
        found = [Place("files", open_store(folder / "spool"), {})]
        found.append(clustered("folder", FileBucket(folder / "bucket"), BucketAddress("file:", "bucket")))
        if weed:
            seaweed = stack.enter_context(SeaweedServer(weed, volumes=256))
            engine = {"SeaweedFS": lambda: tree(seaweed.process_id)}
            found.append(clustered("seaweed", S3Bucket(seaweed.address), seaweed.address, **engine))
        yield found


def measure_intake(stores: list[Place], content: bytes) -> None:
    """Print and report the intake of all stores, in turns."""
    turns: dict[tuple[str, int], list[Turn]] = {}
    for _ in range(TURNS):
        for in_flight in IN_FLIGHT:
            for place in stores if in_flight in OF_FILES else stores[1:]:
                turns.setdefault((place.name, in_flight), []).append(intake(place, content, in_flight))
    mb = len(content) / 1e6
    rows = []
    for (name, in_flight), found in turns.items():
        rate = median(each.rate for each in found)
        costs = ", ".join(f"{part} {median(each.cpu_ms[part] for each in found) / mb:.1f}" for part in found[0].cpu_ms)
        rows.append((name, str(in_flight), f"{rate:.1f}", f"{rate * mb:.0f}", costs))
    print(table(("store", "in flight", "objects/s", "MB/s", "processor ms for a MB"), rows))
    for place in stores[1:]:
        ratios = [ours.rate / files.rate for ours, files in zip(turns[place.name, 4], turns["files", 4], strict=True)]
        alone = [four.rate / one.rate for four, one in zip(turns[place.name, 4], turns[place.name, 1], strict=True)]
        cpu = [
            sum(ours.cpu_ms.values()) / sum(files.cpu_ms.values())
            for ours, files in zip(turns[place.name, 4], turns["files", 4], strict=True)
        ]
        report(
            higher(f"stores.{place.name}.intake", ratios),
            higher(f"stores.{place.name}.four_in_flight", alone),
            lower(f"stores.{place.name}.processor", cpu),
        )


def measure_latency(stores: list[Place], content: bytes) -> None:
    """Print and report the way of one object, in turns."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(4 * TURNS):
        for place in stores:
            found.setdefault(place.name, []).append(latency(place, content))
    rows = [(name, *(f"{1000 * median(part):.0f}" for part in zip(*each, strict=True))) for name, each in found.items()]
    print(table(("store", "acknowledged, ms", "read again, ms", "decoded, ms"), rows))
    for place in stores[1:]:
        pairs = list(zip(found[place.name], found["files"], strict=True))
        report(lower(f"stores.{place.name}.latency", [sum(ours) / sum(files) for ours, files in pairs]))


def measure_looks(stores: list[Place], folder: Path) -> None:
    """Print and report the list of both kinds of store; the bucket has no part in it."""
    found: dict[str, list[dict[str, float]]] = {}
    for turn in range(TURNS):
        for place in stores[:2]:
            inner = Place(place.name, place.store.open_partition(f"looks-{turn}"), place.engines)
            found.setdefault(place.name, []).append(looks(inner, folder / f"{place.name}-{turn}"))
    names = list(found["files"][0])
    rows = [
        (store, *(f"{1000 * median(each[name] for each in turns):.2f}" for name in names))
        for store, turns in found.items()
    ]
    print(table(("store", *(f"{name}, ms" for name in names)), rows))
    for name in names:
        ratios = [ours[name] / files[name] for ours, files in zip(found["folder"], found["files"], strict=True)]
        report(lower(f"stores.{name.split(',')[0].replace(' ', '_')}", ratios))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weed", default=os.environ.get("BENCH_WEED", ""), help="the program weed of SeaweedFS")
    parser.add_argument("--folder", type=Path, default=os.environ.get("BENCH_FOLDER"), help="on the disk in question")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cxr-stores-", dir=arguments.folder) as name:
        folder = Path(name)
        (image,) = make_images(folder / "images", 1)
        content = image.read_bytes()
        print(f"objects of {len(content) / 1e6:.1f} MB; load {load()}", flush=True)
        with places(folder, arguments.weed) as stores:
            measure_intake(stores, content)
            measure_latency(stores, content)
            measure_looks(stores, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
