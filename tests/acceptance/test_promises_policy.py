"""What an operator decides about jobs, as users meet it: real servers, accounts and files."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.jobd import Jobd, MakeJobd
from support.waiting import until

pytestmark = pytest.mark.root

ACCOUNT = "nobody"


@pytest.fixture
def tools() -> Iterator[Path]:
    """A directory that only root can write, with a script and a binary."""
    path = Path("/opt/jobworker-test-tools")
    path.mkdir(mode=0o755)
    script = path / "report"
    script.write_text('#!/bin/sh\necho "report $*"; id -un; id -G; cat "$0" | head -n 1\n')
    script.chmod(0o755)
    shutil.copy("/bin/echo", path / "say")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "jobd.toml"


def serve(make_jobd: MakeJobd, config: Path, text: str) -> Jobd:
    config.write_text(text)
    jobd = make_jobd("--config", str(config))
    assert jobd.jobd("user", "add", "alice").returncode == 0
    return jobd


def rules(*tables: str, default: str = "deny") -> str:
    return f'[policy]\ndefault = "{default}"\n' + "".join(
        f"[[policy.rules]]\n{t}\n" for t in tables
    )


def test_only_what_is_listed_runs(make_jobd: MakeJobd, config: Path, tools: Path) -> None:
    jobd = serve(
        make_jobd, config, rules(f'name = "t"\naction = "allow"\nprograms = ["{tools}/*"]')
    )
    done = jobd.jobctl("run", "--", f"{tools}/say", "hello", user="alice")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    done = jobd.jobctl("run", "--", f"{tools}/report", "a b", user="alice")
    assert done.stdout.splitlines()[0] == "report a b", done.stderr
    assert done.stdout.splitlines()[-1] == "#!/bin/sh", "a script can read itself"
    refused = jobd.jobctl("start", "--json", "--", "/bin/echo", user="alice")
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (1, "program_forbidden")
    assert jobd.succeed("list", "-q", "--all", "--status", "Failed") == ""
    for word, code in ((f"{tools}/say", 0), ("/bin/echo", 1)):
        asked = jobd.jobctl("can-i", "start", "--", word, user="alice")
        assert asked.returncode == code, asked.stdout
    assert "t" in jobd.succeed("can-i", "start", "--", f"{tools}/say", user="alice")


def test_a_job_with_limits_runs_the_checked_file_too(
    make_jobd: MakeJobd, config: Path, tools: Path
) -> None:
    """Limited jobs are started another way."""
    jobd = serve(make_jobd, config, rules(f'action = "allow"\nprograms = ["{tools}/*"]'))
    for program in ("say", "report"):
        done = jobd.jobctl("run", "--nice", "1", "--", f"{tools}/{program}", "x", user="alice")
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "report x"


def test_a_digest_pins_the_file(make_jobd: MakeJobd, config: Path, tools: Path) -> None:
    digest = hashlib.sha256((tools / "say").read_bytes()).hexdigest()
    table = f'action = "allow"\nprograms = ["{tools}/say"]\nsha256 = "{digest}"'
    jobd = serve(make_jobd, config, rules(table))
    assert jobd.jobctl("run", "--", f"{tools}/say", "x", user="alice").returncode == 0
    with (tools / "say").open("ab") as file:
        file.write(b"\0")
    refused = jobd.jobctl("start", "--", f"{tools}/say", "x", user="alice")
    assert refused.returncode == 1
    assert "policy" in refused.stderr


def test_run_as_an_account_has_its_groups_and_nothing_else(
    make_jobd: MakeJobd, config: Path, tools: Path
) -> None:
    table = f'action = "allow"\nprograms = ["{tools}/*"]\nrun-as = "{ACCOUNT}"'
    jobd = serve(make_jobd, config, rules(table))
    for limits in ((), ("--nice", "1")):
        done = jobd.jobctl("run", *limits, "--", f"{tools}/report", user="alice")
        _, name, groups, *_ = done.stdout.splitlines()
        account = pwd.getpwnam(ACCOUNT)
        assert name == ACCOUNT
        assert sorted(map(int, groups.split())) == sorted(
            set(os.getgrouplist(ACCOUNT, account.pw_gid))
        )
    asked = jobd.jobctl("start", "--run-as", "daemon", "--", f"{tools}/report", user="alice")
    assert asked.returncode == 1
    assert "policy" in asked.stderr


def test_a_rule_without_network_has_only_a_loopback(
    make_jobd: MakeJobd, config: Path, tools: Path
) -> None:
    del tools
    table = 'action = "allow"\nprograms = ["/usr/bin/*"]\nnetwork = false'
    jobd = serve(make_jobd, config, rules(table))
    done = jobd.jobctl("run", "--", "/bin/cat", "/proc/net/dev", user="alice")
    names = [line.partition(":")[0].strip() for line in done.stdout.splitlines()[2:]]
    assert names == ["lo"]


def test_ceilings_are_per_role_and_per_rule(make_jobd: MakeJobd, config: Path) -> None:
    text = '[ceilings.user]\ntimeout = "1h"\n[limits.user]\ntimeout = "10m"\n' + rules(
        'action = "allow"\nprograms = ["/usr/bin/sleep"]\nlimits = { timeout = "5m" }',
        default="allow",
    )
    jobd = serve(make_jobd, config, text)

    def timeout_of(*words: str, user: str = "alice") -> float | None:
        job_id = jobd.succeed("start", "-q", *words, user=user).strip()
        limit: float | None = json.loads(jobd.succeed("status", "--json", job_id))["limits"][
            "timeout"
        ]
        jobd.jobctl("stop", job_id)
        return limit

    assert timeout_of("--", "/bin/cat") == 600
    assert timeout_of("--timeout", "1h", "--", "/bin/cat") == 3600
    assert timeout_of("--", "/bin/sleep", "300") == 300
    assert timeout_of("--timeout", "2h", "--", "/bin/cat", user="admin") == 7200
    for words in (("--timeout", "61m", "--", "/bin/cat"), ("--timeout", "6m", "--", "/bin/sleep")):
        refused = jobd.jobctl("start", "--json", *words, user="alice")
        assert json.loads(refused.stdout)["code"] == "limit_too_high"
    job_id = jobd.succeed("start", "-q", "--timeout", "4m", "--", "/bin/sleep", "300", user="alice")
    assert jobd.jobctl("extend", job_id.strip(), "1m", user="alice").returncode == 0
    assert jobd.jobctl("extend", job_id.strip(), "1m", user="alice").returncode == 1
    jobd.jobctl("stop", job_id.strip())


def test_what_all_jobs_together_may_use_is_bounded(make_jobd: MakeJobd, config: Path) -> None:
    """None of them asks for anything, and one of them is over the limit of all."""
    jobd = serve(make_jobd, config, '[total]\nmemory = "96M"\npids = 50\n')
    quiet = jobd.start_job("/bin/sleep", "300", user="alice")
    hog = ("/usr/bin/python3", "-c", "x = bytearray(10**9)")
    assert jobd.jobctl("run", "--", *hog, user="alice").returncode == 137
    job_id = jobd.succeed("list", "-q", "--limit", "1", user="alice").strip()
    assert "Cause: oom" in jobd.succeed("why", job_id)
    assert json.loads(jobd.succeed("status", "--json", quiet))["status"] == "Running"
    jobd.jobctl("stop", quiet)


def test_a_reload_changes_who_may_start_what_and_a_broken_file_does_not(
    make_jobd: MakeJobd, config: Path
) -> None:
    jobd = serve(make_jobd, config, rules(default="deny"))
    assert jobd.jobctl("start", "--", "/bin/true", user="alice").returncode == 1

    def reload(text: str, said: str) -> None:
        config.write_text(text)
        before = jobd.log.read_text().count(said)
        os.kill(jobd.pid, signal.SIGHUP)
        until(lambda: jobd.log.read_text().count(said) > before)

    reload(rules(default="allow"), "policy loaded")
    assert jobd.jobctl("run", "--", "/bin/true", user="alice").returncode == 0
    reload("[policy]\ndefault = 7\n", "the effective policy stays")
    assert jobd.jobctl("run", "--", "/bin/true", user="alice").returncode == 0


def test_jobs_wait_for_a_place_and_a_reload_gives_them_one(
    make_jobd: MakeJobd, config: Path
) -> None:
    jobd = serve(make_jobd, config, "[queue]\nmax-running-per-user = 1\nmax-queued = 1\n")
    start = ("start", "-q", "--", "/bin/sleep", "300")
    first, second = (jobd.succeed(*start, user="alice").strip() for _ in range(2))
    status = json.loads(jobd.succeed("status", "--json", second, user="alice"))
    assert (status["status"], status["pid"]) == ("Queued", None)
    refused = jobd.jobctl("start", "--json", "--", "/bin/true", user="alice")
    assert json.loads(refused.stdout)["code"] == "too_many_jobs"
    assert jobd.jobctl("run", "--", "/bin/true").returncode == 0, "another user has room"
    jobd.restart()
    assert json.loads(jobd.succeed("status", "--json", second))["status"] == "Queued"
    config.write_text("[queue]\nmax-running-per-user = 2\n")
    os.kill(jobd.pid, signal.SIGHUP)
    until(lambda: json.loads(jobd.succeed("status", "--json", second))["status"] == "Running")
    for job_id in (first, second):
        jobd.jobctl("stop", job_id)


def test_t44_a_denied_program_is_one_escaped_line_of_the_log(
    make_jobd: MakeJobd, config: Path
) -> None:
    jobd = serve(make_jobd, config, rules(default="deny"))
    name = "/bin/\n\x1b[31mroot logged in\x1b]0;title\x07" + "x" * 4000
    assert jobd.jobctl("start", "--", name, "a" * 65536, user="alice").returncode == 1
    lines = [line for line in jobd.log.read_text().splitlines() if "start denied" in line]
    assert len(lines) == 1
    assert lines[0].isascii()
    assert lines[0].isprintable()
    assert len(lines[0]) < 2000
    entry = json.loads(lines[0])
    assert entry["program"].startswith("/bin/\n\x1b[31mroot")
    assert entry["user"] == "alice"


def test_what_cannot_be_trusted_is_refused_when_the_policy_is_loaded(
    config: Path, tools: Path, tmp_path: Path
) -> None:
    """T14: a link, a file or a directory above it that others can write."""
    (tools / "link").symlink_to(tools / "say")
    loose = tools / "loose"
    loose.mkdir()
    shutil.copy(tools / "say", loose / "say")
    loose.chmod(0o777)
    shutil.copy(tools / "say", tools / "writable")
    (tools / "writable").chmod(0o775)
    for name in ("link", "loose/say", "writable"):
        config.write_text(rules(f'action = "allow"\nprograms = ["{tools}/{name}"]'))
        done = subprocess.run(
            [Path(sys.executable).with_name("jobd"), "policy", "check", "--config", config],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"JOBD_STATE": str(tmp_path / "none")},
        )
        assert done.returncode == 1, name
        assert done.stderr.count("\n") == 1
        assert str(tools) in done.stderr
