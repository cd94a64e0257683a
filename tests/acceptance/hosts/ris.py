"""A RIS: it takes the service's messages, has some studies read, and reports them to the service over the balancer."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from tests.acceptance.hosts.background import Background
from tests.acceptance.hosts.service import OF_RIS
from tests.support.mllp_listener import framed
from tests.support.report_sender import Answer, report

READ_AFTER_S = 65.0
"""Seconds after what a study's last message said: a host's clock may say that its image came later than it did."""
_ANOTHER = "ANOTHER-PATIENT"
_SILENT_S = 30.0
_REMEMBERED = "remembered, in case it comes"
_READ = ("read", "noted before")
"""The ends of what is answered to a report after which its study is off the list."""


@dataclass
class Ris(Background):
    """Reports each study some time after its last message, again if another message came since.

    ``told_at``: when the last new message of each study came, in POSIX seconds. ``patients``: the patient of each study
    that is read, ``confused`` the studies that a report names with another patient. ``send`` takes a message to the
    service and returns the code and the text of its answer; it raises OSError.
    """

    told_at: Mapping[str, float]
    patients: Mapping[str, str]
    confused: set[str]
    send: Callable[[str], tuple[str, str]]
    early: set[str] = field(default_factory=set)
    """Those of ``patients`` that are reported at once, before they come."""
    read_at: dict[str, float] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Studies of ``confused`` whose report was answered as it has to be."""
    answers: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    sent: int = 0

    def start(self) -> None:
        self.begin(partial(self.repeat, self._round_now))

    @property
    def left(self) -> list[str]:
        """The studies whose last message was not followed by a report that was taken; early ones until one was."""
        late = self.patients.keys() - self.early
        unread = [study for study in late if self.read_at.get(study, 0.0) <= self.told_at.get(study, 0.0)]
        return sorted(self.early - self.read_at.keys()) + unread + sorted(self.confused - self.refused)

    def _round_now(self) -> None:
        self.round(time.time())

    def round(self, now: float) -> None:
        """Send what is due, one after the other. What was not answered is sent again in the next round."""
        told = dict(self.told_at)
        for study in self.left:
            if study in self.early or (study in told and now >= told[study] + READ_AFTER_S):
                try:
                    self._report(study, now)
                except OSError as error:
                    self.answers[type(error).__name__] += 1

    def _report(self, study: str, now: float) -> None:
        self.sent += 1
        at = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(now))
        patient = self.patients.get(study, _ANOTHER)
        sender = "|".join(OF_RIS)
        message = report(f"R{self.sent}", accession="", patient=patient, uid=study, obr22=at, sender=sender)
        self._answered(study, now, *self.send(message))

    def _answered(self, study: str, now: float, code: str, text: str) -> None:
        """AR asks for it again. What is taken and leaves the study listed, or is refused for ever, is neither."""
        self.answers[code] += 1
        if code == "AR":
            return
        if study in self.confused:
            self.refused.add(study)
            as_it_has_to = code == "AE"
        else:
            self.read_at[study] = now
            as_it_has_to = code == "AA" and text.endswith((*_READ, _REMEMBERED) if study in self.early else _READ)
        if not as_it_has_to:
            self.surprises.append(f"{study}: {code} {text}")


def over_mllp(address: str, port: int) -> Callable[[str], tuple[str, str]]:
    """Return what sends a message over a connection of its own, and returns code and text of the answer."""

    def send(message: str) -> tuple[str, str]:
        with socket.create_connection((address, port), _SILENT_S) as connection:
            connection.settimeout(_SILENT_S)
            connection.sendall(framed(message.encode()))
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                if not (data := connection.recv(4096)):
                    raise ConnectionResetError("closed before an answer")
                answer += data
        said = Answer.of(answer)
        return said.code, said.text

    return send
