"""Places of audit lines: files of a host, and the database that several hosts share."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import audit_schema as schema
from tests.support.access_places import Places, PlacesInDatabase, PlacesInFiles
from triage.errors import StartError
from triage.security import audit_moving
from triage.security.audit_file import AuditFile
from triage.security.audit_message import AuditSource, Participant
from triage.security.audit_moving import TrailMove, move_lines
from triage.security.audit_rows import CopiedAudit
from triage.security.audit_sink import AuditSink
from triage.security.audit_trail import AuditError, AuditTrail, note_log_used, trail_of

SOURCE = AuditSource("test", "triage test")
ALWAYS = (0.0, 1e11)


def trail(sink: AuditSink, counted: list[bool] | None = None) -> AuditTrail:
    return trail_of(sink, SOURCE, (counted if counted is not None else []).append)


def signed_in(written: AuditTrail, name: str) -> str:
    """Write that a person signed in; the line."""
    from triage.security.audit_message import LOGIN

    message = written.messages.authentication(written.event(Participant(name, "192.0.2.1")), LOGIN)
    written.write(message)
    return message


def test_lines_of_two_processes_are_read_in_order_and_by_time(places: Places) -> None:
    here, there = trail(places.audit("a")), trail(places.audit("b"))
    here.begin()
    lines = [signed_in(each, f"user {number}") for number, each in enumerate((here, there, there, here))]
    here.end()
    found = list(places.audit().lines(*ALWAYS))
    assert [each.message for each in found[1:-1]] == lines
    for each in found:
        schema.checked(each.message)
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert found[0].at == pytest.approx(time.time(), abs=60)
    first, last = found[1].at, found[4].at
    assert [each.message for each in places.audit().lines(first, last)] == [
        each.message for each in found if first <= each.at < last
    ]
    assert list(places.audit().lines(0.0, found[0].at)) == []
    host = socket.gethostname()
    expected = [host] * 6 if isinstance(places, PlacesInFiles) else ["a", "a", "b", "b", "a", "a"]
    assert [each.host for each in found] == expected


def test_that_the_trail_is_read_is_a_line_after_the_schema(places: Places) -> None:
    written = trail(places.audit())
    written.sink.prepare()
    note_log_used(written)
    (line,) = places.audit().lines(*ALWAYS)
    message = schema.checked(line.message)
    assert schema.event(message) == ("110101", "R", "0")


def test_more_lines_than_a_page_come_once_each(shared: PlacesInDatabase) -> None:
    rows = shared.audit()
    for page in range(5):
        shared.run(
            "INSERT INTO audit_line (tenant, host, process, content) SELECT :tenant, 'a', 'b', 'line ' || number "
            f"FROM generate_series({page * 500}, {page * 500 + 499}) AS number"
        )
    assert [each.message for each in rows.lines(*ALWAYS)] == [f"line {number}" for number in range(2500)]


def test_in_the_database_nothing_is_changed_or_removed(shared: PlacesInDatabase) -> None:
    signed_in(trail(shared.audit()), "ann")
    for statement in ("UPDATE audit_line SET host = 'c'", "DELETE FROM audit_line", "TRUNCATE audit_line"):
        with pytest.raises(OSError, match="P0001"):
            shared.server.command(statement)
    assert len(list(shared.audit().lines(*ALWAYS))) == 1


def test_a_role_that_owns_no_table_adds_lines_and_can_do_no_more(shared: PlacesInDatabase) -> None:
    from triage.spool.cluster.connection import Connection
    from triage.spool.cluster.shared_rows import SharedRows

    shared.database()
    role = f"service_{shared.tenant.replace('-', '_')}"
    shared.server.command(f"CREATE ROLE {role} LOGIN")
    shared.server.command(f"GRANT SELECT, INSERT ON audit_line TO {role}")
    address = replace(shared.server.address("postgres"), user=role)
    rows = replace(shared.audit(), database=SharedRows(address, shared.tenant))
    signed_in(trail(rows), "ann")
    assert len(list(rows.lines(*ALWAYS))) == 1
    connection = Connection(address)
    for statement in (
        "ALTER TABLE audit_line DISABLE TRIGGER ALL",
        "DELETE FROM audit_line",
        "TRUNCATE audit_line",
        "SET session_replication_role TO replica",
    ):
        with pytest.raises(OSError, match="42501"):
            connection.command(statement)
    connection.close()


def test_what_may_go_is_removed_by_the_owner_alone(shared: PlacesInDatabase) -> None:
    for _ in range(2):
        signed_in(trail(shared.audit()), "ann")
    shared.server.command("ALTER TABLE audit_line DISABLE TRIGGER audit_line_is_kept")
    oldest = "SELECT min(number) FROM audit_line WHERE tenant = :tenant"
    shared.run(f"DELETE FROM audit_line WHERE tenant = :tenant AND number = ({oldest})")
    shared.server.command("ALTER TABLE audit_line ENABLE TRIGGER audit_line_is_kept")
    assert len(list(shared.audit().lines(*ALWAYS))) == 1
    with pytest.raises(OSError, match="P0001"):
        shared.run("DELETE FROM audit_line WHERE tenant = :tenant")


def test_the_time_of_a_line_is_the_databases(shared: PlacesInDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    here, there = trail(shared.audit("a")), trail(shared.audit("b"))
    for number, each in enumerate((here, there, here, there)):
        ahead = 60.0 if each is here else -60.0
        monkeypatch.setattr(time, "time", lambda ahead=ahead: real() + ahead)
        signed_in(each, f"user {number}")
    found = list(shared.audit().lines(*ALWAYS))
    said = [schema.checked(each.message).find("EventIdentification").get("EventDateTime") for each in found]
    assert [schema.who(schema.checked(each.message))[0] for each in found] == [f"user {number}" for number in range(4)]
    assert said == sorted(said)
    assert all(abs(each.at - real()) < 50 for each in found)


def test_lines_of_threads_and_tenants_are_all_kept_and_apart(shared: PlacesInDatabase) -> None:
    hosts = [trail(shared.audit(name)) for name in ("a", "b")]
    other = PlacesInDatabase(shared.server, f"{shared.tenant}-other")
    with ThreadPoolExecutor(6) as pool:
        lines = list(pool.map(lambda number: signed_in(hosts[number % 2], f"user {number}"), range(40)))
    signed_in(trail(other.audit()), "stranger")
    assert sorted(each.message for each in shared.audit().lines(*ALWAYS)) == sorted(lines)
    assert len(list(other.audit().lines(*ALWAYS))) == 1


def test_a_database_that_is_away_is_an_audit_error(shared: PlacesInDatabase, caplog: pytest.LogCaptureFixture) -> None:
    from triage.spool.cluster.shared_rows import SharedRows

    rows = replace(shared.audit(), database=SharedRows(replace(shared.server.address("postgres"), port=1), "t"))
    counted: list[bool] = []
    written = trail(rows, counted)
    with pytest.raises(AuditError):
        written.event(Participant("ann"))
    with pytest.raises(AuditError):
        written.write("<AuditMessage/>")
    with pytest.raises(StartError, match="nothing may be shown"):
        written.begin()
    assert counted == [False] * 2
    assert "cannot be written" in caplog.text


def test_a_commit_that_a_standby_does_not_confirm_is_no_line(shared: PlacesInDatabase) -> None:
    from triage.spool.cluster.shared_rows import SharedRows

    address = shared.server.address("postgres", commit_timeout_s=0.5)
    rows = replace(shared.audit(), database=SharedRows(address, shared.tenant))
    shared.server.set("synchronous_standby_names", "'nowhere'")
    try:
        with pytest.raises(AuditError, match=r"standby|COMMIT"):
            signed_in(trail(rows), "ann")
    finally:
        shared.server.set("synchronous_standby_names", "''")


def test_a_copy_is_written_too_or_it_is_not_written(shared: PlacesInDatabase, tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit" / "audit.xml", 1 << 20)
    both = trail(CopiedAudit(shared.audit(), file))
    both.begin()
    signed_in(both, "ann")
    assert list(file.messages()) == [each.message for each in shared.audit().lines(*ALWAYS)]
    file.path.unlink()
    file.path.mkdir()
    with pytest.raises(AuditError):
        signed_in(both, "bob")


def test_lines_of_files_move_once_whatever_they_are_called(shared: PlacesInDatabase, tmp_path: Path) -> None:
    written = PlacesInFiles(tmp_path)
    file = replace(written.audit(), rotate_at_bytes=4096)
    old = trail(file)
    file.prepare()
    lines = []
    for number in range(30):
        lines.append(signed_in(old, f"user {number % 3}"))
        written.pass_time(1.0)
    with file.path.open("ab") as growing:
        growing.write(b"<AuditMess\0\xff cut\n")
    lines.append("<AuditMess\ufffd\ufffd cut")
    assert len(list(file.path.parent.glob("audit-*.xml"))) >= 2
    rows = shared.audit()
    assert move_lines(file, rows) == TrailMove(31, 31, 0)
    assert move_lines(file, rows) == TrailMove(31, 0, 0)
    file.path.rename(file.path.with_name("audit-20991231T000000.000000Z.xml"))
    lines.append(signed_in(old, "user 0"))
    assert move_lines(file, rows) == TrailMove(32, 1, 0)
    found = list(rows.lines(*ALWAYS))
    assert [each.message for each in found] == lines
    assert {each.process for each in found} == {"moved from a file"}
    assert [each.message for each in rows.lines(found[3].at, found[5].at)] == lines[3:5]


def test_equal_lines_are_as_many_as_there_were(shared: PlacesInDatabase, tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.xml", 1 << 20)
    for _ in range(3):
        file.append("<AuditMessage/>")
    assert move_lines(file, shared.audit()) == TrailMove(3, 3, 0)
    assert move_lines(file, shared.audit()) == TrailMove(3, 0, 0)
    assert len(list(shared.audit().lines(*ALWAYS))) == 3


def lines_of_three_hosts(shared: PlacesInDatabase, number: int) -> list[str]:
    """Write lines of several hosts in turns; them, in order."""
    trails = [trail(shared.audit(host)) for host in "abc"]
    return [signed_in(trails[each % 3], f"user {each % 5}") for each in range(number)]


def messages(file: AuditFile) -> list[str]:
    return list(file.messages())


def test_lines_of_all_hosts_move_into_a_file_in_order(shared: PlacesInDatabase, tmp_path: Path) -> None:
    written = lines_of_three_hosts(shared, 12)
    file = AuditFile(tmp_path / "audit" / "audit.xml", 1 << 20)
    assert move_lines(shared.audit(), file) == TrailMove(12, 12, 0)
    assert messages(file) == written
    assert move_lines(shared.audit(), file) == TrailMove(12, 0, 0)
    later = lines_of_three_hosts(shared, 2)
    assert move_lines(shared.audit(), file) == TrailMove(14, 2, 0)
    assert messages(file) == [*written, *later]
    file.check()  # only its owner can read it


def test_lines_that_went_there_and_come_back_are_there_once(shared: PlacesInDatabase, tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit" / "audit.xml", 2048)
    file.prepare()
    before = [signed_in(trail(file), f"user {number % 2}") for number in range(6)]
    with file.path.open("ab") as growing:
        growing.write(b"<AuditMess\0\xff cut\n")
    before.append("<AuditMess\ufffd\ufffd cut")
    assert move_lines(file, shared.audit()) == TrailMove(7, 7, 0)
    meanwhile = lines_of_three_hosts(shared, 4)
    assert move_lines(shared.audit(), file) == TrailMove(11, 4, 0)
    assert [each.replace("\0", "\ufffd") for each in messages(file)] == [*before, *meanwhile]
    assert move_lines(file, shared.audit()) == TrailMove(11, 0, 0)


def test_a_move_into_a_file_that_was_killed_goes_on(
    shared: PlacesInDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_moving, "_PAGE", 3)
    written = lines_of_three_hosts(shared, 10)
    file = AuditFile(tmp_path / "audit" / "audit.xml", 1 << 20)
    whole, calls = AuditFile.append_all, []

    def dies(self: AuditFile, lines: list[str]) -> None:
        calls.append(lines)
        if len(calls) == 3:
            raise OSError("killed")
        whole(self, lines)

    with monkeypatch.context() as patched:
        patched.setattr(AuditFile, "append_all", dies)
        with pytest.raises(OSError, match="killed"):
            move_lines(shared.audit(), file)
    with file.path.open("ab") as cut:  # and the disk has a part of the next one
        cut.write(written[6].encode()[:40])
    assert move_lines(shared.audit(), file) == TrailMove(10, 4, 0)
    assert messages(file) == [*written[:6], written[6][:40], *written[6:]]


def test_a_move_between_databases_keeps_hosts_and_processes(shared: PlacesInDatabase) -> None:
    lines_of_three_hosts(shared, 5)
    other = PlacesInDatabase(shared.server, f"{shared.tenant}-other")
    assert move_lines(shared.audit(), other.audit()) == TrailMove(5, 5, 0)
    assert list(other.audit().lines(*ALWAYS)) == list(shared.audit().lines(*ALWAYS))
    assert move_lines(shared.audit(), other.audit()) == TrailMove(5, 0, 0)


def test_a_line_that_does_not_arrive_is_counted(
    shared: PlacesInDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines_of_three_hosts(shared, 4)
    file = AuditFile(tmp_path / "audit" / "audit.xml", 1 << 20)
    monkeypatch.setattr(AuditFile, "append_all", lambda self, lines: self.append(lines[0]))
    assert move_lines(shared.audit(), file).missing == 3
