"""`triage user` and `triage audit`, with files and with the database that hosts share."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support import audit_schema as schema
from tests.support.access_places import Places, PlacesInDatabase
from tests.support.signed_in_web import quick_passwords
from triage.cli import triage as cli
from triage.security.roles import Role
from triage.web.auth.sessions import SessionTimes

pytestmark = pytest.mark.usefixtures(quick_passwords.__name__)
SECRET, OTHER = "a password of some words", "and another of some words"
TIMES = SessionTimes(1800.0, 36_000.0)


def run(places: Places, folder: Path, *arguments: str, typed: str = "", **more: str) -> Result:
    settings = {
        "TRIAGE_DATA": str(folder),
        "TRIAGE_SIGN_IN_METHOD": "users",
        "TRIAGE_SIGN_IN_USERS_FILE": str(folder / "users.json"),
        "TRIAGE_AUDIT_PATH": str(folder / "audit" / "audit.xml"),
        **more,
    }
    if isinstance(places, PlacesInDatabase):
        at = places.server.address("postgres")
        settings |= {
            "TRIAGE_STORE_KIND": "postgres+s3",
            "TRIAGE_STORE_TENANT": places.tenant,
            "TRIAGE_POSTGRES_HOST": at.host,
            "TRIAGE_POSTGRES_PORT": str(at.port),
            "TRIAGE_POSTGRES_DATABASE": more.get("TRIAGE_POSTGRES_DATABASE", at.database),
            "TRIAGE_POSTGRES_USER": at.user,
            "TRIAGE_POSTGRES_TLS": "false",
            "TRIAGE_S3_ENDPOINT": "http://127.0.0.1:1",
            "TRIAGE_S3_BUCKET": "none",
            "TRIAGE_S3_ACCESS_KEY": "none",
            "TRIAGE_S3_SECRET_KEY": "none",
        }
    return CliRunner().invoke(cli, arguments, input=typed, env=settings)


def test_users_are_changed_by_command_and_each_change_is_in_the_trail(places: Places, tmp_path: Path) -> None:
    added = run(places, tmp_path, "user", "add", "ann", "--role", "reader", typed=f"{SECRET}\n")
    assert added.exit_code == 0, added.output
    sessions = places.sessions(TIMES)
    found = places.users().find("ann")
    assert found is not None and found.role is Role.READER
    token = sessions.begin("ann", found.stamp)
    for words, typed in (
        (("role", "ann", "admin"), ""),
        (("password", "ann"), f"{OTHER}\n"),
        (("end-sessions", "ann"), ""),
        (("end-sessions",), ""),
    ):
        changed = run(places, tmp_path, "user", *words, typed=typed)
        assert changed.exit_code == 0, changed.output
    assert sessions.find(token, active=False) is None
    assert "admin   ann" in run(places, tmp_path, "user", "list").output
    assert run(places, tmp_path, "user", "add", "ann", "--role", "reader", typed=f"{SECRET}\n").exit_code == 1
    assert run(places, tmp_path, "user", "remove", "ann").exit_code == 0
    assert run(places, tmp_path, "user", "remove", "ann").exit_code == 1
    said = [schema.checked(each.message) for each in places.audit().lines(0.0, 1e11)]
    assert len(said) == 12 and {schema.event(each)[0] for each in said} == {"110113"}
    in_files = not isinstance(places, PlacesInDatabase)
    assert (tmp_path / "users.json").exists() == (tmp_path / "audit").exists() == in_files


def test_the_trail_is_exported_in_order_with_what_it_covers(places: Places, tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        run(places, tmp_path, "user", "add", name, "--role", "reader", typed=f"{SECRET}\n")
    before = [each.message for each in places.audit().lines(0.0, 1e11)]
    assert len(before) == 4
    out = tmp_path / "export.xml"
    exported = run(places, tmp_path, "audit", "export", "--out", str(out))
    assert exported.exit_code == 0, exported.output
    *lines, read = out.read_text().splitlines()
    assert lines == before and schema.event(schema.checked(read))[0] == "110101"
    assert out.stat().st_mode & 0o777 == 0o600
    assert "5 of 5 lines from 20" in exported.output
    none = run(places, tmp_path, "audit", "export", "--to", "2020-01-01")
    assert none.exit_code == 0 and "no line is of that time" in none.output
    again = run(places, tmp_path, "audit", "export", "--from", "2020-01-01T12:00", "--to", "2099-01-01")
    assert "7 of 7 lines" in again.output
    refused = run(places, tmp_path, "audit", "export", "--out", str(out))
    assert refused.exit_code == 1 and "not whole" in refused.output  # nothing is written over


def test_lines_of_one_study_are_exported_alone(places: Places, tmp_path: Path) -> None:
    sink = places.audit()
    sink.prepare()
    for uid in ("1.2.3", "1.2.34", "1.2.3"):
        sink.append(
            '<AuditMessage><EventIdentification EventDateTime="2026-11-30T12:00:00Z"/>'
            f'<ParticipantObjectIdentification ParticipantObjectID="{uid}"/></AuditMessage>'
        )
    found = run(places, tmp_path, "audit", "export", "--study", "1.2.3", "--out", str(tmp_path / "study.xml"))
    assert "2 of 4 lines" in found.output
    assert (tmp_path / "study.xml").read_text().count('"1.2.3"') == 2


def test_nothing_is_exported_or_changed_where_that_cannot_be_written(shared: PlacesInDatabase, tmp_path: Path) -> None:
    shared.users().add("ann", Role.READER, SECRET)
    shared.audit().append("<AuditMessage/>")
    shared.server.command("ALTER TABLE audit_line RENAME TO audit_line_away")
    try:
        exported = run(shared, tmp_path, "audit", "export", "--out", str(tmp_path / "export.xml"))
        removed = run(shared, tmp_path, "user", "remove", "ann")
    finally:
        shared.server.command("ALTER TABLE audit_line_away RENAME TO audit_line")
    assert exported.exit_code != 0 and not (tmp_path / "export.xml").exists()
    assert removed.exit_code != 0 and shared.users().find("ann") is not None


def test_check_says_how_users_and_trail_are(shared: PlacesInDatabase, tmp_path: Path) -> None:
    shared.database()
    said = run(shared, tmp_path, "check").output
    assert "the database has no user" in said
    assert "audit trail" in said and "of all hosts, in postgresql://127.0.0.1" in said
    shared.users().add("ann", Role.ADMIN, SECRET)
    assert "1 in postgresql://127.0.0.1" in run(shared, tmp_path, "check").output


def test_check_makes_no_table(shared: PlacesInDatabase, tmp_path: Path) -> None:
    database = shared.server.new_database()
    said = run(shared, tmp_path, "check", TRIAGE_POSTGRES_DATABASE=database).output
    assert "has no tables of ours yet" in said
    assert shared.server.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database) == [[0]]
