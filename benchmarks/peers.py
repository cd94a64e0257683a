"""200 DX from C-STORE to result: us, `dicom-ai-router` 0.3, Orthanc's Python plugin, with the same ONNX file.

Usage: peers.py [--router PYTHON] [--orthanc-plugin LIBRARY] [--studies N] [--turns N]

``PYTHON`` is that of a virtual environment with `dicom-ai-router` 0.3 from PyPI, ``LIBRARY`` is libOrthancPython.so of
Debian's package orthanc-python; without them the two are left out. The studies are sent by DCMTK's dcmsend over four
associations: one is slower than any receiver, as it waits for acknowledgements of TCP. A result of ours is a structured
report that DCMTK's storescp has received; of the router, its report and its picture there; of Orthanc, a line that the
plugin writes. They take turns, each started anew. Processor seconds are of all processes of a contender, from the first
byte to the last result; the receiver's and sender's are left out.

The router takes CT alone (`pipeline.IMAGE_SOP_CLASSES`): here it is told to take DX too, its quiet time is 0 s (3 s by
default), it has 2 workers as by default, and it asks `peer_model.py`, which decodes as we do. Ours has its defaults,
but that a report is built at once (`delay_s = 0`, 60 by default).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from backlog import SIDE, fill
from figures import lower, report
from idle import spent
from peer_model import MODEL
from service import Service, free_ports, load, table

from triage.spool.spool import Spool

_TIMEOUT_S = 60.0
_SENDERS = 4
_SILENT_S = 30.0  # without a result
_ROUTER = """
import sys
from airouter import pipeline
pipeline.IMAGE_SOP_CLASSES.add("1.2.840.10008.5.1.4.1.1.1.1")
from airouter.__main__ import main
main(["serve", "--config", sys.argv[1]])
"""
_PLUGIN = """
import sys
sys.path[:0] = {path!r}
import orthanc, peer_model
peer_model.loaded()

def stored(dicom, instance):
    with open({results!r}, "a") as file:
        file.write("%s %s\\n" % (instance, peer_model.score(dicom.GetInstanceData())))

orthanc.RegisterOnStoredInstanceCallback(stored)
"""


@dataclass(frozen=True)
class Contender:
    """A receiver under test: its port and AE title, the processes to count, and the number of results so far."""

    port: int
    called: str
    processes: tuple[subprocess.Popen[bytes], ...]
    results: Callable[[], int]


def until_open(port: int) -> None:
    """Wait until something takes connections on a port."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing listens on port {port}")
        time.sleep(0.1)


@contextmanager
def started(command: list[str], port: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, wait until its port answers, and end it at last."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=os.environ | variables, stdout=quiet, stderr=quiet)
    try:
        until_open(port)
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def receiver(folder: Path) -> Iterator[tuple[int, Callable[[], int]]]:
    """Yield the port of a receiver of results, and the number that it has."""
    (port,) = free_ports(1)
    folder.mkdir()
    with started(["storescp", "-aet", "PACS", "-od", str(folder), str(port)], port):
        yield port, lambda: sum(1 for _ in folder.iterdir())


@contextmanager
def ours(folder: Path) -> Iterator[Contender]:
    """Start our service with one destination for reports."""
    with ExitStack() as stack:
        pacs, count = stack.enter_context(receiver(folder / "pacs"))
        config = folder / "triage.toml"
        peer = f'host = "127.0.0.1"\nport = {pacs}\ncalled_ae_title = "PACS"'
        config.write_text(f'[[channels.sr]]\nname = "pacs"\n{peer}\ndelay_s = 0\n')
        (metrics,) = free_ports(1)
        settings = {"TRIAGE_CONFIG": str(config), "TRIAGE_DELIVER_METRICS_PORT": str(metrics)}
        service = stack.enter_context(Service(TRIAGE_MODELS_ALLOW_DEMO="true", **settings))
        assert service.process is not None
        yield Contender(service.ports.dicom, "CXR_TRIAGE", (service.process,), count)


@contextmanager
def router(folder: Path, python: Path) -> Iterator[Contender]:
    """Start `dicom-ai-router` with the model behind it."""
    with ExitStack() as stack:
        pacs, count = stack.enter_context(receiver(folder / "pacs"))
        model, port = free_ports(2)
        config = folder / "router.json"  # YAML that is JSON
        config.write_text(
            json.dumps(
                {
                    "router": {
                        "ae_title": "AIROUTER",
                        "port": port,
                        "study_quiet_seconds": 0,
                        "workers": 2,
                        "workdir": str(folder / "data"),
                        "bind_address": "127.0.0.1",
                    },
                    "pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": pacs},
                    "ai_endpoints": {"chest": {"url": f"http://127.0.0.1:{model}/", "timeout_s": 60}},
                    "rules": [{"name": "chest", "match": {"Modality": "^DX$"}, "model": "chest"}],
                    "deid": {"salt": "0123456789abcdef0123456789abcdef"},
                }
            )
        )
        script = str(Path(__file__).with_name("peer_model.py"))
        serving = stack.enter_context(started([sys.executable, script, str(model)], model))
        command = [str(python), "-c", _ROUTER, str(config)]
        process = stack.enter_context(started(command, port, PYTHONPATH=""))
        yield Contender(port, "AIROUTER", (process, serving), lambda: count() // 2)


@contextmanager
def orthanc(folder: Path, plugin: Path) -> Iterator[Contender]:
    """Start Orthanc with a plug-in in Python that scores each object that it stores."""
    port, web = free_ports(2)
    results, script, config = folder / "results", folder / "plugin.py", folder / "orthanc.json"
    results.touch()
    here = Path(__file__).parent
    path = [str(here), str(here.parent), *(each for each in sys.path if "site-packages" in each)]  # no other Python's
    script.write_text(_PLUGIN.format(path=path, results=str(results)))
    config.write_text(
        json.dumps(
            {
                "Plugins": [str(plugin)],
                "PythonScript": str(script),
                "DicomPort": port,
                "HttpPort": web,
                "StorageDirectory": str(folder / "db"),
                "RemoteAccessAllowed": False,
                "DicomAlwaysAllowStore": True,
            }
        )
    )
    with started(["Orthanc", str(config)], port) as process:
        yield Contender(port, "ORTHANC", (process,), lambda: len(results.read_text().splitlines()))


def processors(contender: Contender) -> float:
    """Return the processor seconds of a contender's processes so far."""
    return sum(sum(spent(process.pid).values()) for process in contender.processes)


def run(contender: Contender, files: Path, studies: int) -> tuple[float, float]:
    """Send all studies, and return the seconds until there are as many results, and of the processors.

    Where no more come, those that are missing are told, and the seconds are those until the last one.
    """
    began, cpu = time.perf_counter(), processors(contender)
    images = sorted(map(str, files.iterdir()))
    command = ["dcmsend", "-aec", contender.called, "127.0.0.1", str(contender.port)]
    quiet = subprocess.DEVNULL
    senders = [
        subprocess.Popen([*command, *images[number::_SENDERS]], stdout=quiet, stderr=quiet)
        for number in range(_SENDERS)
    ]
    statuses = [sender.wait() for sender in senders]
    if any(statuses):
        raise SystemExit(f"dcmsend to {contender.called} failed")
    found, last = 0, time.perf_counter()
    while found < studies and time.perf_counter() - last < _SILENT_S:
        if (now := contender.results()) > found:
            found, last = now, time.perf_counter()
        time.sleep(0.05)
    if found < studies:
        print(f"{contender.called}: {found} results of {studies}")
    return last - began, processors(contender) - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", type=Path)
    parser.add_argument("--orthanc-plugin", type=Path)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--turns", type=int, default=2)
    arguments = parser.parse_args()
    studies: int = arguments.studies
    contenders: dict[str, Callable[[Path], AbstractContextManager[Contender]]] = {"cxr-triage": ours}
    if arguments.router:
        contenders["dicom-ai-router"] = lambda folder: router(folder, arguments.router)
    if arguments.orthanc_plugin:
        contenders["Orthanc, Python plugin"] = lambda folder: orthanc(folder, arguments.orthanc_plugin.resolve())
    top = Path(tempfile.mkdtemp(prefix="cxr-bench-", dir=os.environ.get("BENCH_FOLDER")))
    spool = Spool.open(top / "spool")
    fill(spool, studies)
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(arguments.turns):
        for number, (name, start) in enumerate(contenders.items()):
            folder = top / f"{turn}-{number}"
            folder.mkdir()
            with start(folder) as contender:
                costs[name].append(run(contender, spool.inbox, studies))
            shutil.rmtree(folder)
            print(f"{name}: {costs[name][-1]}", file=sys.stderr)
    shutil.rmtree(top)
    first = costs["cxr-triage"]
    rows = [
        (
            name,
            f"{median(clock for clock, _ in each):.1f} s",
            f"{median(cpu for _, cpu in each):.1f} s",
            f"{median(theirs / ours for (theirs, _), (ours, _) in zip(each, first, strict=True)):.2f}",
            f"{median(theirs / ours for (_, theirs), (_, ours) in zip(each, first, strict=True)):.2f}",
        )
        for name, each in costs.items()
    ]
    print(f"{studies} DX of {SIDE} x {SIDE} to results, {MODEL}, {arguments.turns} turns{load()}")
    print(table(("", "clock", "processors", "clock / ours", "processors / ours"), rows))
    if theirs := costs.get("dicom-ai-router"):
        shares = [ours / other for (_, ours), (_, other) in zip(first, theirs, strict=True)]
        report(lower("peers.processors_of_router", shares))


if __name__ == "__main__":
    main()
