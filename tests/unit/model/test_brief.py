"""Jobs without what is long in their specs."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jobworker.model import Job, brief
from jobworker.model.brief import MARK, MOST_ARGUMENTS, MOST_ENVIRONMENT
from support.parts import new_job


def job_with(args: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Job:
    job = new_job()
    return replace(job, spec=replace(job.spec, args=args, env=env or {}))


def test_an_ordinary_job_is_itself() -> None:
    job = job_with(("-c", "x" * 1000), {"A": "b"})
    assert brief(job) is job


@given(st.lists(st.text(max_size=700), max_size=20))
def test_of_long_arguments_the_beginning_is_left_and_a_mark(args: list[str]) -> None:
    """T67: what is left is bounded, and begins as the whole does."""
    cut = brief(job_with(tuple(args)))
    kept = cut.spec.args
    assert sum(map(len, kept)) + len(kept) <= MOST_ARGUMENTS
    if not cut.cut:
        assert kept == tuple(args)
        return
    assert cut.cut == ("args",)
    assert kept[:-1] == tuple(args)[: len(kept) - 1]
    assert kept[-1].endswith(MARK)
    assert args[len(kept) - 1].startswith(kept[-1].removesuffix(MARK))


def test_thousands_of_empty_arguments_are_long() -> None:
    assert len(brief(job_with(("",) * 100_000)).spec.args) < MOST_ARGUMENTS


def test_a_long_environment_is_left_out() -> None:
    cut = brief(job_with(("x" * 2000,), {"A": "x" * MOST_ENVIRONMENT}))
    assert cut.cut == ("args", "env")
    assert cut.spec.env == {}
    assert brief(cut) is cut
