"""What an ``Owners`` promises: the same tests against each implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobworker.archive.database import Database
from jobworker.archive.owners import SqlOwners
from jobworker.identity.users import Users
from jobworker.jobs.ports import Owners
from jobworker.model import Role
from jobworker.testing import MemoryOwners


@pytest.fixture(params=["memory", "sql"])
async def owners(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Owners]:
    """Of whom ``root`` is an admin."""
    if request.param == "memory":
        made = MemoryOwners()
        made.roles["root"] = Role.ADMIN
        yield made
        return
    database = Database.open(tmp_path / "jobd.db")
    Users(database).add("root", Role.ADMIN)
    yield SqlOwners(database)
    await database.close()


async def test_accounts_are_small_numbers_that_stay(owners: Owners) -> None:
    names = ["alice", "bob", "alice", "carol", "bob"]
    assert [await owners.account(name) for name in names] == [0, 1, 0, 2, 1]


async def test_an_account_outlives_the_server(tmp_path: Path) -> None:
    for expected in (0, 0):
        database = Database.open(tmp_path / "jobd.db")
        assert await SqlOwners(database).account("alice") == expected
        await database.close()


async def test_a_role_is_that_of_the_user(owners: Owners) -> None:
    assert await owners.role("root") is Role.ADMIN
    assert await owners.role("nobody") is Role.USER
