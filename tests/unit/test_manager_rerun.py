"""A rerun asks again for what was asked for, under what is granted now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobworker.errors import JobNotFound, LimitTooHigh, UnauthorizedAction
from jobworker.granting import as_asked, as_granted, is_private
from jobworker.manager import Manager
from jobworker.model import NO_LIMITS, Account, Grant, Limits, Role, Spec
from jobworker.policy.authority import Authority
from jobworker.policy.rules import RoleBounds, Rules
from jobworker.testing import FakeEngine, MemoryArchive

SPEC = Spec(
    "/bin/sh",
    ("-c", "true", "\udcff"),
    {"SECRET": "s"},
    "/tmp",
    "nightly",
    {"team": "web"},
    Limits(pids=8),
    grace=3.0,
    containment="basic",
)


UNBOUNDED = RoleBounds(defaults=NO_LIMITS)


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
async def manager(
    tmp_path: Path, engine: FakeEngine, archive: MemoryArchive
) -> AsyncIterator[Manager]:
    async with Manager.open(tmp_path, engine=engine, archive=archive) as manager:
        yield manager


def test_a_grant_keeps_what_was_asked_for() -> None:
    limits = Limits(pids=8, output=4)
    grant = Grant(limits=limits, network=False, run_as=Account("www", 33, 33))
    granted = as_granted(SPEC, grant)
    assert (granted.limits, granted.network, granted.run_as) == (limits, False, "www")
    assert granted.imposed == ("network", "output", "run_as")
    assert as_asked(granted) == SPEC
    # A job that had to queue is granted again what it was granted before.
    again = as_granted(granted, replace(grant, limits=Limits(pids=8, output=4, timeout=60)))
    assert again.imposed == ("network", "output", "run_as", "timeout")
    assert as_asked(again) == SPEC


def test_what_was_granted_as_asked_is_not_imposed() -> None:
    asked = replace(SPEC, network=False, run_as="www")
    grant = Grant(limits=SPEC.limits, network=False, run_as=Account("www", 33, 33))
    assert as_granted(asked, grant) == asked == as_asked(asked)


def test_an_environment_is_private() -> None:
    assert is_private(SPEC)
    assert not is_private(replace(SPEC, env={}))


async def test_a_rerun_is_the_same_again(manager: Manager, engine: FakeEngine) -> None:
    """While the first still runs, and once it has ended."""
    first = await manager.submit(SPEC, "alice")
    for _ in range(2):
        second = await manager.rerun(first.id)
        assert second.id != first.id
        assert (second.owner, as_asked(second.spec)) == ("alice", SPEC)
        engine.exit(second.id)


async def test_a_rerun_is_granted_anew(tmp_path: Path, archive: MemoryArchive) -> None:
    """A default that was given is no wish, and what is too much now is refused now."""
    defaults = RoleBounds(defaults=Limits(pids=4, timeout=60))
    authority = Authority(Rules(bounds={Role.USER: defaults, Role.ADMIN: UNBOUNDED}))
    engine = FakeEngine()
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=authority
    ) as manager:
        plain = await manager.submit(Spec("/bin/true"), "alice")
        modest = await manager.submit(Spec("/bin/true", limits=Limits(pids=8)), "alice")
        assert plain.spec.limits == Limits(pids=4, timeout=60)
        engine.exit(plain.id)
        engine.exit(modest.id)
    lower = RoleBounds(defaults=NO_LIMITS, ceilings=Limits(pids=2))
    authority = Authority(Rules(bounds={Role.USER: lower, Role.ADMIN: UNBOUNDED}))
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=authority
    ) as manager:
        assert (await manager.rerun(plain.id)).spec.limits == Limits(pids=2)
        assert (await manager.rerun(plain.id, by="root", role=Role.ADMIN)).spec.limits == NO_LIMITS
        with pytest.raises(LimitTooHigh):
            await manager.rerun(modest.id)


async def test_anothers_job_is_rerun_as_ones_own(manager: Manager) -> None:
    """But not its environment: what it holds has been shown to nobody."""
    secret = await manager.submit(SPEC, "alice")
    plain = await manager.submit(replace(SPEC, env={}), "alice")
    assert (await manager.rerun(plain.id, by="root")).owner == "root"
    with pytest.raises(UnauthorizedAction) as caught:
        await manager.rerun(secret.id, by="root")
    assert caught.value.hint is not None
    assert "secrets" in caught.value.hint


async def test_a_rerun_with_a_key_is_done_once(manager: Manager) -> None:
    first = await manager.submit(SPEC, "alice", idempotency_key="start")
    again = [await manager.rerun(first.id, idempotency_key="again") for _ in range(3)]
    assert len({job.id for job in again} | {first.id}) == 2


async def test_there_is_nothing_to_rerun(manager: Manager) -> None:
    with pytest.raises(JobNotFound):
        await manager.rerun("j-1")
