"""One 15 MB study into an idle service: from its last byte to its tag in the API. Usage: latency.py [--studies N]

A study is a 2544x3056 16-bit DX image, sent uncompressed over an association of its own; the next one goes when the
last is tagged. The clock starts when the sender has handed the last PDU of the data set to the kernel, and stops when
the API gives the study, and again when the worklist has it. For comparison, in the same run: the time to the
response of the C-STORE of the same bytes, and of a bare request to the API.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from figures import lower, report
from prometheus_client.parser import text_string_to_metric_families
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from service import Service, load, percentile, table

ROWS, COLUMNS = 3056, 2544
MEDIAN_BAR_S, P99_BAR_S = 0.06, 0.1
_POLL_S = 0.005
_TIMEOUT_S = 60.0


@dataclass
class Times:
    """Seconds of every study."""

    store: list[float] = field(default_factory=list)
    study: list[float] = field(default_factory=list)
    listed: list[float] = field(default_factory=list)
    request: list[float] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)


def picture() -> bytes:
    """Return the pixels of a grey wedge with structure and noise; its content does not matter here."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    pixels = 2000 + 800 * np.sin(rows / 300) * np.cos(columns / 250) + columns / 4
    noise = np.random.default_rng(1).normal(0, 20, pixels.shape)
    return np.clip(pixels + noise, 0, 4095).astype("<u2").tobytes()


def study(pixels: bytes) -> Dataset:
    """Return a frontal DX study of a fictitious patient, 50 years old, with new UIDs."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID = "BENCHMARK^PHANTOM", "BENCHMARK"
    dataset.PatientAge, dataset.PatientBirthDate, dataset.PatientSex = "050Y", "", "O"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20260101", "120000", "BENCH"
    dataset.Modality, dataset.PresentationIntentType = "DX", "FOR PRESENTATION"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "PA"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.PixelData = pixels
    return dataset


def send(dataset: Dataset, port: int, called: str) -> tuple[float, float]:
    """Send one object; return when its last byte had left (perf_counter) and the seconds from then to the response."""
    sent: list[float] = []
    ae = AE(ae_title="BENCHMARK")
    ae.maximum_pdu_size = 0
    ae.add_requested_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
    handlers = [(evt.EVT_DATA_SENT, lambda _: sent.append(time.perf_counter()))]
    association = ae.associate("127.0.0.1", port, ae_title=called, evt_handlers=handlers)
    if not association.is_established:
        raise SystemExit("the listener did not accept the association")
    try:
        status = association.send_c_store(dataset)
        last, answered = sent[-1], time.perf_counter()
    finally:
        association.release()
    if status.get("Status") != 0x0000:
        raise SystemExit(f"C-STORE was answered with {status.get('Status')}")
    return last, answered - last


def until(condition: Callable[[], bool], event: str) -> float:
    """Wait for ``condition``, and return perf_counter when it first held."""
    deadline = time.monotonic() + _TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {_TIMEOUT_S:.0f} s for {event}")
        time.sleep(_POLL_S)
    return time.perf_counter()


def get(connection: http.client.HTTPConnection, path: str) -> dict[str, object] | None:
    """Return the JSON object at ``path``; None if it is not there.

    The service closes a connection that was idle for a while: then one more is opened.
    """
    try:
        connection.request("GET", path)
        response = connection.getresponse()
    except ConnectionError:
        connection.close()
        connection.request("GET", path)
        response = connection.getresponse()
    content = response.read()
    return json.loads(content) if response.status == 200 else None


def measure(service: Service, studies: int) -> Times:
    """Send ``studies`` studies one after another; two more go before and are not counted."""
    times = Times()
    pixels = picture()
    connection = http.client.HTTPConnection("127.0.0.1", service.ports.web, timeout=30)
    for number in range(-2, studies):
        dataset = study(pixels)
        path = f"/api/worklist/{dataset.StudyInstanceUID}"
        last, store = send(dataset, service.ports.dicom, "CXR_TRIAGE")
        shown = until(lambda path=path: get(connection, path) is not None, "the study in the API")
        listed = until(lambda uid=dataset.StudyInstanceUID: _is_listed(connection, uid), "the study in the worklist")
        started = time.perf_counter()
        result = get(connection, path)
        request = time.perf_counter() - started
        if number < 0 or result is None:
            continue
        times.store.append(store)
        times.study.append(shown - last)
        times.listed.append(listed - last)
        times.request.append(request)
        tag = " ".join((str(result["tag"]), *map(str, result["reasons"])))
        times.tags[tag] = times.tags.get(tag, 0) + 1
    return times


def stages(metrics_port: int) -> dict[str, float]:
    """Return the mean seconds of each stage, and from receipt to tag, from the worker's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    names = {"cxr_triage_stage_duration_seconds": "", "cxr_triage_time_to_tag_seconds": "receipt to tag"}
    sums: dict[tuple[str, str], float] = {
        (sample.name.rpartition("_")[2], sample.labels.get("stage", names[family.name])): sample.value
        for family in families
        if family.name in names
        for sample in family.samples
    }
    return {stage: total / sums["count", stage] for (kind, stage), total in sums.items() if kind == "sum"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100, help="at most 450: the worklist is read as one page")
    studies = min(parser.parse_args().studies, 450)
    with Service() as service:
        times = measure(service, studies)
        means = stages(service.ports.worker_metrics)
    store = median(times.store)
    rows = [
        _row("C-STORE answered", times.store, store),
        _row("study in the API", times.study, store),
        _row("study in the worklist", times.listed, store),
        _row("one request to the API", times.request, store),
        ("the bar", f"{MEDIAN_BAR_S * 1e3:.0f} ms", f"{P99_BAR_S * 1e3:.0f} ms", "", ""),
    ]
    print(f"{studies} studies of {ROWS * COLUMNS * 2 / 1e6:.1f} MB, one at a time, from the last byte on{load()}")
    print(table(("until", "median", "99th percentile", "longest", "ratio to C-STORE"), rows))
    for name, found, bar in (
        ("median", median(times.study), MEDIAN_BAR_S),
        ("99th percentile", percentile(times.study, 0.99), P99_BAR_S),
    ):
        verdict = "met" if found < bar else "MISSED"
        print(f"study in the API, {name}: {found * 1e3:.0f} ms (bar {bar * 1e3:.0f} ms: {verdict})")
    print("means in the worker: " + ", ".join(f"{stage} {mean * 1e3:.0f} ms" for stage, mean in means.items()))
    print("tags: " + ", ".join(f"{tag} {count}" for tag, count in sorted(times.tags.items())))
    third = max(studies // 3, 1)
    turns = [slice(start, start + third) for start in range(0, third * 3, third)]
    report(lower("latency.api_of_store", [median(times.study[turn]) / median(times.store[turn]) for turn in turns]))


def _is_listed(connection: http.client.HTTPConnection, uid: str) -> bool:
    page = get(connection, "/api/worklist?limit=500")
    return page is not None and f'"{uid}"' in json.dumps(page["entries"])


def _row(name: str, seconds: list[float], reference: float) -> tuple[str, ...]:
    return (
        name,
        f"{median(seconds) * 1e3:.0f} ms",
        f"{percentile(seconds, 0.99) * 1e3:.0f} ms",
        f"{max(seconds) * 1e3:.0f} ms",
        f"{median(seconds) / reference:.2f}",
    )


if __name__ == "__main__":
    main()
