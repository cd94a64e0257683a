"""A PACS: it keeps what was not acknowledged and sends it again, and takes the results."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from tests.acceptance.hosts.background import Background
from tests.acceptance.hosts.bounds import PATIENCE_S, Period, periods_between
from tests.acceptance.hosts.objects import Outgoing
from tests.support.dicom_peer import DX, RawPeer, response_status
from tests.support.mllp_listener import acknowledging, control_id_of, mllp_listener
from tests.support.proxy_headers import header
from tests.support.receivers import store_scp
from triage.spool.instance import ReceivedInstance

_TAG = re.compile(r"\|tag\^[^|]*\|\|([A-Z_]+)")
_PATIENT = re.compile(r"\rPID\|[^|]*\|[^|]*\|([^|^~\r]*)")
_UID = re.compile(r"2\.25\.\d+")
_AT_ONCE = 4
_PAUSE_S = 1.0
_AGAIN = 0.05
"""The share of objects that are sent once more though they were acknowledged, as happens when someone presses twice."""


@dataclass
class Acknowledged:
    """When an object's first 0x0000 came: by the clock of durations, and in POSIX seconds by a clock that is right."""

    at: float
    moment: float
    outgoing: Outgoing
    in_turn: bool = True
    """False of what was sent for an event, whenever that was."""


@dataclass
class Pacs(Background):
    """Sends objects over associations to one address, one every so often, until each is acknowledged."""

    address: str
    port: int
    chance: random.Random
    every_s: float = 0.0
    due: float = 0.0
    waiting: deque[Outgoing] = field(default_factory=deque)
    acknowledged: dict[ReceivedInstance, Acknowledged] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    tries: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    surprises: list[str] = field(default_factory=list)

    def start(self, objects: Sequence[Outgoing], senders: int) -> None:
        self.waiting.extend(objects)
        self.begin(*[self._run] * senders)

    @property
    def is_done(self) -> bool:
        with self.lock:
            return not self.waiting and not any(thread.is_alive() for thread in self.threads)

    def _run(self) -> None:
        while not self.stop.is_set() and (batch := self._taken()):
            left = deque(batch)
            try:
                self._associate(left)
            except (OSError, AssertionError) as error:
                self._refused(_words(error))
            except Exception as error:  # an answer that is none of DICOM's: a fault to report
                self.surprises.append(repr(error))
            if left:
                with self.lock:
                    self.waiting.extend(left)
                self.stop.wait(_PAUSE_S)

    def send_to(self, address: str, sent: Outgoing) -> bool:
        """Send an object to one listener, past the balancer and as the balancer does; whether it was acknowledged."""
        statuses = []
        try:
            with RawPeer(self.port, address) as peer:
                peer.socket.sendall(header(self.address))
                for each, status in self._answers(peer, deque([sent])):
                    self._noted(each, status, in_turn=False)
                    statuses.append(status)
        except (OSError, AssertionError) as error:
            self._refused(_words(error))
        return statuses == [0]

    def comes_again(self, sent: Outgoing) -> None:
        """Note an object that was acknowledged anew, after its study had been removed: no one reads it any more."""
        with self.lock:
            was, anew = self.acknowledged[sent.instance], replace(sent, is_read=False)
            self.acknowledged[sent.instance] = Acknowledged(was.at, time.time(), anew)

    def _taken(self) -> list[Outgoing]:
        with self.lock:
            count = min(self.chance.randint(1, _AT_ONCE), len(self.waiting))
            return [self.waiting.popleft() for _ in range(count)]

    def _associate(self, left: deque[Outgoing]) -> None:
        """Send what is left, and take off it what is acknowledged."""
        with RawPeer(self.port, self.address) as peer:
            for sent, status in self._answers(peer, left, self._keep_pace):
                self._answered(sent, status)

    def _answers(
        self, peer: RawPeer, left: deque[Outgoing], pace: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[Outgoing, int]]:
        """Send what is left over one association, and yield each object with the status that it got."""
        peer.socket.settimeout(PATIENCE_S)
        kind, body = peer.associate(calling="PACS")
        assert kind == 0x02, f"association rejected {tuple(body[1:4])}" if kind == 0x03 else "association closed"
        for _ in range(len(left)):
            pace()
            sent = left[0]
            self.tries += 1
            peer.send_store(DX, sent.instance.sop_instance_uid, sent.data_set)
            kind, body = peer.receive()
            assert kind == 0x04, "aborted" if kind == 0x07 else "closed"
            status = response_status(body[6:])
            yield left.popleft(), status
        peer.send_pdu(0x05, bytes(4))
        peer.receive()

    def _keep_pace(self) -> None:
        """Wait until the next object is due. What a fault held up is not caught up with in a rush."""
        with self.lock:
            now = time.monotonic()
            mine = max(self.due, now)
            self.due = mine + self.every_s
        self.stop.wait(mine - now)

    def _answered(self, sent: Outgoing, status: int) -> None:
        is_new = self._noted(sent, status)
        with self.lock:
            # One that came after its study was removed would be a new study.
            if status or (is_new and self.chance.random() < _AGAIN and not sent.is_read):
                self.waiting.append(sent)

    def _noted(self, sent: Outgoing, status: int, in_turn: bool = True) -> bool:
        """Note an answer, and return whether it is the first acknowledgement of this object."""
        if status:
            self._refused(f"0x{status:04X}")
            return False
        with self.lock:
            is_new = sent.instance not in self.acknowledged
            if is_new:
                self.acknowledged[sent.instance] = Acknowledged(time.monotonic(), time.time(), sent, in_turn)
            return is_new

    def _refused(self, why: str) -> None:
        with self.lock:
            self.refusals[why] += 1

    def silences(self) -> list[Period]:
        """The times between two first acknowledgements."""
        return periods_between(each.at for each in list(self.acknowledged.values()) if each.in_turn)

    def longest_silence(self, since: float, until: float) -> float:
        """The longest of them that falls into a period, in seconds."""
        return max((b - a for a, b in self.silences() if b >= since and a <= until), default=0.0)


@dataclass
class Results:
    """What was delivered: of each report and message the digests of its bytes, and the studies."""

    reports: dict[str, set[str]] = field(default_factory=dict)
    messages: dict[str, set[str]] = field(default_factory=dict)
    studies_of_reports: dict[str, set[str]] = field(default_factory=dict)
    studies_of_messages: dict[str, set[str]] = field(default_factory=dict)
    told_at: dict[str, float] = field(default_factory=dict)
    """Of each study when its last message came that had not come before, in POSIX seconds."""
    patients: dict[str, set[str]] = field(default_factory=dict)
    """Of each study the Patient IDs in what was told of it; an empty one where none was."""
    sendings: dict[str, list[float]] = field(default_factory=dict)
    """Of each report and message when it came, by the clock of durations."""
    bodies: list[bytes] = field(default_factory=list)
    """Every message as it came, those that came again too."""
    taken: int = 0

    def report(self, event: Any) -> None:
        uid, content = str(event.request.AffectedSOPInstanceUID), event.request.DataSet.getvalue()
        self._took(uid)
        self.reports.setdefault(uid, set()).add(sha256(content).hexdigest())
        study = str(event.dataset.StudyInstanceUID)
        self.studies_of_reports.setdefault(study, set()).add(uid)
        self.patients.setdefault(study, set()).add(str(event.dataset.get("PatientID", "")))

    def message(self, content: bytes) -> bytes:
        name = control_id_of(content).decode()
        if name not in self.messages:
            self.told_at |= dict.fromkeys(_studies_of(content), time.time())
        self._took(name)
        self.messages.setdefault(name, set()).add(sha256(content).hexdigest())
        patient = _PATIENT.search(content.decode("utf-8", "replace"))
        for study in _studies_of(content):
            self.studies_of_messages.setdefault(study, set()).add(name)
            self.patients.setdefault(study, set()).add(patient[1] if patient else "")
        self.bodies.append(content)
        answer = acknowledging("AA")(content)
        assert answer is not None
        return answer

    def _took(self, name: str) -> None:
        self.taken += 1
        self.sendings.setdefault(name, []).append(time.monotonic())

    def last_tags(self) -> dict[str, str]:
        """The tag in the last message that came of each study."""
        found = {}
        for body in self.bodies:
            text = body.decode("utf-8", "replace")
            if tag := _TAG.search(text):
                found |= dict.fromkeys(_studies_of(body), tag[1])
        return found

    def names_of(self, studies: Collection[str]) -> set[str]:
        """The reports and messages of some studies."""
        told = (self.studies_of_reports, self.studies_of_messages)
        return {name for each in told for study in studies for name in each.get(study, ())}

    def differing(self) -> list[str]:
        """What was delivered with different bytes under one name."""
        return [name for each in (self.reports, self.messages) for name, digests in each.items() if len(digests) > 1]


def _words(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, OSError) else str(error)


def _studies_of(message: bytes) -> set[str]:
    """The studies of a message, and what else it has UIDs of."""
    return set(_UID.findall(message.decode("utf-8", "replace")))


@contextmanager
def receiving(host: str, report_port: int, message_port: int) -> Iterator[Results]:
    """A PACS that takes reports and a RIS that takes messages."""
    found = Results()
    with ExitStack() as stack:
        stack.enter_context(store_scp(host=host, port=report_port, before_answer=found.report))
        stack.enter_context(mllp_listener(found.message, host=host, port=message_port))
        yield found
