"""What ends a request that lasts: one word for all that wait, and no more looks than tokens."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from jobworker.api import interruptions
from jobworker.api.interruptions import Interruptions
from jobworker.errors import BadAuthentication, ServiceUnavailable, StorageUnavailable
from jobworker.identity.users import User
from jobworker.model import Role


class Accounts:
    """Every token counts, but for those in ``refused``; the database may be ``broken``."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.broken = False
        self.looks: Counter[str] = Counter()
        self.looked = asyncio.Event()

    def authenticate(self, token: str) -> User:
        self.looks[token] += 1
        self.looked.set()
        if self.broken:
            raise StorageUnavailable("the disk is broken")
        if token in self.refused:
            raise BadAuthentication
        return User("alice", Role.USER)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def lasting(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Interruptions:
    monkeypatch.setattr(interruptions, "LOOK_AT_TOKENS", 0.01)
    return Interruptions(accounts)


async def test_a_token_that_is_refused_ends_all_of_its_requests_and_no_other(
    lasting: Interruptions, accounts: Accounts
) -> None:
    first, second, other = (lasting.expect(token) for token in ("a", "a", "b"))
    public = lasting.expect(None)
    accounts.refused.add("a")
    async with asyncio.timeout(10):
        assert isinstance(await first, BadAuthentication)
        assert isinstance(await second, BadAuthentication)
    assert first.result() is not second.result()
    assert not other.done()
    assert not public.done()


async def test_one_look_at_a_token_does_for_all_of_its_requests(
    lasting: Interruptions, accounts: Accounts
) -> None:
    for _ in range(100):
        lasting.expect("a")
    await accounts.looked.wait()
    assert accounts.looks == {"a": 1}


async def test_a_database_that_is_broken_for_a_while_ends_nothing(
    lasting: Interruptions, accounts: Accounts
) -> None:
    accounts.broken = True
    interruption = lasting.expect("a")
    await accounts.looked.wait()
    assert not interruption.done()
    accounts.broken = False
    accounts.refused.add("a")
    async with asyncio.timeout(10):
        assert isinstance(await interruption, BadAuthentication)


async def test_a_stop_ends_what_lasts_and_what_comes_after_it(lasting: Interruptions) -> None:
    before = lasting.expect("a")
    lasting.stop()
    for interruption in (before, lasting.expect(None)):
        assert isinstance(interruption.result(), ServiceUnavailable)
        lasting.forget(interruption)
    assert repr(lasting) == "<Interruptions of 0 requests>"


async def test_nobody_is_looked_at_where_nobody_waits(
    lasting: Interruptions, accounts: Accounts
) -> None:
    lasting.forget(lasting.expect("a"))
    later = lasting.expect("b")
    await accounts.looked.wait()
    assert accounts.looks == {"b": 1}
    lasting.forget(later)
