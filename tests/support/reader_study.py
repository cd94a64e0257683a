"""A reader study on phantoms, served in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.wait import wait_for
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.reader_study.app import create_app, sessions
from triage.reader_study.study import ReaderStudy, begin_or_resume
from triage.runtime.sockets import listen
from triage.web.api.images import PictureCache
from triage.web.http.serving import server_of


def write_cases(folder: Path, count: int, rows: int = 96, columns: int = 80) -> Path:
    """``count`` phantoms, each of a patient of its own."""
    folder.mkdir()
    for number in range(count):
        subject = PhantomSubject(accession=f"SECRET-{number}", study=f"case {number}")
        pixels = draw(number, rows=rows, columns=columns, opacity=number % 2 == 0)
        (folder / f"case{number}.dcm").write_bytes(as_dicom(pixels, subject))
    return folder


def a_study(folder: Path, cases: int = 4, readers: tuple[str, ...] = ("anna", "ben")) -> ReaderStudy:
    return begin_or_resume(folder / "study", write_cases(folder / "images", cases), readers)


@contextmanager
def served(study: ReaderStudy, idle_seconds: float = 60.0, port: int = 0) -> Iterator[str]:
    """The address of the served study."""
    listening = listen("127.0.0.1", port)
    pictures = PictureCache()
    app = create_app(sessions(study, lambda: "2026-11-25T10:00:00.000+00:00"), pictures, idle_seconds)
    server = server_of(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        wait_for(lambda: server.started, "the reader study's server")
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        pictures.close()


@contextmanager
def asking(study: ReaderStudy, address: str, reader: str) -> Iterator[httpx.Client]:
    """A client that has the reader's link."""
    with httpx.Client(base_url=f"{address}/r/{study.tokens[reader]}/", trust_env=False, timeout=60) as client:
        yield client


def step(ask: httpx.Client, kind: str, number: int, **more: object) -> httpx.Response:
    return ask.post(kind, json={"number": number, "active_ms": 1500, "elapsed_ms": 2000, **more})
