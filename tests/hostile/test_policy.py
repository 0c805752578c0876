"""T71: a user leads a program that a rule allows astray, at the levels where rules give accounts.

The rule is the issue's own: a module of Python's by name, as the account ``nobody``. The user
may put files where everybody may, and asks for whatever a start can ask for.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from jobworker.model import Level
from support.jobd import Jobd, MakeJobd
from support.levels import working

pytestmark = pytest.mark.root

PYTHON = os.path.realpath("/usr/bin/python3")
USER, ACCOUNT = 65534, "www-data"
THEIRS = 'import os; print("their code as", os.getuid())\n'

RULES = f"""
[policy]
default = "deny"

[[policy.rules]]
name = "format"
action = "allow"
programs = ["{PYTHON}"]
args = ["-m", "json.tool"]
run-as = "{ACCOUNT}"

[[policy.rules]]
name = "report"
action = "allow"
programs = ["/usr/bin/printf"]
args = ["month %s;", "2026-*"]
cwd = "%(cwd)s"
"""


@pytest.fixture(params=working("full", "uid"))
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
def server(make_jobd: MakeJobd, level: Level, tmp_path: Path, trusted_dir: Path) -> Jobd:
    config = tmp_path / "jobd.toml"
    config.write_text(RULES.replace("%(cwd)s", str(trusted_dir)))
    jobd = make_jobd("--containment", level, "--config", str(config))
    assert jobd.jobd("user", "add", "mallory").returncode == 0
    return jobd


@pytest.fixture
def theirs(shared_dir: Path) -> Path:
    """A directory of the user's, with modules in it of the names that Python looks for."""
    package = shared_dir / "json"
    package.mkdir()
    for name in ("__init__.py", "tool.py"):
        (package / name).write_text(THEIRS)
    for name in ("sitecustomize.py", "usercustomize.py"):
        (shared_dir / name).write_text(THEIRS)
    for path in (shared_dir, package):
        path.chmod(0o755)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", shared_dir], check=True)
    return shared_dir


FORMAT = (PYTHON, "-m", "json.tool")


def refused(server: Jobd, *words: str) -> str:
    """Have it refused by the policy, with no job made of it; the message."""
    done = server.jobctl("run", *words, user="mallory", stdin="[1]")
    assert "their code" not in done.stdout + done.stderr
    assert done.returncode != 0, done.stdout
    asked = server.jobctl("start", "--json", *words, user="mallory")
    answer: dict[str, str] = json.loads(asked.stdout)
    assert answer["code"] == "program_forbidden", answer
    assert server.succeed("list", "-q", "--all") == ""
    return answer["error"]


def test_the_program_itself_runs_as_the_account(server: Jobd) -> None:
    done = server.jobctl("run", "-i", "--", *FORMAT, user="mallory", stdin='{"a":1}')
    assert (done.returncode, json.loads(done.stdout)) == (0, {"a": 1}), done.stderr


def test_a_user_cannot_choose_where_a_listed_program_begins(server: Jobd, theirs: Path) -> None:
    """``python -m json.tool`` was the user's own ``json/tool.py``, with the account's rights."""
    why = refused(server, "--cwd", str(theirs), "--", *FORMAT)
    assert "rule format of the policy" in why
    assert "leave the working directory out" in why
    refused(server, "--cwd", "/tmp", "--", *FORMAT)
    refused(server, "--cwd", f"/proc/self/root{theirs}", "--", *FORMAT)


VARIABLES = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "HOME", "LD_PRELOAD", "GIT_EXEC_PATH",
    "BASH_ENV", "PERL5LIB", "NODE_OPTIONS", "NOT_KNOWN_TO_ANY_LIST", "LANGUAGE", "TZ",
)  # fmt: skip


def test_a_user_cannot_lead_an_account_astray_by_a_variable(server: Jobd, theirs: Path) -> None:
    for name in VARIABLES:
        assert name in refused(server, "--env", f"{name}={theirs}", "--", *FORMAT)


def test_what_says_how_to_write_may_be_set(server: Jobd) -> None:
    harmless = ("TZ=Europe/Berlin", "LC_ALL=C.UTF-8", "TERM=xterm-256color", "COLUMNS=80")
    words = [word for pair in harmless for word in ("--env", pair)]
    done = server.jobctl("run", "-i", *words, "--", *FORMAT, user="mallory", stdin="[]")
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_newline_gets_past_no_pattern(server: Jobd) -> None:
    """What reads lines would read a second one, which no pattern has allowed."""
    report = ("/usr/bin/printf", "month %s;")
    done = server.jobctl("run", "--", *report, "2026-01", user="mallory")
    assert (done.returncode, done.stdout) == (0, "month 2026-01;"), done.stderr
    server.succeed("rm", server.succeed("list", "-q", "--all").strip())
    refused(server, "--", *report, "2026-01\n--delete")
    refused(server, "--", *report, "2026-01\n")


def test_a_rule_gives_its_own_working_directory(
    make_jobd: MakeJobd, level: Level, tmp_path: Path, trusted_dir: Path
) -> None:
    config = tmp_path / "jobd.toml"
    text = '[policy]\ndefault = "deny"\n'
    for program, cwd in (("/usr/bin/readlink", f'\ncwd = "{trusted_dir}"'), ("/usr/bin/pwd", "")):
        text += f'[[policy.rules]]\naction = "allow"\nprograms = ["{program}"]{cwd}\n'
    config.write_text(text)
    jobd = make_jobd("--containment", level, "--config", str(config))
    assert jobd.jobd("user", "add", "mallory").returncode == 0
    place = ("/usr/bin/readlink", "/proc/self/cwd")
    for asked in ((), ("--cwd", str(trusted_dir)), ("--cwd", f"{trusted_dir}/"), ("--nice", "1")):
        done = jobd.jobctl("run", *asked, "--", *place, user="mallory")
        assert (done.returncode, done.stdout) == (0, f"{trusted_dir}\n"), done.stderr
    own = jobd.jobctl("run", "--", "/usr/bin/pwd", user="mallory")
    assert (own.returncode, own.stdout == "/tmp\n") == (0, level == "full"), own.stderr
    assert own.stdout.startswith("/tmp")


def test_a_relative_program_is_refused_and_a_detour_is_the_program_it_leads_to(
    server: Jobd, theirs: Path
) -> None:
    """A path is compared without its links, dots and doubled slashes."""
    (theirs / "python").symlink_to("/usr/bin/env")
    for program in (f"{theirs}/python", f"//{theirs}/json/../python", f"{PYTHON}/../env"):
        refused(server, "--", program, "-m", "json.tool")
    detour = f"/usr//bin/../bin/./{PYTHON.rpartition('/')[2]}"
    done = server.jobctl("run", "-i", "--", detour, *FORMAT[1:], user="mallory", stdin="[]")
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    relative = server.jobctl("start", "--", "python3", *FORMAT[1:], user="mallory")
    assert relative.returncode == 2


def test_an_account_with_powers_is_warned_of(make_jobd: MakeJobd, tmp_path: Path) -> None:
    """When the policy is loaded, when it is checked, and by the doctor."""
    name = "jobworker-t71"
    subprocess.run(["useradd", "--system", "--groups", "shadow", name], check=True)
    try:
        config = tmp_path / "jobd.toml"
        config.write_text(
            f'[[policy.rules]]\naction = "allow"\nprograms = ["/usr/bin/true"]\nrun-as = "{name}"\n'
        )
        jobd = make_jobd("--config", str(config))
        warning = f"rule 1 of the policy runs jobs as {name}, which is in the group shadow"
        assert warning in jobd.log.read_text()
        for command in (("policy", "check"), ("doctor",)):
            done = jobd.jobd(*command, "--config", str(config))
            assert f"Warning: {warning}" in done.stdout, done.stderr
        told = json.loads(jobd.jobd("doctor", "--json", "--config", str(config)).stdout)
        assert told["warnings"][0].startswith(warning)
    finally:
        subprocess.run(["userdel", name], check=True)
    assert name not in {entry.pw_name for entry in pwd.getpwall()}
