"""The RIS of the trial of three hosts: what it reports, when, and which answers it finds odd."""

from __future__ import annotations

from tests.acceptance.hosts.ris import READ_AFTER_S, Ris

READ, CONFUSED = "2.25.1", "2.25.2"


class _Service:
    """Answers each message with the next of some answers."""

    def __init__(self, *answers: tuple[str, str]) -> None:
        self.answers, self.messages = list(answers), list[str]()

    def __call__(self, message: str) -> tuple[str, str]:
        self.messages.append(message)
        return self.answers.pop(0)


def _ris(service: _Service, *told: str) -> Ris:
    patients, confused = {READ: "PHANTOM-1"}, {CONFUSED}
    return Ris(
        dict.fromkeys(told, 1000.0),
        {each: patients[each] for each in told if each in patients},
        {each for each in told if each in confused},
        service,
    )


def test_a_study_is_reported_a_while_after_its_last_message() -> None:
    service = _Service(("AA", f"{READ} read"), ("AA", f"{READ} noted before"))
    ris = _ris(service, READ)
    ris.round(1000.0 + READ_AFTER_S - 1)
    assert not service.messages and ris.left == [READ]
    ris.round(1000.0 + READ_AFTER_S)
    ris.round(1000.0 + READ_AFTER_S + 1)
    assert len(service.messages) == 1 and not ris.left and not ris.surprises
    assert "PHANTOM-1" in service.messages[0] and READ in service.messages[0]
    ris.told_at |= {READ: 2000.0}  # type: ignore[operator]
    assert ris.left == [READ]
    ris.round(2000.0 + READ_AFTER_S)
    assert len(service.messages) == 2 and not ris.left


def test_what_is_not_taken_now_is_sent_again() -> None:
    ris = _ris(_Service(("AR", "send it again"), ("AA", "read")), READ)
    ris.round(2000.0)
    assert ris.left == [READ] and not ris.surprises
    ris.round(2001.0)
    assert not ris.left and ris.answers == {"AR": 1, "AA": 1}


def test_a_report_may_come_before_its_study_and_is_sent_once() -> None:
    service = _Service(("AR", "send it again"), ("AA", "of no study that is here yet: remembered, in case it comes"))
    ris = _ris(service, READ)
    ris.told_at, ris.early = {}, {READ}
    ris.round(10.0)
    assert ris.left == [READ]
    ris.round(11.0)
    assert not ris.left and not ris.surprises
    ris.told_at = {READ: 1000.0}
    assert not ris.left  # it is of a study that came since
    late = _ris(_Service(("AA", "of no study that is here yet: remembered, in case it comes")), READ)
    late.round(2000.0)
    assert len(late.surprises) == 1


def test_a_connection_that_breaks_is_no_answer() -> None:
    def broken(_: str) -> tuple[str, str]:
        raise ConnectionResetError

    ris = _ris(_Service(), READ)
    ris.send = broken
    ris.round(2000.0)
    assert ris.left == [READ] and not ris.surprises


def test_a_report_that_leaves_its_study_listed_or_is_refused_is_odd() -> None:
    for answer in (("AA", "noted, but an image came after the report, so it stays listed"), ("AE", "no"), ("AA", "")):
        ris = _ris(_Service(answer), READ)
        ris.round(2000.0)
        assert len(ris.surprises) == 1


def test_a_report_with_another_patient_has_to_be_refused() -> None:
    ris = _ris(_Service(("AE", "nothing was changed: another patient")), CONFUSED)
    assert ris.left == [CONFUSED]
    ris.round(2000.0)
    assert not ris.left and not ris.surprises
    ris = _ris(_Service(("AA", f"{CONFUSED} read")), CONFUSED)
    ris.round(2000.0)
    assert len(ris.surprises) == 1
