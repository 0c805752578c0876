import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from jobworker.archive.database import Database
from jobworker.archive.owners import SqlOwners
from jobworker.archive.sql import SqlArchive
from jobworker.archive.tables import tokens
from jobworker.errors import (
    BadAuthentication,
    InvalidRequest,
    LastAdmin,
    NameTaken,
    UserExists,
    UserNotFound,
)
from jobworker.identity.tokens import Secret, mint
from jobworker.identity.users import User, Users
from jobworker.jobs.lifecycle import final_status
from jobworker.model import Cause, End, Job, JobId, Role, Spec, Starting, StartKey, Terms
from jobworker.testing import MemoryOutput


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.open(tmp_path / "jobd.db")
    yield database
    await database.close()


@pytest.fixture
def users(database: Database) -> Users:
    return Users(database)


@pytest.fixture
async def elsewhere(database: Database) -> AsyncIterator[Users]:
    """The same users, as another process sees them."""
    other = Database.open(database.path)
    yield Users(other)
    await other.close()


def is_refused(users: Users, token: Secret) -> bool:
    try:
        users.authenticate(token.reveal())
    except BadAuthentication:
        return True
    return False


def test_a_user_is_known_by_the_token(users: Users) -> None:
    token = users.add("alice", Role.USER)
    assert users.authenticate(token.reveal()) == User("alice", Role.USER)


def test_each_token_is_its_users_own(users: Users) -> None:
    users.add("alice", Role.USER)
    token = users.add("root", Role.ADMIN)
    assert users.authenticate(token.reveal()) == User("root", Role.ADMIN)


def test_a_token_that_was_never_given_out_is_refused(users: Users) -> None:
    users.add("alice", Role.USER)
    assert is_refused(users, mint()[0])


def test_the_id_of_a_token_with_another_secret_is_refused(users: Users, database: Database) -> None:
    token = users.add("alice", Role.USER)
    forged, credential = mint()
    database.write_now(lambda c: c.execute(update(tokens).values(id=credential.id)) and None)
    assert is_refused(users, forged)
    assert is_refused(users, token)


def test_what_another_process_adds_is_known_at_once(users: Users, elsewhere: Users) -> None:
    assert not users.any()
    token = elsewhere.add("alice", Role.USER)
    assert users.authenticate(token.reveal()).name == "alice"
    assert users.any()


def test_what_another_process_revokes_is_refused_at_once(users: Users, elsewhere: Users) -> None:
    token = users.add("alice", Role.USER)
    assert not is_refused(users, token)
    elsewhere.revoke("alice")
    assert is_refused(users, token)


def test_whom_another_process_removes_is_refused_at_once(users: Users, elsewhere: Users) -> None:
    token = users.add("alice", Role.USER)
    assert not is_refused(users, token)
    elsewhere.remove("alice")
    assert is_refused(users, token)


@pytest.mark.parametrize(("seconds", "refused"), [(-1, True), (60, False)])
def test_a_token_holds_until_it_expires(
    users: Users, database: Database, seconds: int, *, refused: bool
) -> None:
    token = users.add("alice", Role.USER)
    expiry = (time.time_ns() // 1000) + seconds * 1_000_000
    database.write_now(lambda c: c.execute(update(tokens).values(expires_at=expiry)) and None)
    assert is_refused(users, token) is refused


def test_the_database_holds_no_token(users: Users, database: Database) -> None:
    """T41: who steals the file can use none."""
    text = users.add("alice", Role.USER).reveal()
    stored = b"".join(path.read_bytes() for path in database.path.parent.iterdir())
    assert text[16:59].encode() not in stored
    assert text[3:15].encode() in stored


def test_a_user_is_not_added_twice(users: Users) -> None:
    token = users.add("alice", Role.USER)
    handed_over: list[Secret] = []
    with pytest.raises(UserExists, match="cannot add user 'alice'"):
        users.add("alice", Role.ADMIN, handed_over.append)
    assert users.authenticate(token.reveal()).role is Role.USER
    assert handed_over == []


def test_a_user_whose_token_reaches_nobody_is_not_made(users: Users) -> None:
    def fail(_: Secret) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        users.add("alice", Role.USER, fail)
    assert not users.any()


def test_the_token_that_is_handed_over_is_the_one(users: Users) -> None:
    handed_over: list[Secret] = []
    token = users.add("alice", Role.USER, handed_over.append)
    assert [secret.reveal() for secret in handed_over] == [token.reveal()]


@pytest.mark.parametrize("name", ["a", "0", "a.b_c-d", "9" * 32])
def test_good_names(users: Users, name: str) -> None:
    users.add(name, Role.USER)
    assert users.list()[0].user.name == name


@pytest.mark.parametrize(
    "name", ["", "A", "-a", ".a", "_a", "a b", "a/b", "a\n", "ä", "٣", "a" * 33, "a\0", "\udc80"]
)
def test_bad_names(users: Users, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        users.add(name, Role.USER)
    assert caught.value.field == "name"
    assert not users.any()


def test_list_shows_tokens_in_force(users: Users) -> None:
    users.add("bob", Role.ADMIN)
    token_id = users.add("alice", Role.USER).reveal()[3:15]
    users.revoke("bob")
    shown = [(one.user.name, one.user.role, one.tokens) for one in users.list()]
    assert shown == [("alice", Role.USER, (token_id,)), ("bob", Role.ADMIN, ())]


def test_revoke_by_id_takes_that_token_only(users: Users) -> None:
    alice, bob = users.add("alice", Role.USER), users.add("bob", Role.USER)
    token_id = alice.reveal()[3:15]
    assert users.revoke(token_id) == [token_id]
    assert is_refused(users, alice)
    assert not is_refused(users, bob)
    assert users.revoke(token_id) == []


def test_a_user_named_like_a_token_does_not_take_it_along(users: Users) -> None:
    alice = users.add("alice", Role.USER)
    token_id = alice.reveal()[3:15]
    other = users.add(token_id, Role.USER)
    users.revoke(token_id)
    assert is_refused(users, other)
    assert not is_refused(users, alice)


@pytest.mark.parametrize("act", [Users.remove, Users.revoke])
def test_who_is_not_there_cannot_be_acted_on(
    users: Users, act: Callable[[Users, str], object]
) -> None:
    with pytest.raises(UserNotFound, match="'nobody'"):
        act(users, "nobody")


def test_a_removed_user_can_be_added_again_with_another_token(users: Users) -> None:
    old = users.add("alice", Role.USER)
    users.remove("alice")
    new = users.add("alice", Role.USER)
    assert is_refused(users, old)
    assert not is_refused(users, new)


async def leave_a_job(database: Database, owner: str) -> Job:
    """Have a job of that owner in the archive, as if it had run to its end, with a key."""
    archive, now = SqlArchive(database), datetime.now(UTC)
    spec = Spec("/bin/true")
    job = Job(JobId.new(), owner, spec, Terms(), Starting(), now, "basic", "here")
    await archive.add(job, StartKey("nightly", bytes(32)))
    ended = replace(job, status=final_status(End(Cause.EXITED, finished_at=now, exit_code=0)))
    await archive.finish(ended, MemoryOutput({}))
    return ended


async def test_a_new_user_does_not_get_the_jobs_of_one_who_was_removed(
    users: Users, database: Database
) -> None:
    users.add("alice", Role.USER)
    await leave_a_job(database, "alice")
    users.remove("alice")
    handed_over: list[Secret] = []
    with pytest.raises(NameTaken, match="has left a job") as refused:
        users.add("alice", Role.USER, handed_over.append)
    assert not handed_over
    assert "--owner alice" in str(refused.value.hint)
    assert "--take-over" in str(refused.value.hint)
    assert not users.any()


async def test_a_name_that_exists_is_told_as_such_even_if_it_has_jobs(
    users: Users, database: Database
) -> None:
    users.add("alice", Role.USER)
    await leave_a_job(database, "alice")
    with pytest.raises(UserExists):
        users.add("alice", Role.USER)


async def test_the_jobs_of_one_who_was_removed_are_handed_over_where_that_is_asked_for(
    users: Users, database: Database
) -> None:
    await leave_a_job(database, "alice")
    owners = SqlOwners(database)
    number = await owners.account("alice")
    users.add("alice", Role.USER, take_over=True)
    assert await owners.account("alice") == number
    assert SqlArchive(database).binding("alice", "nightly") is not None


async def test_a_new_user_has_neither_the_uid_nor_the_keys_of_one_who_was_removed(
    users: Users, database: Database
) -> None:
    """Files of that UID may lie about, and a key would answer with the other's job."""
    users.add("alice", Role.USER)
    owners, archive = SqlOwners(database), SqlArchive(database)
    numbers = [await owners.account("alice")]
    for _ in range(2):
        job = await leave_a_job(database, "alice")
        await archive.remove(job.id)
        users.remove("alice")
        users.add("alice", Role.USER)
        assert archive.binding("alice", "nightly") is None
        numbers.append(await owners.account("alice"))
    assert numbers == [0, 1, 2]


def test_the_last_admin_is_not_removed_by_mistake(users: Users) -> None:
    users.add("root", Role.ADMIN)
    users.add("alice", Role.USER)
    with pytest.raises(LastAdmin, match="'root': it is the only admin"):
        users.remove("root")
    users.remove("alice")
    users.add("ops", Role.ADMIN)
    users.remove("root")
    users.remove("ops", force=True)
    assert not users.any()


async def test_users_are_added_while_the_server_writes(users: Users, database: Database) -> None:
    """The writer's thread and a write of our own wait for each other."""
    writes = [asyncio.create_task(database.write(lambda _: None)) for _ in range(20)]
    await asyncio.to_thread(users.add, "alice", Role.USER)
    await asyncio.gather(*writes)
    assert users.any()
