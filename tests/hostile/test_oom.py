"""Where the machine has no memory left, a job dies before what attends it; and no io_uring."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hostile.conftest import Compile
from jobworker.model import Level
from support.jobd import Jobd, MakeJobd
from support.levels import account_for, working
from support.supervisors import supervisor_of

SEALED: list[Level] = working("full", "namespaces", "uid")

OWN = "cat /proc/self/oom_score_adj"

_CAP_SYS_RESOURCE = 24
MAY_LOWER = bool(
    int(Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16)
    >> _CAP_SYS_RESOURCE
    & 1
)
"""Whether we, and so a server of ours, may lower the value: a container may not."""


def score(pid: int) -> int:
    """What the kernel adds to the score of a process."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def printed(server: Jobd, *command: str) -> str:
    return server.succeed("run", *command).strip()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("limits", [(), ("--open-files", "64")], ids=["plain", "limited"])
def test_t64_a_job_is_ended_before_its_supervisor_and_the_server(
    server: Jobd, limits: tuple[str, ...]
) -> None:
    """Its first process and what that forks at once: it never had the server's value."""
    here = score(os.getpid())
    script = f"({OWN}) & {OWN}; wait"
    values = printed(server, *limits, "--", "/bin/sh", "-c", script).split()
    assert values == [str(max(200, here))] * 2
    job_id = server.start_job("/bin/sleep", "600")
    supervisor = supervisor_of(server.state, job_id)
    server_has = score(server.pid)
    assert score(supervisor) == score(parent_of(supervisor)) == server_has < 200
    server.succeed("stop", job_id)


@pytest.mark.root
@pytest.mark.parametrize("level", working("full", "uid"))
def test_t64_roots_server_is_less_likely_to_be_ended_than_others(server: Jobd) -> None:
    own = score(os.getpid())
    assert score(server.pid) == (min(-500, own) if MAY_LOWER else own)


@pytest.mark.root
@pytest.mark.parametrize("level", working("full", "uid"))
def test_t64_a_job_cannot_make_itself_less_likely_than_the_server(server: Jobd) -> None:
    """Nor less likely than it was made, where that took the capability to lower a value."""
    least = 200 if MAY_LOWER else score(server.pid)
    values = f"{least} {least - 1} -999"
    script = f"for value in {values}; do echo $value >/proc/self/oom_score_adj; done; {OWN}"
    seen = server.jobctl("run", "--", "/bin/sh", "-c", script)
    assert seen.stdout.strip() == str(least)
    assert len(seen.stderr.splitlines()) == 2  # the shell calls it an I/O error
    more = f"echo 900 >/proc/self/oom_score_adj; {OWN}"
    assert printed(server, "--", "/bin/sh", "-c", more) == "900"


def test_the_score_of_jobs_is_a_setting(
    make_jobd: MakeJobd, level: Level, shared_dir: Path
) -> None:
    config = shared_dir / "jobd.toml"
    config.write_text("[jobs]\noom-score-adj = 700\n")
    server = make_jobd("--containment", level, "--config", str(config), account=account_for(level))
    assert printed(server, "--", "/bin/sh", "-c", OWN) == "700"


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("level", SEALED)
def test_t64_a_job_cannot_use_io_uring(server: Jobd, compiled: Compile) -> None:
    """As on a kernel that has none, so that programs fall back on what they did before."""
    assert printed(server, "--", compiled("io_uring")) == " ".join([str(errno.ENOSYS)] * 3)


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("level", SEALED)
def test_io_uring_may_be_allowed(
    make_jobd: MakeJobd, level: Level, compiled: Compile, shared_dir: Path
) -> None:
    """The calls come to the kernel, which may be told to refuse them, and says EPERM then."""
    config = shared_dir / "jobd.toml"
    config.write_text("[jobs]\nio-uring = true\n")
    server = make_jobd("--containment", level, "--config", str(config), account=account_for(level))
    assert str(errno.ENOSYS) not in printed(server, "--", compiled("io_uring")).split()
