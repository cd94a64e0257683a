"""Users and audit trail from where one settings file has them to where another one has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage.security.audit_moving import TrailMove
from triage.security.file_users import FileUsers
from triage.security.roles import Role
from triage.service.access import audit_file
from triage.service.access_moving import AccessMoveError, UsersMove, move_trail, move_users
from triage.settings.schema import Settings

SECRET = "a long enough sentence"


def settings(folder: Path) -> Settings:
    folder.mkdir(exist_ok=True)
    return Settings.model_validate(
        {"sign_in": {"users_file": folder / "users.json"}, "audit": {"path": folder / "audit.xml"}}
    )


@pytest.fixture
def old(tmp_path: Path) -> Settings:
    made = settings(tmp_path / "old")
    users_in(made).add("ann", Role.READER, SECRET)
    return made


@pytest.fixture
def new(tmp_path: Path) -> Settings:
    return settings(tmp_path / "new")


def users_in(made: Settings) -> FileUsers:
    return FileUsers(made.sign_in.users_file)


def test_users_are_the_same_afterwards_and_a_second_call_changes_nothing(old: Settings, new: Settings) -> None:
    assert move_users(old, new, keep=False) == UsersMove(1, 1)
    assert users_in(new).all() == users_in(old).all()
    assert move_users(old, new, keep=False) == UsersMove(1, 0)


def test_users_of_another_time_are_no_users_unasked(old: Settings, new: Settings) -> None:
    users_in(new).add("carl", Role.ADMIN, SECRET)  # removed since, at the other place
    users_in(new).add("ann", Role.READER, SECRET)  # with a password of then
    with pytest.raises(AccessMoveError, match=r"has other users than the file of users: ann, carl\. Put those away"):
        move_users(old, new, keep=False)
    assert move_users(old, new, keep=True) == UsersMove(1, 0)
    assert [each.name for each in users_in(new).all()] == ["ann", "carl"]


def test_no_users_are_no_file(old: Settings, new: Settings) -> None:
    users_in(old).remove("ann")
    assert move_users(old, new, keep=False) == UsersMove(0, 0)
    assert not new.sign_in.users_file.exists()


def test_lines_are_moved_and_counted(old: Settings, new: Settings) -> None:
    for _ in range(2):
        audit_file(old).append("<AuditMessage/>")
    assert move_trail(old, new) == TrailMove(2, 2, 0)
    assert list(audit_file(new).messages()) == ["<AuditMessage/>"] * 2


def test_one_place_is_not_moved_into_itself(old: Settings) -> None:
    audit_file(old).append("<AuditMessage/>")
    assert move_users(old, old, keep=False) is None and move_trail(old, old) is None
    assert list(audit_file(old).messages()) == ["<AuditMessage/>"]
