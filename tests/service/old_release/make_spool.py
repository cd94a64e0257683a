"""Makes the archive: an installation of an earlier release, killed in the middle of its work. See README.md.

    PYTHONPATH=CHECKOUT python tests/service/old_release/make_spool.py ARCHIVE

runs the real processes of the release in ``CHECKOUT``: a listener, workers, a deliverer, the web process, the receiver
of reports and the embedded Redis. All of them end by kill -9. The names that are imported here are that release's.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from hl7.client import MLLPClient
from pydicom import dcmread
from redis import Redis
from tests.channels.mllp_listener import acknowledging, mllp_listener
from tests.dicom_peer import DX, RawPeer, command, data_set_of, response_status
from tests.model_folders import write_model
from tests.reports.sender import report
from tests.waiting import wait_for
from triage.outbox import Outbox
from triage.reading import steps
from triage.workitems import workitem_uid

import triage
from triage import embedded_redis
from triage.phantom import Subject, as_dicom, draw, draw_lateral
from triage.spool import Spool

RELEASE = Path(str(triage.__file__)).parents[1]
ROWS, COLUMNS = 128, 96
HOST = "old-release"
SITE = Path("/srv/cxr-triage")
"""Where it lies while it runs: the audit trail and Redis name it. Nothing else of the machine may be named."""
READER, ADMIN = ("ann", "twelve little radiologists"), ("bob", "one administrator at 3 a.m.")
TRANSACTION = "2.25.20261128"
DAY = 24 * 3600.0
TOLD = {"pacs": "waiting", "hook": "waiting", "ris": "delivered"}
# The host's name is in the names of workers, in locks and in Redis: this machine's stays private.
LAUNCH = (
    f"import runpy, socket, sys; socket.gethostname = lambda: {HOST!r}; name = sys.argv.pop(1); "
    "runpy.run_module(name, run_name='__main__', alter_sys=True)"
)
SETTINGS = """
[spool]
path = "var/spool"
high_water = 1.0
min_free_bytes = 0
[redis]
socket_path = "var/redis/redis.sock"
[models]
path = "models"
[listener]
port = {listener}
metrics_port = 0
[worker]
threads = 1
decode_processes = 1
metrics_port = 0
[sweep]
metrics_port = 0
[deliver]
interval_s = 0.1
metrics_port = 0
[decision]
prior_after_days = 30
[web]
port = {web}
ups = true
[sign_in]
method = "users"
users_file = "var/users.json"
[audit]
path = "var/audit/audit.xml"
[reports]
port = {reports}
metrics_port = 0
[[channels.sr]]
name = "pacs"
host = "127.0.0.1"
port = {away}
called_ae_title = "PACS"
delay_s = 0
first_interval_s = 1
longest_interval_s = 2
[[channels.sr]]
name = "archive"
host = "127.0.0.1"
port = {away}
called_ae_title = "ARCHIVE"
delay_s = 1000000
[[channels.hl7]]
name = "ris"
host = "127.0.0.1"
port = {ris}
error_tries = 1
[[channels.webhook]]
name = "hook"
url = "http://127.0.0.1:{away}/results"
secret = "sixteen characters"
"""


@dataclass
class Installation:
    """The processes of the release on one machine. ``folder`` has the models and settings, ``var`` what is kept."""

    folder: Path
    ports: dict[str, int]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def var(self) -> Path:
        return self.folder / "var"

    @property
    def spool(self) -> Spool:
        return Spool(self.var / "spool")

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.spool)

    @property
    def redis(self) -> Redis:
        return Redis(unix_socket_path=str(self.var / "redis" / "redis.sock"))

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self, name: str, *, dying: tuple[str, str] | None = None, **settings: str) -> subprocess.Popen[bytes]:
        """Start a role; ``dying`` is when and where it is killed."""
        module = ["tests.dying", *dying] if dying else ["triage.cli"]
        self.running[name] = self._process([*module, name], settings, stdin=None)
        return self.running[name]

    def command(self, *arguments: str, says: str = "", **settings: str) -> None:
        """Run a command of the release to its end."""
        done = self._process(["triage.cli", *arguments], settings, stdin=subprocess.PIPE)
        done.communicate(says.encode(), timeout=120)
        assert done.returncode == 0, (arguments, self.log.read_text()[-3000:])

    def kill(self, *names: str) -> None:
        """kill -9."""
        for name in names or tuple(self.running):
            process = self.running.pop(name)
            process.kill()
            process.wait()

    def _process(self, arguments: list[str], settings: dict[str, str], stdin: int | None) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
        environment |= {"PYTHONPATH": str(RELEASE), "TRIAGE_CONFIG": str(self.folder / "triage.toml")}
        environment |= {f"TRIAGE_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("ab") as log:
            line = [sys.executable, "-c", LAUNCH, *arguments]
            return subprocess.Popen(line, stdin=stdin, stdout=log, stderr=log, cwd=self.folder, env=environment)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def installation(folder: Path, ris: int) -> Iterator[Installation]:
    """A new one, with models of adults (normal), small children (abnormal) and youths, and the embedded Redis."""
    ports = {name: free_port() for name in ("listener", "web", "reports", "away")} | {"ris": ris}
    made = Installation(folder, ports)
    write_model(folder / "models", "tiny-adult", bias=-10)
    write_model(folder / "models", "tiny-child", age_from=1, age_below=6, bias=10)
    write_model(folder / "models", "tiny-youth", age_from=6, age_below=18, bias=-10)
    (folder / "triage.toml").write_text(SETTINGS.format(**ports))
    redis = embedded_redis.command(made.var / "redis" / "redis.sock")
    made.running["redis"] = subprocess.Popen(redis, cwd=folder)
    try:
        wait_for(lambda: answers(made.redis), "Redis")
        yield made
    finally:
        made.kill()


def answers(redis: Redis) -> bool:
    with suppress(Exception):
        return bool(redis.ping())
    return False


@dataclass
class Studies:
    """The images that are sent, by the study's name, which is its accession number too."""

    made_at: float
    files: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, name: str, *, age: str = "050Y", lateral: bool = False, taken_days_ago: float = 1.0) -> None:
        number = len(self.files) + 1
        drawn = [("PA", draw(number, rows=ROWS, columns=COLUMNS, child=age == "003Y"))]
        if lateral:
            drawn.append(("LL", draw_lateral(number, rows=ROWS, columns=COLUMNS)))
        taken = self.made_at - taken_days_ago * DAY
        self.files[name] = [
            dated(as_dicom(pixels, Subject(view, age, name.upper(), study=f"old release, {name}")), taken)
            for view, pixels in drawn
        ]

    def uid(self, name: str) -> str:
        return str(dcmread(BytesIO(self.files[name][0])).StudyInstanceUID)


def dated(file: bytes, taken: float) -> bytes:
    """The phantom as one of a given time (POSIX seconds)."""
    dataset, at = dcmread(BytesIO(file)), time.gmtime(taken)
    for name in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{name}Date", time.strftime("%Y%m%d", at))
        setattr(dataset, f"{name}Time", time.strftime("%H%M%S", at))
    dataset.TimezoneOffsetFromUTC = "+0000"
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def all_studies(made_at: float) -> Studies:
    studies = Studies(made_at)
    for name in ("expired", "delivered", "labelled", "unread", "reported", "claimed"):
        studies.add(name)
    studies.add("read", lateral=True)
    studies.add("refused", age="003Y")
    studies.add("given-up")
    studies.add("given-up-child", age="003Y")
    studies.add("unannounced")
    studies.add("half-written", lateral=True)
    studies.add("half-filed", lateral=True)
    for name in ("queued", "early", "late"):
        studies.add(name)
    studies.add("queued-child", age="003Y")
    studies.add("queued-youth", age="010Y")
    studies.add("prior", taken_days_ago=400)
    studies.add("prior-too", taken_days_ago=500)
    return studies


def send(place: Installation, *files: bytes) -> list[int | None]:
    """C-STORE them in one association; the statuses, None where the listener died."""
    statuses: list[int | None] = []
    with RawPeer(place.ports["listener"]) as peer:
        peer.associate(calling="MODALITY")
        for file in files:
            peer.send_store(DX, str(dcmread(BytesIO(file)).SOPInstanceUID), data_set_of(file))
            try:
                kind, body = peer.receive()
            except ConnectionError:
                kind, body = 0, b""
            statuses.append(response_status(body[6:]) if kind == 0x04 else None)
    return statuses


def stored(place: Installation, studies: Studies, *names: str) -> None:
    files = [file for name in names for file in studies.files[name]]
    assert send(place, *files) == [0x0000] * len(files)


def listening(place: Installation, dying: tuple[str, str] | None = None) -> None:
    place.start("listen", dying=dying)
    wait_for(lambda: accepts(place.ports["listener"]), "the listener")


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def until_tagged(place: Installation) -> None:
    wait_for(lambda: not any(place.spool.waiting()), "the worker")


def until_told(place: Installation, studies: Studies, told: dict[str, str], *names: str) -> None:
    """Wait until every destination has the results in ``told`` of each study, or none for now."""
    for name in names:
        uid = studies.uid(name)
        wait_for(lambda uid=uid: states(place, uid) == told, f"what is told of {name}")  # type: ignore[misc]


def states(place: Installation, uid: str) -> dict[str, str]:
    unbuilt = {path.parent.name: "unbuilt" for path in place.var.glob(f"spool/undeliverable/*/{uid}")}
    return {each.destination: str(each.state) for each in place.outbox.records(uid)} | unbuilt


def ended(process: subprocess.Popen[bytes]) -> None:
    assert process.wait(120) == -9


# What happens, in this order.


def who_and_what(place: Installation) -> None:
    """Users, and the switches."""
    place.command("user", "add", READER[0], "--role", "reader", says=f"{READER[1]}\n")
    place.command("user", "add", ADMIN[0], "--role", "admin", says=f"{ADMIN[1]}\n")
    place.command("model", "tiny-youth", "--disable")
    place.command("channel", "hook", "--disable")


def work_of_a_day(place: Installation, studies: Studies) -> str:
    """Studies that are scored, told of, read; the cookie of the reader's session."""
    listening(place)
    for role in ("work", "deliver", "reports", "web"):
        place.start(role)
    stored(place, studies, "expired")
    until_tagged(place)
    place.command("sweep", "--once", worklist_expire_after_days="0.0000001", spool_retention_days="0")
    scored = ("delivered", "labelled", "unread", "reported", "claimed", "read", "refused")
    stored(place, studies, *scored)
    until_tagged(place)
    until_told(place, studies, TOLD, "expired", *set(scored) - {"refused"})
    until_told(place, studies, {**TOLD, "ris": "dead"}, "refused")
    wait_for(lambda: place.outbox.pause("pacs")[0], "the pause of the PACS")
    cookie = a_reader(place, studies)
    reports(place, studies)
    return cookie


def a_reader(place: Installation, studies: Studies) -> str:
    address = f"http://127.0.0.1:{place.ports['web']}"
    wait_for(lambda: accepts(place.ports["web"]), "the web process")
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as ask:
        signed_in = ask.post("/sign-in", data={"name": READER[0], "password": READER[1], "next": "/"})
        cookie = signed_in.headers["set-cookie"].partition(";")[0]
        by_cookie = {"Cookie": cookie}

        def act(name: str, what: str, **said: bool) -> None:
            done = ask.post(f"/api/studies/{studies.uid(name)}/{what}", json=said, headers=by_cookie)
            assert done.status_code == 200, done.text

        act("read", "reading", read=True)
        act("labelled", "label", label=True)
        act("unread", "reading", read=True)
        act("unread", "reading", read=False)
        claim = {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": [TRANSACTION]}}
        claimed = ask.put(
            f"/workitems/{workitem_uid(studies.uid('claimed'), 1)}/state",
            json=claim,
            headers={**by_cookie, "Content-Type": "application/dicom+json"},
        )
        assert claimed.status_code == 200, claimed.text
    return str(cookie)


def reports(place: Installation, studies: Studies) -> None:
    """A report of a study that is here, and of two that are to come."""
    wait_for(lambda: accepts(place.ports["reports"]), "the receiver of reports")
    with MLLPClient("127.0.0.1", place.ports["reports"]) as sender:
        for number, name in enumerate(("reported", "early", "late"), start=1):
            message = report(str(number), accession=name.upper(), patient="PHANTOM")
            assert b"MSA|AA" in sender.send_message(message.encode())
    assert [str(each.act) for each in steps(place.spool, studies.uid("reported"))] == ["read"]
    assert len(list((place.var / "spool" / "reports").iterdir())) == 2


def given_up(place: Installation, studies: Studies) -> None:
    """Two objects that no worker could open in time."""
    place.kill("work")
    stored(place, studies, "given-up", "given-up-child")
    place.start("work", worker_decode_timeout_s="0.000001")
    wait_for(lambda: len(list(place.spool.dead_letters())) == 2, "the dead letters")
    until_told(place, studies, {**TOLD, "pacs": "unbuilt"}, "given-up", "given-up-child")  # a fault of that release
    place.kill("work", "deliver", "reports", "web")


def killed_at_work(place: Installation, studies: Studies) -> None:
    """Workers and listeners that were killed in the midst of a study, of a batch, of an object."""
    stored(place, studies, "half-written")
    ended(place.start("work", dying=("before", "triage.spool:Spool.write_decision")))
    put_aside = list(place.spool.waiting())
    for each in put_aside:  # so that the next worker does not take it up
        place.spool.inbox_path(each).rename(place.folder / each.key)
    stored(place, studies, "half-filed")
    ended(place.start("work", dying=("after", "triage.spool:Spool.file")))
    for each in put_aside:
        (place.folder / each.key).rename(place.spool.inbox_path(each))
    place.kill("listen")
    listening(place, dying=("before", "triage.queueing:ScoreQueue.enqueue"))
    assert send(place, *studies.files["unannounced"])[0] in (0x0000, None)
    ended(place.running["listen"])


def waiting_in_line(place: Installation, studies: Studies) -> None:
    """Queue objects that no worker begins, priors behind the others; add an unparsable object, and half of one."""
    listening(place)
    stored(place, studies, "queued", "queued-child", "queued-youth", "early", "prior", "prior-too")
    wait_for(lambda: place.redis.llen("rq:queue:score-priors") == 2, "the queue of the priors")
    canary = place.start("canary")
    wait_for(lambda: list((place.var / "spool" / "canary" / "inbox").glob("*.dcm")), "the canary")
    wait_for(lambda: queued(place.redis) >= 5, "the queue")
    canary.kill()
    file = studies.files["late"][0]
    with RawPeer(place.ports["listener"]) as peer:
        peer.associate()
        peer.send_store(DX, "1.2.3", b"\x01\x02 no data set")
        assert peer.status() == 0xC000
    with RawPeer(place.ports["listener"]) as peer:
        peer.associate()
        peer.send_fragment(1, 0x03, command(0x0001, DX, str(dcmread(BytesIO(file)).SOPInstanceUID)))
        peer.send_fragment(1, 0x00, data_set_of(file)[:8000])
        wait_for(lambda: list((place.var / "spool" / "incoming").iterdir()), "half an object")
        place.kill("listen")


def queued(redis: Redis) -> int:
    return int(redis.llen("rq:queue:score"))  # type: ignore[arg-type]


# What is kept of it.


def contents(place: Installation, studies: Studies, cookie: str) -> dict[str, Any]:
    """Return what a reader of the archive has to know and cannot find in it."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=RELEASE, check=True, capture_output=True, text=True)
    spool, uids = place.spool, {name: studies.uid(name) for name in studies.files}
    return {
        "commit": commit.stdout.strip(),
        "made_at": time.time(),
        "studies": uids,
        "inbox": sorted(each.key for each in spool.waiting()),
        "dead": sorted(each.key for each, _ in spool.dead_letters()),
        "cookie": cookie,
        "reader": READER,
        "admin": ADMIN,
        "transaction_uid": TRANSACTION,
        "workitem": workitem_uid(uids["claimed"], 1),
    }


def archive(place: Installation, path: Path, about: dict[str, Any], late: bytes) -> None:
    (place.var / "late.dcm").write_bytes(late)
    (place.var / "contents.json").write_text(json.dumps(about, indent=1) + "\n")
    for name in ("redis.sock", "redis.log"):
        (place.var / "redis" / name).unlink(missing_ok=True)
    names = (str(RELEASE), tempfile.gettempdir(), f"{socket.gethostname()}-", str(Path.home()))
    for file in place.var.rglob("*"):
        said = str(file.relative_to(place.var)).encode() + (file.read_bytes() if file.is_file() else b"")
        for name in names:
            assert name.encode() not in said, f"{name} is in {file}"
    with tarfile.open(path, "w:xz", preset=9) as tar:
        for file in sorted(place.var.rglob("*")):
            tar.add(file, str(file.relative_to(place.var)), recursive=False, filter=nobody_s)


def nobody_s(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def of_the_ris() -> Callable[[bytes], bytes | None]:
    """Takes every result but one."""
    yes, no = acknowledging("AA"), acknowledging("AE", "unknown order")
    return lambda message: (no if b"REFUSED" in message else yes)(message)


@contextmanager
def removed(folder: Path) -> Iterator[None]:
    """A folder that is there for a while."""
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder)


def main(path: Path) -> None:
    studies = all_studies(time.time())
    with (
        removed(SITE),
        mllp_listener(of_the_ris()) as ris,
        installation(SITE, ris.port) as place,
    ):
        try:
            who_and_what(place)
            cookie = work_of_a_day(place, studies)
            given_up(place, studies)
            killed_at_work(place, studies)
            waiting_in_line(place, studies)
        except BaseException:
            said = [line for line in place.log.read_text().splitlines() if " accept: " not in line]
            sys.stderr.write("\n".join(said[-60:]) + "\n")
            raise
        place.kill()
        archive(place, path, contents(place, studies, cookie), studies.files["late"][0])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
