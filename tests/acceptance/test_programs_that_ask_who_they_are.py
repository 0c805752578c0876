"""Programs that do not run as a user without a name do run, where jobs have mounts of their own."""

from __future__ import annotations

import pwd
import re
import shutil
from pathlib import Path

import pytest

from jobworker.model import Level
from support.jobd import Jobd, MakeJobd
from support.levels import account_for, working

PYTHON = "/usr/bin/python3"

NAMED: list[Level] = working("full", "namespaces")

POSTGRESQL = """
set -e
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
initdb -D db --no-sync >log
pg_ctl -D db -l log -w -o "-k /tmp -c listen_addresses=''" start >>log || { cat log; exit 1; }
psql -h /tmp -At -c "select current_user, 6 * 7" postgres
pg_ctl -D db -m fast stop >>log
"""


@pytest.fixture(params=NAMED)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
def server(make_jobd: MakeJobd, level: Level) -> Jobd:
    """A server with users of whom the machine has an account, and has none."""
    server = make_jobd("--containment", level, account=account_for(level))
    for name in ("alice", "root", "1000"):
        done = server.jobd("user", "add", name)
        assert done.returncode == 0, done.stderr
    return server


def printed(server: Jobd, *command: str, user: str = "alice") -> str:
    """What a job prints; fails where it does."""
    return server.succeed("run", "--", *command, user=user).strip()


def account(server: Jobd, user: str) -> str:
    """A job's own account, by its UID, as a line of the file."""
    text = "import os, pwd; print(*pwd.getpwuid(os.getuid()), sep=':')"
    return printed(server, PYTHON, "-c", text, user=user)


def uid_of_jobs(server: Jobd) -> int:
    return int(printed(server, "/usr/bin/id", "-u"))


def test_t81_a_job_has_a_name_a_home_and_a_shell(server: Jobd, level: Level) -> None:
    uid = uid_of_jobs(server)
    gid = int(printed(server, "/usr/bin/id", "-g"))
    assert account(server, "alice") == f"alice:x:{uid}:{gid}:alice:/tmp:/bin/sh"
    assert printed(server, "/usr/bin/whoami") == "alice"
    words = printed(server, "/bin/sh", "-c", 'echo "$HOME $SHELL $USER $LOGNAME" ~alice')
    assert words == "/tmp /bin/sh alice alice /tmp"
    if level == "full":
        assert printed(server, "/usr/bin/id", "-gn") == "alice"


def test_t81_an_owner_with_the_name_of_an_account_does_not_become_it(server: Jobd) -> None:
    """The machine's account is still the one that its name stands for."""
    name, _, uid, *_ = account(server, "root").split(":")
    assert name == "job-root"
    assert uid != "0"
    assert printed(server, "/bin/sh", "-c", "id -u root; echo $USER", user="root") == "0\njob-root"
    assert account(server, "1000").startswith("job-1000:")


def test_the_machines_accounts_stay(server: Jobd) -> None:
    for file in ("/etc/passwd", "/etc/group"):
        seen = printed(server, "/bin/cat", file).splitlines()
        for line in Path(file).read_text().splitlines():
            assert line in seen


def test_t81_a_job_cannot_change_its_account(server: Jobd) -> None:
    script = (
        "for f in /etc/passwd /etc/group; do (echo x >>$f); chmod 777 $f; rm -f $f; mv $f /tmp/; "
        "umount $f; done; cat /etc/passwd; ls -ld /var/lib/jobd/accounts"
    )
    before = printed(server, "/bin/cat", "/etc/passwd")
    assert before in server.jobctl("run", "--", "/bin/sh", "-c", script, user="alice").stdout
    assert printed(server, "/bin/cat", "/etc/passwd") == before
    assert "x" not in Path("/etc/passwd").read_text().splitlines()


@pytest.mark.root
def test_a_run_as_account_keeps_the_machines_line(make_jobd: MakeJobd, shared_dir: Path) -> None:
    config = shared_dir / "jobd.toml"
    config.write_text(
        '[[policy.rules]]\naction = "allow"\nprograms = ["/usr/bin/*"]\nargs = ["..."]\n'
        'run-as = "nobody"\n'
    )
    server = make_jobd("--containment", "full", "--config", str(config))
    assert printed(server, "/usr/bin/whoami", user="admin") == "nobody"
    uid = pwd.getpwnam("nobody").pw_uid
    line = printed(server, "/usr/bin/getent", "passwd", str(uid), user="admin")
    assert line in Path("/etc/passwd").read_text().splitlines()


@pytest.mark.needs("git")
def test_t81_git_has_a_default_identity(server: Jobd) -> None:
    script = (
        "cd /tmp && git init -q work && cd work && git -c user.email=a@example.org commit -q "
        "--allow-empty -m first && git log -1 --format=%an"
    )
    assert printed(server, "/bin/sh", "-c", script) == "alice"


@pytest.mark.needs("ssh", "ssh-keygen")
def test_t81_ssh_knows_its_user(server: Jobd) -> None:
    text = printed(server, "/usr/bin/ssh", "-G", "host.example")
    assert "user alice" in text.splitlines()
    key = printed(server, "/bin/sh", "-c", "ssh-keygen -q -N '' -f /tmp/k && cat /tmp/k.pub")
    assert re.search(r" alice@\S+$", key)


@pytest.mark.needs("node")
def test_t81_node_tells_its_user(server: Jobd) -> None:
    script = "const user = require('os').userInfo(); console.log(user.username, user.homedir)"
    assert printed(server, str(shutil.which("node")), "-e", script) == "alice /tmp"


@pytest.mark.needs("java")
def test_t81_java_tells_its_user(server: Jobd) -> None:
    """Without a name for its user ID, ``user.name`` is a question mark."""
    script = "java -XshowSettings:properties -version 2>&1 | grep -E ' user.(name|home) '"
    words = printed(server, "/bin/sh", "-c", script).split()
    assert words == ["user.home", "=", "/tmp", "user.name", "=", "alice"]


@pytest.mark.needs("pg_ctlcluster", "psql")
def test_t81_postgresql_runs_as_a_job(server: Jobd) -> None:
    """A cluster is made, started, asked and stopped, by a user who has the job's name in it."""
    assert printed(server, "/bin/sh", "-c", POSTGRESQL) == "alice|42"


@pytest.mark.parametrize("level", working("uid", "basic"))
def test_without_mounts_of_its_own_a_job_sees_the_machines_files(server: Jobd) -> None:
    """As the documentation says; its shell is in its environment all the same."""
    seen = printed(server, "/bin/sh", "-c", "cat /etc/passwd; echo $SHELL")
    assert seen == Path("/etc/passwd").read_text() + "/bin/sh"
