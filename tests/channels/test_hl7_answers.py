"""Acknowledgements as receivers write them, and which of several counts."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from tests.channels.test_hl7 import a_deliverer
from tests.delivery.test_deliverer import Clock, states
from tests.support.mllp_listener import acknowledgement, acknowledging, control_id_of, framed, mllp_listener
from tests.support.studies import a_study
from triage.channels.hl7.settings import HL7Destination
from triage.commands.output.dead_letters import show_dead_letters
from triage.decision.types import Tag
from triage.delivery.record import DeliveryState
from triage.operations.dead_letters import dead_letter_rows
from triage.spool.spool import Spool

Shape = Callable[[bytes], bytes]
"""From an acknowledgement to the bytes of a receiver."""

SHAPES: dict[str, Shape] = {
    "segments end with CR LF": lambda said: framed(said.replace(b"\r", b"\r\n")),
    "segments end with LF": lambda said: framed(said.replace(b"\r", b"\n")),
    "no CR behind the end": lambda said: b"\x0b" + said + b"\x1c",
    "LF behind the end": lambda said: b"\x0b" + said + b"\x1c\n",
    "no start": lambda said: said + b"\x1c\r",
    "no end": lambda said: b"\x0b" + said,
    "no frame": lambda said: said,
    "a byte order mark": lambda said: framed(b"\xef\xbb\xbf" + said),
    "a line end before it": lambda said: framed(b"\r\n" + said),
    "empty frames before it": lambda said: framed(b"") + framed(b"") + framed(said),
    "MLLP Release 2": lambda said: framed(b"\x06") + framed(said),
    "a bare 0x06": lambda said: b"\x06" + framed(said),
    "noise before it": lambda said: b"hello\r\n" + framed(said),
    "a space behind the code": lambda said: framed(said.replace(b"|AA|", b"|AA |")),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_acknowledgement_is_one_however_it_is_written(spool: Spool, shape: str) -> None:
    study, second = a_study(spool, "ris"), a_study(spool, "ris")
    with mllp_listener(lambda message: SHAPES[shape](acknowledgement("AA", control_id_of(message)))) as listener:
        deliverer = a_deliverer(spool, listener.port, timeout_s=1.0)
        deliverer.round()
        deliverer.round()
    assert states(deliverer, study) + states(deliverer, second) == [DeliveryState.DELIVERED] * 2
    assert len(listener.received) == 2


def test_a_receiver_whose_name_can_be_nobody_s_is_not_reached(spool: Spool) -> None:
    study = a_study(spool, "ris")
    deliverer = a_deliverer(spool, 2575, host="a..example")
    deliverer.round()
    assert deliverer.outbox.pause("ris")[0] == 1
    assert states(deliverer, study) == [DeliveryState.WAITING]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_error_is_one_however_it_is_written(spool: Spool, shape: str) -> None:
    study = a_study(spool, "ris")
    error = lambda message: acknowledgement("AE", control_id_of(message), "no such order")  # noqa: E731
    with mllp_listener(lambda message: SHAPES[shape](error(message))) as listener:
        deliverer = a_deliverer(spool, listener.port, timeout_s=1.0, error_tries=1)
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.DEAD]
    assert "no such order" in deliverer.outbox.records(study)[0].tries[-1]["detail"]


@pytest.mark.parametrize(
    ("counts", "first", "second", "state"),
    [
        ("commit", "CA", "AE", DeliveryState.DELIVERED),
        ("commit", "CE", "", DeliveryState.DEAD),
        ("application", "CA", "AE", DeliveryState.DEAD),
        ("application", "CA", "AA", DeliveryState.DELIVERED),
        ("application", "AA", "", DeliveryState.DELIVERED),
        ("application", "CE", "", DeliveryState.DEAD),
        ("application", "CA", "", DeliveryState.WAITING),
        ("application", "CA", "AR", DeliveryState.WAITING),
    ],
)
def test_a_setting_says_which_of_two_answers_counts(
    spool: Spool, counts: str, first: str, second: str, state: DeliveryState
) -> None:
    study = a_study(spool, "ris")

    def both(message: bytes) -> bytes:
        return b"".join(framed(acknowledgement(code, control_id_of(message))) for code in (first, second) if code)

    with mllp_listener(both) as listener:
        deliverer = a_deliverer(spool, listener.port, timeout_s=1.0, error_tries=1, answer_counts=counts)
        deliverer.round()
    assert states(deliverer, study) == [state]


def test_an_error_behind_an_answer_that_counted_is_said(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    a_study(spool, "ris"), a_study(spool, "ris")

    def both(message: bytes) -> bytes:
        return b"".join(framed(acknowledgement(code, control_id_of(message))) for code in ("CA", "AE"))

    with mllp_listener(both) as listener:
        a_deliverer(spool, listener.port).round()
    assert "was answered AE after an answer that counted: see answer_counts" in caplog.text


@pytest.mark.parametrize(("counts", "state"), [("frame", DeliveryState.DELIVERED), ("commit", DeliveryState.WAITING)])
def test_the_frame_s_own_answer_counts_where_the_settings_say_so(
    spool: Spool, counts: str, state: DeliveryState
) -> None:
    study = a_study(spool, "ris")
    with mllp_listener(lambda message: framed(b"\x06")) as listener:
        deliverer = a_deliverer(spool, listener.port, timeout_s=0.5, answer_counts=counts)
        deliverer.round()
    assert states(deliverer, study) == [state]
    assert (r"\x06" in deliverer.outbox.records(study)[0].tries[-1]["detail"]) == (state is DeliveryState.WAITING)


def test_a_frame_that_is_refused_is_sent_again(spool: Spool) -> None:
    study = a_study(spool, "ris")
    with mllp_listener(lambda message: framed(b"\x15")) as listener:
        deliverer = a_deliverer(spool, listener.port)
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.WAITING]


def test_a_receiver_that_names_messages_itself_is_understood(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    studies = [a_study(spool, "ris") for _ in range(3)]
    caplog.set_level(logging.INFO, "triage")
    numbers = iter(range(100))

    def own(message: bytes) -> bytes:  # and twice: the second must not pass for the answer to the next message
        return b"".join(framed(acknowledgement(code, b"%d" % next(numbers))) for code in ("AA", "AE"))

    with mllp_listener(own) as listener:
        deliverer = a_deliverer(spool, listener.port, error_tries=1)
        deliverer.round()
    assert [states(deliverer, study) for study in studies] == [[DeliveryState.DELIVERED]] * 3
    assert "about a message of another control ID" in caplog.text


def test_a_dead_letter_shows_what_came_back_and_of_which_study(
    spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    a_study(spool, "ris", tag=Tag.ABNORMAL)
    clock = Clock()
    with mllp_listener(lambda message: framed(b"<html>\x1b[2J busy</html>")) as listener:
        deliverer = a_deliverer(spool, listener.port, clock, tries=1)
        deliverer.round()
    show_dead_letters(spool, dead_letter_rows(deliverer.outbox, spool))
    shown = capsys.readouterr().out
    assert "<html>\\x1b[2J busy</html>" in shown
    assert "ABNORMAL, accession number ACC-1" in shown
    assert "--requeue ris/" in shown


def test_a_ris_that_takes_an_hour_to_start_gets_everything(spool: Spool) -> None:
    destination = HL7Destination(name="ris", host="127.0.0.1", port=1)
    study, clock = a_study(spool, "ris"), Clock()
    starts = clock.at + 3600.0

    def answer(message: bytes) -> bytes | None:
        return acknowledging("AE" if clock.at < starts else "AA")(message)

    with mllp_listener(answer) as listener:
        deliverer = a_deliverer(spool, listener.port, clock)
        while clock.at < starts + destination.longest_interval_s:
            deliverer.round()
            clock.at += 5.0
    assert states(deliverer, study) == [DeliveryState.DELIVERED]
