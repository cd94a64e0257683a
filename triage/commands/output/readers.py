"""Output of ``triage readers``: serve a study on loopback, and write its labels."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from triage.reader_study.app import ReaderSession, create_app, sessions
from triage.reader_study.labels import Summary, write_labels
from triage.reader_study.study import LOCK, ReaderStudy, StudyError, begin_or_resume, open_study
from triage.runtime.durable import private_folder
from triage.runtime.file_lock import single_instance
from triage.runtime.sockets import listen
from triage.web.api.images import PictureCache
from triage.web.http.serving import server_of
from triage.web.server import stop_on_signals

logger = logging.getLogger(__name__)


def serve(folder: Path, cases: Path | None, readers: Sequence[str], port: int, idle_seconds: float) -> None:
    """Serve the study in ``folder`` until SIGINT or SIGTERM, then write its labels. Raises StartError."""
    if cases is None:
        open_study(folder)  # before a folder is made by mistake
    private_folder(folder)
    with single_instance(folder / LOCK, StudyError(f"{folder} is being served already: end that first")):
        study = begin_or_resume(folder, cases, readers)
        _serve(study, port, idle_seconds)
    sys.stdout.write(told(folder, write_labels(study)))


def labels(folder: Path) -> str:
    """Write the labels of the study in ``folder``, served or not; what was written, for people. Raises StartError."""
    return told(folder, write_labels(open_study(folder)))


def told(folder: Path, summary: Summary) -> str:
    """Return a summary of what was written."""
    lines = [f"{reader} answered {count}" for reader, count in summary.answered.items()]
    lines.append(f"{summary.labelled} with a majority: {folder / 'labels.csv'}")
    for why, count in summary.unresolved.items():
        lines.append(f"{count} without, {why}: {folder / 'unresolved.csv'}")
    return "\n".join(lines) + "\n"


def _serve(study: ReaderStudy, port: int, idle_seconds: float) -> None:
    by_token = sessions(study, lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    pictures = PictureCache()
    with listen("127.0.0.1", port, "choose another --port") as listening:
        server = server_of(create_app(by_token, pictures, idle_seconds))
        sys.stdout.write(_links(study, by_token, listening.getsockname()[1]))
        sys.stdout.flush()
        try:
            with stop_on_signals(server):
                server.run(sockets=[listening])
        finally:
            pictures.close()


def _links(study: ReaderStudy, by_token: dict[str, ReaderSession], port: int) -> str:
    lines = [
        f"{len(study.cases)} cases in {study.folder}; each reader's own link (Ctrl-C ends, and writes the labels):"
    ]
    for token, session in by_token.items():
        read = session.answers.progress.position
        lines.append(f"  {session.reader}: http://127.0.0.1:{port}/r/{token}/  ({read} of {len(study.cases)} read)")
    return "\n".join(lines) + "\n"
