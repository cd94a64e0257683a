"""The log: nothing that a stranger sends forges a line, and no line comes without end."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys

import pytest

from triage.runtime import logs
from triage.runtime.log_context import about
from triage.runtime.logs import JsonFormatter, LimitedHandler, LineFormatter, printable, seldom, where_raised


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written(clock: Clock) -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(written: io.StringIO, clock: Clock) -> logging.Logger:
    handler = LimitedHandler(written, clock)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    made = logging.Logger("triage.test")
    made.addHandler(handler)
    return made


@pytest.mark.parametrize(
    "sent, shown",
    [
        ("a\nERROR triage: all is well", "a\\x0aERROR triage: all is well"),
        ("\r\x1b[2J\x00\x7f\x9b", "\\x0d\\x1b[2J\\x00\\x7f\\x9b"),
        ("\u2028\u2029\u0085", "\\u2028\\u2029\\x85"),
        ("\u202etxt.exe\u2066\ufeff", "\\u202etxt.exe\\u2066\\ufeff"),
        ("\ud800", "\\ud800"),
        ("Grüße 胸部 \u3000", "Grüße 胸部 \u3000"),
    ],
)
def test_what_a_stranger_sends_stays_on_one_line(
    log: logging.Logger, written: io.StringIO, sent: str, shown: str
) -> None:
    log.warning("a peer says %s", sent)
    assert written.getvalue() == f"WARNING triage.test: a peer says {shown}\n"


def test_a_long_value_is_cut() -> None:
    assert printable("x" * 5000) == "x" * 4000 + " ... (1000 more characters)"


def test_no_line_of_a_traceback_looks_like_a_record(log: logging.Logger, written: io.StringIO) -> None:
    try:
        raise ValueError("x\nWARNING triage.test: forged\r\x1b[2J")
    except ValueError:
        log.exception("it failed")
    first, *others = written.getvalue().splitlines()
    assert first == "ERROR triage.test: it failed"
    assert others
    assert all(line.startswith("  | ") for line in others)
    assert "\x1b" not in written.getvalue()


def test_a_line_that_comes_too_often_is_counted(log: logging.Logger, written: io.StringIO, clock: Clock) -> None:
    for number in range(1000):
        log.warning("refused %d", number)
    assert written.getvalue().count("\n") == logs.MOST_LINES
    log.error("something else is not held back")
    assert "something else" in written.getvalue()
    clock.now = logs.WINDOW_S + 1
    log.error("later")
    assert f"{1000 - logs.MOST_LINES} more lines like the last one from test_logs.py" in written.getvalue()


def test_a_place_may_have_a_limit_of_its_own_for_each_source(
    log: logging.Logger, written: io.StringIO, clock: Clock
) -> None:
    for _ in range(1000):
        for who in ("10.0.0.1", "10.0.0.2"):
            log.warning("%s knocks", who, extra=seldom(who))
    assert written.getvalue().splitlines() == [f"WARNING triage.test: 10.0.0.{number} knocks" for number in (1, 2)]
    clock.now = 61.0
    log.warning("later")
    assert written.getvalue().count("999 more lines like the last one from test_logs.py") == 2


def test_sources_without_number_take_no_memory_without_bound(log: logging.Logger) -> None:
    for number in range(5000):
        log.warning("a peer knocks", extra=seldom(str(number)))
    (handler,) = log.handlers
    assert isinstance(handler, LimitedHandler)
    assert len(handler._windows) <= 1000


def test_what_was_left_out_is_said_at_the_end(log: logging.Logger, written: io.StringIO) -> None:
    for _ in range(100):
        log.warning("again")
    log.handlers[0].close()
    assert "40 more lines" in written.getvalue()


def test_a_line_that_cannot_be_made_does_not_print_what_it_was_given(
    log: logging.Logger, written: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    log.warning("%d objects", "DOE^JANE")
    assert "could not be written" in written.getvalue()
    assert "DOE" not in written.getvalue() + capsys.readouterr().err


def test_where_something_was_raised_says_nothing_of_its_message() -> None:
    try:
        int("DOE^JANE")
    except ValueError as error:
        assert where_raised(error).startswith("ValueError in test_logs.py, line ")


def test_a_line_says_what_it_is_about_unless_its_message_does(log: logging.Logger, written: io.StringIO) -> None:
    with about(association="ab12", study="1.2.3", object=""):
        with about(object="1.2.3.4"):
            log.warning("1.2.3.4 failed")
        log.warning("it ended")
    log.warning("later")
    lines = [line.partition(": ")[2] for line in written.getvalue().splitlines()]
    assert lines == ["1.2.3.4 failed [association=ab12]", "it ended [association=ab12 study=1.2.3]", "later"]


def test_each_line_of_json_is_one_object_whatever_a_stranger_sends(
    log: logging.Logger, written: io.StringIO, clock: Clock
) -> None:
    log.handlers[0].setFormatter(JsonFormatter("work"))
    with about(study="1.2.3", object='x"\n\x1b'):
        log.warning("a peer says %s", '\r\n"}{\u2028\ud800 胸部')
    try:
        raise ValueError("x\ny")
    except ValueError:
        log.exception("it failed")
    log.warning("%d objects", "DOE^JANE")
    for _ in range(61):
        log.error("again")
    clock.now = 61.0
    log.error("later")
    assert written.getvalue().isascii()
    said, failed, unwritten, *_, left_out, later = map(json.loads, written.getvalue().splitlines())
    assert said["message"] == 'a peer says \\x0d\\x0a"}{\\u2028\\ud800 胸部'
    assert (said["study"], said["object"], said["process"], said["level"]) == (
        "1.2.3",
        'x"\\x0a\\x1b',
        "work",
        "WARNING",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
    assert failed["traceback"][-2:] == ["ValueError: x", "y"]
    assert "could not be written" in unwritten["message"]
    assert left_out["message"].startswith("1 more lines like the last one")
    assert later["message"] == "later"


PROGRAM = """
import logging, sys, threading, warnings
from triage.runtime.logs import set_up_logs
set_up_logs("DEBUG", sys.argv[1], "work")
warnings.warn("DOE^JANE is odd")
class Odd:
    def __del__(self): raise ValueError("DOE^JANE")
Odd()
import hl7.util
for name in ("pynetdicom", "pynetdicom.pdu_items", "pydicom", "highdicom"):
    logging.getLogger(name).error("DOE^JANE")
for logger in (hl7.containers.logger, hl7.util.logger):
    logger.error("DOE^JANE")
def fail(): raise ValueError("in\\na thread")
thread = threading.Thread(target=fail, name="one"); thread.start(); thread.join()
raise ValueError("the\\nend")
"""


@pytest.mark.parametrize("form", ["lines", "json"])
def test_a_process_writes_every_line_in_this_form_whatever_ends_it(form: str) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, timeout=60)
    lines = ran.stderr.splitlines()
    assert "DOE" not in ran.stderr
    assert "UserWarning at <string>, line 5" in ran.stderr
    assert "a defect of ours or of a library: ValueError in <string>" in ran.stderr
    assert "a defect of ours ended one" in ran.stderr
    assert "a defect of ours ended the process" in ran.stderr
    if form == "json":
        assert {json.loads(line)["process"] for line in lines} == {"work"}
    else:
        assert all(line.startswith("  | ") or " triage" in line for line in lines), ran.stderr
