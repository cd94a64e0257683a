"""A deliverer that stood still in the midst of a message, and the one that took its place: a receiver gets bytes twice,
never two messages."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from tests.support.hosts import HostRole, Hosts, one_leads
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.receivers import store_scp
from tests.support.studies import a_study
from tests.support.wait import wait_for
from triage.decision.types import Tag
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.errors import EXIT_LEAD_LOST
from triage.spool.spool import Spool

Settings = dict[str, str | float]
Receiver = tuple[Settings, list[bytes]]


@contextmanager
def a_pacs(at_each: Callable[[], None]) -> Iterator[Receiver]:
    with store_scp(before_answer=lambda event: at_each()) as scp:
        yield settings_of("sr", scp.port, called_ae_title="PACS"), scp.received


@contextmanager
def a_ris(at_each: Callable[[], None]) -> Iterator[Receiver]:
    def answer(message: bytes) -> bytes | None:
        at_each()
        return acknowledging("AA")(message)

    with mllp_listener(answer) as listener:
        yield settings_of("hl7", listener.port), listener.received


def settings_of(kind: str, port: int, **more: str) -> Settings:
    values: Settings = {"host": "127.0.0.1", "port": port, "delay_s": 0, "enabled": "true", **more}
    return {f"channels__{kind}__there__{key}": value for key, value in values.items()}


@pytest.mark.parametrize("receiver", [a_pacs, a_ris])
def test_what_both_send_is_the_same_and_one_says_that_it_was_delivered(hosts: Hosts, receiver: Any) -> None:
    leader = list[HostRole]()
    standing_still = threading.Event()

    def stop_the_first() -> None:
        """It has sent all, and reads the answer when another one leads."""
        if not standing_still.is_set():
            leader[0].role.process.send_signal(signal.SIGSTOP)
            standing_still.set()

    with receiver(stop_the_first) as (settings, received):
        pair = [hosts.start("deliver", **settings) for _ in range(2)]
        leader.append(one_leads(*pair))
        standby = next(each for each in pair if each is not leader[0])
        store = hosts.store()
        study = a_study(cast(Spool, store), "there", tag=Tag.ABNORMAL)
        assert standing_still.wait(90)
        wait_for(standby.leads, "the standby to lead")
        (record,) = wait_for(lambda: delivered(store, study), "the second to have delivered")
        leader[0].role.process.send_signal(signal.SIGCONT)
        assert leader[0].role.wait() == EXIT_LEAD_LOST
        assert len(received) == 2 and received[0] == received[1]
        assert delivered(store, study) == [record]
        assert Outbox(store).waiting("there") == []


def delivered(store: Any, study: str) -> list[Any]:
    records = Outbox(store).records(study, "there")
    return records if records and all(each.state is DeliveryState.DELIVERED for each in records) else []
