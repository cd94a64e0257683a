"""What is read of a report message, whatever somebody wrote into it."""

from __future__ import annotations

import pytest

from triage.inbound_reports.message import MalformedError, ReportedOrder, header_of, orders_of

REPORT = (
    "MSH|^~\\&|RIS|HOSPITAL|CXR|HOSPITAL|20260101120000||ORU^R01|1|P|2.5.1\r"
    "PID|||P-1\rOBR|1|||71046||||||||||||||{}|||||||F\r"
)


def order(value: str) -> ReportedOrder:
    (found,) = orders_of(REPORT.format(value).encode(), "ORU^R01", "")
    return found


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("A\\F\\B\\S\\C\\T\\D\\R\\E\\E\\F", "A|B^C&D~E\\F"),
        ("A\\X31\\B\\X0A32\\", "A1B\n2"),
        ("A\\.sp1999999999\\B", "A B"),  # two gigabytes, if it were obeyed
        ("A\\.sp1_999_999_999\\B", "A B"),
        ("A\\.br\\B\\H\\C\\N\\D\\C2842\\E\\Z1\\\\XZZ\\", "A BCDE"),
        ("A\\E\\.sp9\\E\\B", "A\\.sp9\\B"),
        ("A\\1", "A\\1"),  # no escape sequence: not the number A
    ],
)
def test_a_value_is_what_its_sender_meant_at_no_cost_of_his_choice(written: str, meant: str) -> None:
    assert order(written).identifiers == {"OBR-18": meant}


def test_another_escape_character_is_the_message_s_own() -> None:
    message = REPORT.format("A%F%B\\F\\C").replace("^~\\&", "^~%&")
    assert orders_of(message.encode(), "ORU^R01", "")[0].identifiers == {"OBR-18": "A|B\\F\\C"}


@pytest.mark.parametrize("at", range(0, 90, 3))
def test_a_line_end_anywhere_in_the_header_is_understood_or_malformed(at: int) -> None:
    """An answer that asks for the message again would be given for ever."""
    for end in ("\n", "\r", "\r\n", "\n\r"):
        content = (REPORT[:at] + end + REPORT[at:]).format("A1").encode()
        try:
            header_of(content)
            orders_of(content, "ORU^R01", "")
        except MalformedError:
            continue
