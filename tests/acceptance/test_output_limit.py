"""A job over its output limit, as the API and jobctl show it (T32)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from jobworker.client.client import Client
from jobworker.client.profiles import Profile
from support.jobd import Jobd

CAP = 65_536
LAST = 50_000
TEXT = b"".join(b"%07d\n" % number for number in range(1, LAST + 1))


@pytest.fixture(scope="module")
def profile(module_jobd: Jobd) -> Profile:
    token, ca = module_jobd.succeed("token", "print").strip(), module_jobd.succeed("ca").strip()
    return Profile("admin", server=module_jobd.url, ca=ca, token=token)


@pytest.fixture(scope="module")
def job_id(profile: Profile) -> Iterator[str]:
    """A job that wrote 400,000 bytes and keeps 65,536 of them at most."""
    arguments = ("-f", "%07.0f", "1", str(LAST))
    with Client(profile) as client:
        job = client.start("/usr/bin/seq", *arguments, limits={"output": CAP})
        assert client.wait(job["id"])["exitCode"] == 0
        yield job["id"]


@pytest.fixture(scope="module")
def gap(profile: Profile, job_id: str) -> tuple[int, int]:
    with Client(profile) as client:
        view = client.status(job_id)
    usage = view["usage"]
    assert usage
    (gap,) = view["gaps"]
    assert (gap["stream"], gap["start"]) == ("stdout", CAP // 8)
    assert usage["droppedBytes"] == gap["end"] - gap["start"]
    assert usage["stdoutBytes"] + usage["droppedBytes"] == len(TEXT)
    return gap["start"], gap["end"]


def test_lines(profile: Profile, job_id: str, gap: tuple[int, int]) -> None:
    with Client(profile) as client:
        answer = client.output(job_id)
    (shown,) = answer["gaps"]
    assert (shown["start"], shown["end"]) == gap
    head = TEXT[: gap[0]].decode().splitlines()
    tail = TEXT[gap[1] :].decode().splitlines()
    assert answer["stdout"] == head + tail
    assert shown["line"] == len(head)


def test_exact_bytes_and_ranges_of_them(
    profile: Profile, job_id: str, gap: tuple[int, int]
) -> None:
    kept = TEXT[: gap[0]] + TEXT[gap[1] :]
    with Client(profile) as client:
        assert b"".join(client.raw(job_id, "stdout")) == kept
        assert b"".join(client.raw(job_id, "stdout", follow=True)) == kept
        for first in (1, gap[0] - 1, gap[0], gap[0] + 1, len(kept) - 1):
            assert b"".join(client.raw(job_id, "stdout", first=first)) == kept[first:]
        for offset in (gap[0], gap[0] + 1, gap[1] - 1, gap[1]):
            followed = client.raw(job_id, "stdout", first=offset, follow=True)
            assert b"".join(followed) == TEXT[gap[1] :]


def test_jobctl(module_jobd: Jobd, job_id: str, gap: tuple[int, int]) -> None:
    missing = gap[1] - gap[0]
    marked = module_jobd.jobctl("output", job_id)
    head, tail = TEXT[: gap[0]].decode(), TEXT[gap[1] :].decode()
    line_end = "" if head.endswith("\n") else "\n"
    marker = f"[… {missing} bytes not kept …]"
    assert marked.stdout == f"Output:\n{head}{line_end}{marker}\n{tail}"
    for words in (["logs"], ["output", "--raw"], ["output", "-f"]):
        exact = module_jobd.jobctl_bytes(*words, job_id)
        assert exact.stdout.decode() == head + tail
        assert exact.stderr.decode() == f"jobctl: {missing} bytes of stdout were not kept\n"
    (shown,) = json.loads(module_jobd.succeed("status", "--json", job_id))["gaps"]
    assert (shown["start"], shown["end"]) == gap


def test_jobctl_shows_all_that_is_kept_however_long_it_is(module_jobd: Jobd) -> None:
    """The API answers by lines with the last 8 MiB; people want the rest, too."""
    job_id = module_jobd.start_job("/usr/bin/seq", "1", "1500000")
    module_jobd.succeed("wait", job_id)
    shown = module_jobd.succeed("output", job_id)
    head, _, text = shown.partition("\n")
    assert head == "Output:"
    assert text == "".join(f"{number}\n" for number in range(1, 1_500_001))
