"""Local users: one suite for the file and for the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.access_places import Places, PlacesInDatabase
from tests.support.signed_in_web import quick_passwords
from triage.errors import StartError
from triage.security import passwords
from triage.security.passwords import PasswordHash, ScryptCost, WeakPasswordError
from triage.security.roles import Role
from triage.security.users import UserError, UsersAwayError

pytestmark = pytest.mark.usefixtures(quick_passwords.__name__)
SECRET, OTHER = "a password of some words", "and another of some words"


def test_what_one_process_changes_the_other_sees(places: Places) -> None:
    here, there = places.users(), places.users()
    here.check()
    assert (here.all(), here.find("ann")) == ([], None)
    here.add("Ann", Role.READER, SECRET)
    found = there.find("aNN")
    assert found is not None and (found.name, found.role) == ("Ann", Role.READER)
    assert PasswordHash.parse(found.password).matches(SECRET)
    there.change_role("ann", Role.ADMIN)
    changed = here.find("ann")
    assert changed is not None and (changed.role, changed.password) == (Role.ADMIN, found.password)
    here.change_password("ANN", OTHER)
    last = there.find("ann")
    assert last is not None and PasswordHash.parse(last.password).matches(OTHER)
    assert len({found.stamp, changed.stamp, last.stamp}) == 3  # each ends the sessions of before
    here.add("bob", Role.ADMIN, SECRET)
    assert [each.name for each in there.all()] == ["Ann", "bob"]
    there.remove("ann")
    assert [each.name for each in here.all()] == ["bob"]
    here.add("ann", Role.READER, SECRET)
    again = there.find("ann")
    assert again is not None and again.stamp not in (found.stamp, changed.stamp, last.stamp)


def test_what_cannot_be_is_refused_and_changes_nothing(places: Places) -> None:
    users = places.users()
    users.add("ann", Role.READER, SECRET)
    for name in ("", "-x", "a b", "x" * 65, "Local"):
        with pytest.raises(UserError, match="is no user name"):
            users.add(name, Role.READER, SECRET)
    with pytest.raises(UserError, match="exists already"):
        users.add("ANN", Role.ADMIN, OTHER)
    for act in (
        lambda: users.remove("bob"),
        lambda: users.change_role("bob", Role.ADMIN),
        lambda: users.change_password("bob", SECRET),
    ):
        with pytest.raises(UserError, match="there is no user 'bob'"):
            act()
    with pytest.raises(WeakPasswordError):
        users.change_password("ann", "ann")
    (only,) = users.all()
    assert (only.name, only.role) == ("ann", Role.READER)


def test_a_password_is_hashed_anew_unless_the_account_has_changed(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = places.users()
    users.add("ann", Role.READER, SECRET)
    before = users.find("ann")
    assert before is not None
    monkeypatch.setattr(passwords, "COST", ScryptCost(9, 8, 1))
    users.upgrade(before, SECRET)
    now = users.find("ann")
    assert now is not None and now.stamp == before.stamp and PasswordHash.parse(now.password).cost.ln == 9
    users.upgrade(before, OTHER)  # what was read is not what is there any more
    assert users.find("ann") == now


def test_of_several_who_add_a_name_at_once_one_does(places: Places) -> None:
    def add(number: int) -> bool:
        try:
            places.users().add("ann", Role.READER, f"{SECRET} {number}")
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(add, range(4))) == 1
    (only,) = places.users().all()
    assert only.name == "ann"


def test_tenants_do_not_see_each_other(shared: PlacesInDatabase) -> None:
    shared.users().add("ann", Role.READER, SECRET)
    other = PlacesInDatabase(shared.server, f"{shared.tenant}-other")
    assert other.users().all() == []
    other.users().add("ann", Role.ADMIN, OTHER)
    shared.users().remove("ann")
    assert [each.role for each in other.users().all()] == [Role.ADMIN]


def test_users_of_a_file_are_taken_over_by_a_database_that_has_none(shared: PlacesInDatabase, tmp_path) -> None:
    from tests.support.access_places import PlacesInFiles

    file = PlacesInFiles(tmp_path).users()
    file.add("ann", Role.READER, SECRET)
    file.add("bob", Role.ADMIN, SECRET)
    users = shared.users()
    assert users.adopt(file.all()) == 2
    assert users.all() == file.all()  # with their stamps and hashes
    users.remove("ann")
    assert users.adopt(file.all()) == 0  # a user who was removed does not come back
    assert [each.name for each in users.all()] == ["bob"]


def test_users_of_a_database_are_taken_over_by_a_file_that_has_none(shared: PlacesInDatabase, tmp_path) -> None:
    from tests.support.access_places import PlacesInFiles

    shared.users().add("ann", Role.READER, SECRET)
    shared.users().add("Bob", Role.ADMIN, SECRET)
    file = PlacesInFiles(tmp_path).users()
    assert file.adopt(shared.users().all()) == 2
    assert PlacesInFiles(tmp_path).users().all() == shared.users().all()  # with their stamps and hashes
    file.remove("bob")
    assert file.adopt(shared.users().all()) == 0
    assert [each.name for each in file.all()] == ["ann"]


def test_a_row_of_another_release_lets_nobody_in(shared: PlacesInDatabase) -> None:
    users = shared.users()
    users.add("ann", Role.READER, SECRET)
    shared.run("UPDATE account SET role = 'wizard' WHERE tenant = :tenant")
    with pytest.raises(UserError, match="another release"):
        users.find("ann")


def test_a_database_that_is_away_is_said(shared: PlacesInDatabase) -> None:
    from dataclasses import replace

    from triage.security.database_users import DatabaseUsers
    from triage.spool.cluster.shared_rows import SharedRows

    away = DatabaseUsers(SharedRows(replace(shared.server.address("postgres"), port=1), shared.tenant))
    with pytest.raises(UsersAwayError, match="cannot be reached"):
        away.find("ann")
    with pytest.raises(StartError, match=r"store\.kind"):
        away.check()
