"""A job looks for a way around its walls: by ``/proc``, sessions, terminals, other mounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.model import Level
from support.injection import injected
from support.jobd import Jobd, MakeJobd
from support.levels import account_for, working
from support.supervisors import spawner_of
from support.waiting import until

WALLED = working("full", "namespaces")
CANARY = "canary-of-another-session"
DEPLOY = 65533
"""An account that some jobs run as."""

TERMINALS_OF_A_JOB = 64

READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
RUNTIME = ("/run/user", "/run/munge", "/run/screen", "/run/slurmd")
IN_HOME = (".ssh", ".gnupg", ".local/share/keyrings")

LEFT = ("secret", "fifo")
LEAVE = f"""
for place in "$@"; do
    mkdir -p "$place"
    echo {CANARY} >"$place/secret"
    mkfifo -m 666 "$place/fifo"
    chmod -R a+rX "$place"
done
"""
"""Leaves in each place what others are not to see."""

LOGINS = ("/run/user/65534", *RUNTIME[1:])
"""The first is the runtime directory of an account."""

LATER = ("/run/user/7777", "/run/slurm-later")

OPEN_TERMINALS = """
import os
opened = 0
try:
    while True:
        os.openpty()
        opened += 1
except OSError:
    print(opened)
"""


def machine(*commands: str) -> tuple[str, ...]:
    """A command that runs a server where mounts are its own, and shared as systemd has them.

    It has a ``/run`` of its own, with what logins and daemons leave there.
    """
    make = ['set -e; server=("$@")', "mount -t tmpfs -o mode=755 run /run"]
    make += [f"set -- {' '.join(LOGINS)}", LEAVE, *commands, 'exec "${server[@]}"']
    script = "\n".join(make)
    return ("unshare", "--mount", "--propagation", "shared", "bash", "-c", script, "bash")


def on_machine(server: Jobd, script: str, *words: str) -> None:
    """Do as the machine's root, where the server is."""
    enter = ("nsenter", f"--target={server.pid}", "--mount", "bash", "-ec", script, "bash")
    subprocess.run([*enter, *words], check=True)


def said_by(server: Jobd, script: str) -> str:
    """All that a job says, on both streams."""
    done = server.jobctl("run", "--", "/bin/sh", "-c", script)
    return done.stdout + done.stderr


def found_by(server: Jobd, *paths: str | Path) -> str:
    """The paths, one on a line, at which a job finds something."""
    look = 'for path in "$@"; do [ ! -e "$path" ] || echo "$path"; done; echo looked'
    done = server.succeed("run", "--", "/bin/sh", "-c", look, "sh", *map(str, paths))
    assert done.endswith("looked\n")
    return done.removesuffix("looked\n")


def root_of(server: Jobd, job_id: str) -> str:
    """The root directory of a running job, as that has it mounted."""
    pid = json.loads(server.succeed("status", "--json", job_id))["pid"]
    return f"/proc/{pid}/root"


@pytest.fixture(params=WALLED)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
def inhabited(make_jobd: MakeJobd, level: Level) -> Jobd:
    """A server on a machine where others are logged in."""
    return make_jobd("--containment", level, account=account_for(level), inside=machine())


@pytest.fixture
def terminal() -> Iterator[str]:
    """Somebody's terminal, with a line typed, that everybody may read."""
    master, slave = os.openpty()
    path = os.ttyname(slave)
    os.fchmod(slave, 0o666)
    os.write(master, CANARY.encode() + b"\n")
    yield path
    os.close(master)
    os.close(slave)


@pytest.mark.root
def test_root_cannot_give_its_user_id_to_jobs(make_jobd: MakeJobd) -> None:
    """T59: the kernel lets that set the machine's parameters; said at the start, and by doctor."""
    refused = "containment level namespaces is not available here: root never gets it, as its jobs"
    with pytest.raises(AssertionError, match=refused):
        make_jobd("--containment", "namespaces")
    told = make_jobd().jobd("doctor").stdout.splitlines()
    (line,) = [line for line in told if line.startswith("namespaces")]
    assert line.split(None, 2)[1] == "no"
    assert "take full or uid, or run jobd as an ordinary account" in line


def test_a_job_cannot_write_what_changes_the_machine(server: Jobd) -> None:
    """T59: not by the rights of its user, but because the mounts are read-only."""
    there = [path for path in READ_ONLY if Path(path).exists()]
    look = (
        "import os, sys; print([os.statvfs(path).f_flag & os.ST_RDONLY for path in sys.argv[1:]])"
    )
    printed = server.succeed("run", "--", "/usr/bin/python3", "-c", look, *there, "/proc", "/tmp")
    assert printed.strip() == str([os.ST_RDONLY] * len(there) + [0, 0])


@pytest.mark.root
def test_a_job_cannot_write_to_cgroups_of_its_account(inhabited: Jobd) -> None:
    """T61: by ``cgroup.kill`` it would end the account's logins."""
    mounts = said_by(inhabited, "cat /proc/self/mountinfo").splitlines()
    cgroups = [line.split() for line in mounts if " - cgroup" in line]
    assert cgroups
    assert all(fields[5].startswith("ro,") for fields in cgroups)


def test_a_job_still_writes_what_is_its_own_in_proc(server: Jobd) -> None:
    assert said_by(server, "echo renamed > /proc/self/comm && echo written") == "written\n"


def test_a_job_cannot_learn_where_the_state_is_from_its_supervisor(server: Jobd) -> None:
    """T61: it sees the supervisor as process 1."""
    shown = said_by(server, "cat /proc/1/cmdline; cat /proc/1/environ; readlink /proc/1/cwd")
    assert shown.startswith("jobd: spawner")
    assert str(server.state) not in shown
    assert str(Path(__file__).parents[2]) not in shown


@pytest.mark.root
def test_a_job_cannot_see_other_sessions(inhabited: Jobd) -> None:
    """T61: with its environment naming none of them."""
    assert found_by(inhabited, *(f"{place}/{name}" for place in LOGINS for name in LEFT)) == ""


@pytest.mark.root
def test_a_job_cannot_see_a_session_that_begins_later(inhabited: Jobd) -> None:
    """T61: than the server, whose environment names none."""
    on_machine(inhabited, f"mkdir /run/user/7777 /run/slurm-later; {LEAVE}", *LATER)
    assert found_by(inhabited, *(f"{place}/secret" for place in LATER)) == ""


@pytest.mark.root
def test_a_job_cannot_see_a_session_that_begins_while_it_runs(inhabited: Jobd) -> None:
    """T61, T80: a login mounts its runtime directory, and that mount reaches the job."""
    login = "/run/user/7777"
    job_id = inhabited.start_job("/bin/sleep", "1000")
    on_machine(inhabited, f"mkdir {login}; mount -t tmpfs login {login}; {LEAVE}", login)
    assert not Path(root_of(inhabited, job_id), "run/user/7777/secret").exists()
    inhabited.succeed("stop", job_id)


def test_a_job_cannot_open_another_terminal(server: Jobd, terminal: str) -> None:
    """T61: not one that its user may read."""
    shown = said_by(server, f"head -n 1 {terminal}; ls /dev/pts")
    assert CANARY not in shown
    assert shown.startswith("ptmx\n")


def test_a_job_cannot_take_all_terminals(server: Jobd) -> None:
    """T61: and each job can have that many, at once."""
    command = ("run", "--", "/usr/bin/python3", "-c", OPEN_TERMINALS)
    assert server.succeed(*command) == f"{TERMINALS_OF_A_JOB}\n"


@pytest.mark.root
def test_a_job_cannot_see_anothers_instance_of_terminals_or_queues(
    make_jobd: MakeJobd, level: Level, shared_dir: Path
) -> None:
    """T61: as they stand in a chroot of the machine's, say."""
    chroot = {kind: shared_dir / kind for kind in ("devpts", "mqueue")}
    mount = [f"mkdir {path}; mount -t {kind} {kind} {path}" for kind, path in chroot.items()]
    leave = f"touch {chroot['mqueue']}/{CANARY}"
    inside = machine(*mount, leave)
    server = make_jobd("--containment", level, account=account_for(level), inside=inside)
    shown = said_by(server, f"ls {chroot['devpts']} {chroot['mqueue']}")
    assert "ptmx" not in shown
    assert CANARY not in shown


@pytest.mark.root
def test_a_job_cannot_see_the_state_by_another_mount(inhabited: Jobd, shared_dir: Path) -> None:
    """T61: of the whole file system, of a part of it, of a part of the state; made later."""
    whole, home, spool = (shared_dir / name for name in ("whole", "home", "spool"))
    beyond = whole / inhabited.state.relative_to("/")
    on_machine(
        inhabited,
        'while [ $# -gt 0 ]; do mkdir "$2"; mount --bind "$1" "$2"; shift 2; done',
        *map(str, ("/", whole, inhabited.home, home, inhabited.state / "spool", spool)),
    )
    found = found_by(inhabited, home, beyond / "jobd.db", home / "state" / "jobd.db")
    assert found == f"{home}\n"
    assert "j-" not in said_by(inhabited, f"ls -A {spool} {beyond}/spool {home}/state/spool")


@pytest.mark.parametrize("level", working("namespaces"))
def test_a_job_cannot_see_the_keys_of_the_servers_account(server: Jobd) -> None:
    """T61: those that were there, and those that came after the server."""
    keys = [server.home / name / "secret" for name in IN_HOME]
    for key in keys:
        key.parent.mkdir(parents=True)
        key.write_text(CANARY)
        if server.account is not None:
            os.chown(key, server.account, server.account)
    beside = server.home / "data"
    beside.write_text("")
    assert found_by(server, *keys, beside) == f"{beside}\n"


@pytest.mark.parametrize("level", working("namespaces"))
def test_a_job_cannot_make_user_namespaces(server: Jobd) -> None:
    """In one it would have every capability."""
    assert server.jobctl("run", "--", "/usr/bin/unshare", "--user", "true").returncode == 1


@pytest.mark.parametrize("level", working("namespaces"))
def test_a_job_cannot_change_what_the_server_can(server: Jobd) -> None:
    """Its code, for one; here a file that surely belongs to its account, and is to be seen."""
    code = server.home / "code.py"
    code.write_text("")
    if server.account is not None:
        os.chown(code, server.account, server.account)
    assert "Read-only" in said_by(server, f"cat {code} && echo '# changed' >> {code}")
    assert code.read_text() == ""


@pytest.mark.root
@pytest.mark.parametrize("level", working("full"))
def test_a_job_cannot_see_the_keys_of_the_account_it_runs_as(
    make_jobd: MakeJobd, level: Level, shared_dir: Path
) -> None:
    """T61: nor has the next one something of the machine's covered by a link to it."""
    home, accounts, config = (shared_dir / name for name in ("home", "passwd", "jobd.toml"))
    home.mkdir()
    os.chown(home, DEPLOY, DEPLOY)
    line = f"deploy:x:{DEPLOY}:{DEPLOY}::{home}:/bin/sh\n"
    accounts.write_text(Path("/etc/passwd").read_text() + line)
    config.write_text('[[policy.rules]]\nname = "deploy"\naction = "allow"\nrun-as = "deploy"\n')
    server = make_jobd(
        *("--containment", level, "--config", str(config)),
        inside=machine(f"mount --bind {accounts} /etc/passwd"),
    )
    run = ("run", "--run-as", "deploy", "--", "/bin/sh", "-c")
    leave = f"cd {home}; mkdir .ssh; echo > .ssh/key; ln -s /usr .gnupg; id -u; ls .ssh"
    assert server.succeed(*run, leave) == f"{DEPLOY}\nkey\n"
    look = f"[ ! -e {home}/.ssh/key ] && [ -d {home}/.ssh ] && [ -d /usr/bin ] && echo right"
    assert server.succeed(*run, look) == "right\n"


@pytest.mark.root
@pytest.mark.parametrize("level", working("full"))
def test_a_job_cannot_keep_a_file_system_that_the_machine_unmounts(
    make_jobd: MakeJobd, level: Level, shared_dir: Path
) -> None:
    """T80: its mount namespace has it too, and lets go of it."""
    disk = shared_dir / "disk"
    inside = machine(f"mkdir {disk}; mount -t tmpfs disk {disk}")
    server = make_jobd("--containment", level, inside=inside)
    job_id = server.start_job("/bin/sleep", "1000")
    mounted = Path(root_of(server, job_id)).with_name("mountinfo")
    assert str(disk) in mounted.read_text()
    on_machine(server, f"umount {disk}")
    assert str(disk) not in mounted.read_text()
    server.succeed("stop", job_id)


@pytest.mark.root
@pytest.mark.parametrize("level", working("full"))
def test_the_spawner_keeps_no_mount_that_jobs_must_not_see(
    make_jobd: MakeJobd, level: Level, shared_dir: Path
) -> None:
    """T80: it has covered a part of that for its jobs, in mounts of its own."""
    whole = shared_dir / "whole"
    server = make_jobd("--containment", level, inside=machine(f"mkdir {whole}"))
    on_machine(server, f"mount --bind / {whole}")
    server.succeed("run", "--", "/bin/true")
    mounted = Path(f"/proc/{spawner_of(server)}/mountinfo")
    assert f"{whole}{server.state}" in mounted.read_text()
    on_machine(server, f"umount {whole}")
    until(lambda: str(whole) not in mounted.read_text())
    assert str(whole) not in said_by(server, "cat /proc/self/mountinfo")


@pytest.mark.root
@pytest.mark.parametrize("level", working("full"))
def test_a_job_has_the_root_of_its_server(
    shared_dir: Path, make_jobd: MakeJobd, level: Level
) -> None:
    """T61: walls that are built anew, for what is new on the machine, keep a chroot."""
    root, above = shared_dir / "root", shared_dir.parent
    script = f"""
        set -e; mount -t tmpfs run /run; mkdir {root}; mount --bind {root} {root}
        for place in /*; do
            [ -d "$place" ] && [ ! -h "$place" ] || continue
            case {above} in "$place"/*) continue ;; esac
            mkdir {root}$place; mount --rbind $place {root}$place
        done
        for place in /*; do [ ! -h "$place" ] || cp -d "$place" {root}$place; done
        mkdir -p {root}{above}; mount --bind {above} {root}{above}
        echo > {root}/inside
        exec chroot {root} "$@"
    """
    inside = ("unshare", "--mount", "--propagation", "shared", "bash", "-c", script, "bash")
    server = make_jobd("--containment", level, inside=inside)
    assert found_by(server, "/inside") == "/inside\n"
    on_machine(server, f"mkdir {root}/run/slurm-later; {LEAVE}", f"{root}/run/slurm-later")
    assert found_by(server, "/inside", "/run/slurm-later/secret") == "/inside\n"


@pytest.mark.root
@pytest.mark.needs("strace")
@pytest.mark.parametrize("level", working("full"))
@pytest.mark.parametrize(
    ("call", "when"), [("setns", "1..2"), ("unshare", "1"), ("mount", "1"), ("open", "1")]
)
def test_walls_that_cannot_be_built_stop_a_start_and_are_built_for_the_next(
    inhabited: Jobd, call: str, when: str
) -> None:
    """T52, T61: half of them is none. Those of before are left at once, by one setns.

    What is opened first, but for what is in the spool, is the directory with names to hide.
    """
    inhabited.variables["JOBCTL_PATIENCE"] = "0s"  # each refusal is wanted once
    inhabited.succeed("run", "--", "/bin/true")
    (later,) = LATER[1:]
    with injected(spawner_of(inhabited), call, f"error=ENOMEM:when={when}"):
        on_machine(inhabited, f"mkdir {later}; {LEAVE}", later)
        refused = inhabited.jobctl("start", "--json", "--", "/bin/true")
        assert json.loads(refused.stdout)["code"] == "service_unavailable"
    assert found_by(inhabited, f"{later}/secret", f"{LOGINS[0]}/secret") == ""


@pytest.mark.root
@pytest.mark.parametrize("level", working("full", "namespaces"))
def test_a_machine_that_tells_of_no_changes_is_looked_at_for_each_job(
    make_jobd: MakeJobd, level: Level
) -> None:
    """T61: an account has 128 instances of inotify, and may have used them up."""
    none_left = "echo 0 >/proc/sys/fs/inotify/max_user_instances"
    before = Path("/proc/sys/fs/inotify/max_user_instances").read_text()
    try:
        server = make_jobd(
            *("--containment", level), account=account_for(level), inside=machine(none_left)
        )
        for later in LATER:
            on_machine(server, f"mkdir -p {later}; {LEAVE}", later)
            assert found_by(server, f"{later}/secret") == ""
    finally:
        Path("/proc/sys/fs/inotify/max_user_instances").write_text(before)


REPLACED = """
import os, sys
from support import native
library = native.library()
os.chdir(sys.argv[1])
os.makedirs("accounts/7-alice")
for name in "passwd", "group":
    with open(f"accounts/7-alice/{name}", "w") as file:
        file.write("alice")
replacing = os.fork()
if replacing == 0:
    while True:
        open("draft", "w").write("alice")
        os.rename("draft", "accounts/7-alice/passwd")
for _ in range(200):
    assert library.contain_put_account_in_place(b"7-alice", bytes(1024)) == 0
os.kill(replacing, 9)
os.waitpid(replacing, 0)
print(open("/etc/passwd").read())
"""


@pytest.mark.root
@pytest.mark.needs("unshare", "gcc")
def test_t81_a_job_gets_its_account_while_the_file_of_it_is_replaced(tmp_path: Path) -> None:
    """The kernel mounts no file without a name, as that is which was found a moment ago."""
    command = ["unshare", "--mount", sys.executable, "-c", REPLACED, str(tmp_path)]
    tests = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    assert subprocess.check_output(command, text=True, timeout=60, env=tests) == "alice\n"
