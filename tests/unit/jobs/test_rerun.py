"""A rerun asks again for what was asked for, under what is granted now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.errors import JobNotFound, LimitTooHigh, UnauthorizedAction
from jobworker.model import NO_LIMITS, Account, Limits, Role, Spec, Terms
from jobworker.policy.authority import Authority
from jobworker.policy.rules import Policy, RoleBounds, Rule, Rules
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


async def test_a_grant_leaves_what_was_asked_for(tmp_path: Path) -> None:
    """Terms stand beside the spec, for the live job, in the archive and after a restart."""
    rule = Rule(
        "www", allow=True, run_as="www", env=("*",), account=Account("www", 33, 33), network=False
    )
    defaults = RoleBounds(defaults=Limits(output=4))
    rules = Rules(bounds={Role.USER: defaults, Role.ADMIN: UNBOUNDED}, policy=Policy(rules=(rule,)))
    terms = Terms(Limits(pids=8, output=4), network=False, run_as="www")
    engine = FakeEngine()
    async with Manager.open(tmp_path, engine=engine, authority=Authority(rules)) as manager:
        job = await manager.submit(SPEC, "alice")
        assert (job.spec, job.terms) == (SPEC, terms)
    async with Manager.open(tmp_path, engine=engine, authority=Authority(rules)) as manager:
        assert (manager.status(job.id).spec, manager.status(job.id).terms) == (SPEC, terms)
        engine.exit(job.id)
        await manager.wait(job.id)
    async with Manager.open(tmp_path, engine=engine) as manager:
        job = manager.status(job.id)
        assert job.ended
        assert (job.spec, job.terms) == (SPEC, terms)


async def test_a_rerun_is_the_same_again(manager: Manager, engine: FakeEngine) -> None:
    """While the first still runs, and once it has ended."""
    first = await manager.submit(SPEC, "alice")
    for _ in range(2):
        second = await manager.rerun(first.id)
        assert second.id != first.id
        assert (second.owner, second.spec) == ("alice", SPEC)
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
        assert plain.terms.limits == Limits(pids=4, timeout=60)
        engine.exit(plain.id)
        engine.exit(modest.id)
    lower = RoleBounds(defaults=NO_LIMITS, ceilings=Limits(pids=2))
    authority = Authority(Rules(bounds={Role.USER: lower, Role.ADMIN: UNBOUNDED}))
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=authority
    ) as manager:
        assert (await manager.rerun(plain.id)).terms.limits == Limits(pids=2)
        assert (await manager.rerun(plain.id, by="root", role=Role.ADMIN)).terms.limits == NO_LIMITS
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
