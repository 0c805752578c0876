"""What people and scripts get from jobctl, with a real server and real jobs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.calls import Calls
from support.gate import Gate, opened
from support.jobd import Jobd
from support.keyboard import at_terminal

ID = r"j-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LONGEST = 131_071
"""Bytes of the longest argument that the kernel passes on (execve(2), MAX_ARG_STRLEN)."""


@pytest.fixture(scope="module")
def server(module_jobd: Jobd) -> Jobd:
    for name in ("user1", "user2"):
        added = module_jobd.jobd("user", "add", name)
        assert added.returncode == 0, added.stderr
    return module_jobd


@pytest.fixture
def gate(shared_dir: Path) -> Iterator[Gate]:
    made = Gate(shared_dir / "gate")
    with opened(made):
        yield made


def say(server: Jobd, *args: str, user: str | None = None) -> tuple[int, str, str]:
    done = server.jobctl(*args, user=user)
    return done.returncode, done.stdout, done.stderr


def finished(server: Jobd, script: str, *options: str, user: str | None = None) -> str:
    """The ID of a job that has ended."""
    job_id = server.succeed("start", "-q", *options, "--", "/bin/sh", "-c", script, user=user)
    server.jobctl("wait", job_id.strip(), user=user)
    return job_id.strip()


def spawn(server: Jobd, *args: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("jobctl")), *args]
    return subprocess.Popen(
        command, env=server.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_list_prints_a_line_a_job_newest_first(server: Jobd) -> None:
    first = finished(server, "exit 0", "--label", "lines=1", user="user1")
    second = finished(server, "exit 9", "--label", "lines=1", user="user1")
    code, out, err = say(server, "list", "--label", "lines=1", user="user1")
    assert (code, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[:4] for row in rows] == [
        [second, "Failed", "9", "user1"],
        [first, "Completed", "0", "user1"],
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row[4]) for row in rows)
    assert rows[0][5] == "/bin/sh -c exit 9"


def test_list_shows_own_jobs_and_an_admin_anybodys(server: Jobd) -> None:
    job_id = finished(server, "true", user="user1")
    assert job_id not in server.succeed("list", "-q", "--all", user="user2")
    assert job_id in server.succeed("list", "-q", "--all", user="admin")
    assert job_id in server.succeed("list", "-q", "--owner", "user1", user="admin")
    refused = say(server, "list", "--owner", "user1", user="user2")
    assert refused == (1, "", "Error: unauthorized action\n")


def test_list_says_that_there_is_more(server: Jobd) -> None:
    ids = [finished(server, "true", "--label", "more=1") for _ in range(3)]
    code, out, err = say(server, "list", "-q", "--label", "more=1", "--limit", "2")
    assert (code, out.split()) == (0, ids[:0:-1])
    assert err == "There are more jobs; see them with --all or a higher --limit.\n"
    assert say(server, "list", "-q", "--label", "more=1", "--all")[1].split() == ids[::-1]


def test_an_argument_cannot_forge_a_line(server: Jobd) -> None:
    job_id = server.succeed(
        "start", "-q", "--label", "forged=1", "--", "/bin/echo", "a\nj-1\tCompleted\x1b[2J"
    ).strip()
    server.jobctl("wait", job_id)
    (line,) = server.succeed("list", "--label", "forged=1").splitlines()
    cells = line.split("\t")
    assert cells[5] == "/bin/echo a\\nj-1\\tCompleted\\x1b[2J"
    assert float(cells[6]) >= 0


def test_the_beginning_of_an_id_is_enough(server: Jobd) -> None:
    job_id = finished(server, "exit 5")
    assert server.succeed("status", job_id[:13]).startswith(f"ID: {job_id}\n")
    assert server.jobctl("wait", job_id[:13]).returncode == 5
    code, _, err = say(server, "status", job_id[:13], user="user1")
    assert (code, err.splitlines()[0]) == (1, "Error: job not found")


def test_wait_exits_as_the_first_that_failed(server: Jobd) -> None:
    ids = [finished(server, script) for script in ("exit 0", "exit 6", "exit 7")]
    assert server.jobctl("wait", *ids).returncode == 6
    assert server.jobctl("wait", ids[0]).returncode == 0


def test_wait_for_any_is_over_with_the_first(server: Jobd, gate: Gate) -> None:
    script = f"read line < {gate.path}; exit 4"
    first = server.start_job("/bin/sh", "-c", script)
    others = [server.start_job("/bin/sleep", "1000") for _ in range(2)]
    process = spawn(server, "wait", "-q", "--any", others[0], first, others[1])
    gate.open()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.decode(), err) == (4, f"{first}\n", b"")
    server.succeed("stop", *others)


@pytest.mark.parametrize("options", [[], ["--any"]], ids=["all", "any"])
def test_wait_outlives_a_restart_of_the_server(jobd: Jobd, gate: Gate, options: list[str]) -> None:
    script = f"read line < {gate.path}; exit 4"
    first = jobd.start_job("/bin/sh", "-c", script)
    other = jobd.start_job("/bin/sleep", "1000" if options else "0")
    command = [str(Path(sys.executable).with_name("jobctl")), "wait", *options, first, other]
    with at_terminal(command, jobd.environ) as person:
        person.wait_for("0 of 2 ended" if options else "1 of 2 ended")
        jobd.restart()
        gate.open()
        person.wait_for(f"ID: {first}\r\nStatus: Failed\r\nExit code: 4\r\n")
        if not options:
            person.wait_for(f"ID: {other}\r\nStatus: Completed\r\n")


def test_wait_for_all_is_over_with_the_last(server: Jobd, gate: Gate) -> None:
    waiting = server.start_job("/bin/sh", "-c", f"read line < {gate.path}; exit 4")
    ids = [finished(server, "exit 0"), waiting, finished(server, "exit 5")]
    process = spawn(server, "wait", "-q", *ids)
    gate.open()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.decode().split(), err) == (4, ids, b"")


def test_wait_exits_with_125_where_the_service_refuses(server: Jobd) -> None:
    other = finished(server, "true", user="user1")
    assert say(server, "wait", other, user="user2")[0] == 125


def test_wait_no_longer_than_told(server: Jobd) -> None:
    job_id = server.start_job("/bin/sleep", "1000")
    code, out, err = say(server, "wait", "--timeout", "0.2s", job_id)
    assert (code, out) == (124, f"ID: {job_id}\nStatus: Running\nExit code: n/a\n")
    assert err == f"jobctl: job {job_id} has not ended in the time given; it goes on\n"
    server.succeed("stop", job_id)


def test_stop_goes_on_after_one_that_has_ended(server: Jobd) -> None:
    ended = finished(server, "true")
    running = server.start_job("/bin/sleep", "1000")
    code, out, err = say(server, "stop", ended, running)
    assert (code, out) == (1, f"Job with ID {running} stopped.\n")
    assert err == f"Error: job not running ({ended})\n"


def test_stop_with_a_grace_lets_a_job_end_by_itself(server: Jobd) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done"
    process = spawn(server, "run", "--", "/bin/sh", "-c", script)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    job_id = server.succeed("list", "-q", "--status", "Running").strip()
    server.succeed("stop", "--grace", "60s", job_id)
    out, err = process.communicate(timeout=30)
    assert out == b"bye\n"
    assert process.returncode == 137, err
    job = json.loads(server.succeed("status", "--json", job_id))
    assert (job["status"], job["exitCode"], job["reason"]) == ("Stopped", 3, "stopped by admin")


def test_rm_refuses_a_running_job(server: Jobd) -> None:
    job_id = server.start_job("/bin/sleep", "1000")
    assert say(server, "rm", job_id) == (1, "", "Error: job is running\n")
    server.succeed("stop", job_id)
    assert say(server, "rm", job_id, user="user1") == (1, "", "Error: unauthorized action\n")
    assert say(server, "rm", job_id) == (0, f"Job with ID {job_id} removed.\n", "")


def test_output_f_shows_each_line_as_it_comes(server: Jobd, gate: Gate) -> None:
    script = f"echo one; echo aside >&2; read go < {gate}; printf two; exit 1"
    job_id = server.start_job("/bin/sh", "-c", script)
    process = spawn(server, "output", "-f", job_id)
    assert process.stdout
    assert process.stdout.readline() == b"one\n"
    gate.open()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, b"two", b"aside\n")


def test_output_of_one_stream(server: Jobd) -> None:
    job_id = finished(server, "echo out; echo err >&2")
    assert say(server, "output", job_id) == (0, "Output:\nout\n", "err\n")
    assert say(server, "output", "--stdout", job_id) == (0, "Output:\nout\n", "")
    assert say(server, "output", "--stderr", job_id) == (0, "", "err\n")
    assert say(server, "logs", job_id) == (0, "out\n", "err\n")


def test_a_reader_that_goes_away_is_no_error_of_the_job(server: Jobd) -> None:
    job_id = finished(server, "yes | head -c 5000000")
    process = spawn(server, "logs", job_id)
    assert process.stdout
    assert process.stdout.read(2) == b"y\n"
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr
    assert process.stderr.read() == b""
    process.stderr.close()


def test_run_detached_is_start(server: Jobd) -> None:
    code, out, err = say(server, "run", "-d", "--", "/bin/sleep", "1000")
    assert (code, err) == (0, "")
    match = re.fullmatch(rf"Job started with ID ({ID})\.\n", out)
    assert match
    server.succeed("stop", match[1])


def test_json_on_every_verb(server: Jobd) -> None:
    """One object on standard output, with ``error``, also where it is refused."""
    started = json.loads(server.succeed("start", "--json", "--", "/bin/sleep", "1000"))
    job_id = started["id"]
    assert started == {"id": job_id, "error": None}
    assert json.loads(server.succeed("stop", "--json", job_id)) == started
    for verb in ("status", "wait"):
        job = json.loads(server.jobctl(verb, "--json", job_id).stdout)
        assert (job["id"], job["status"], job["error"]) == (job_id, "Stopped", None)
    assert json.loads(server.succeed("output", "--json", job_id)) == {
        "id": job_id, "stdout": [], "stderr": [], "error": None,
    }  # fmt: skip
    refused = server.jobctl("stop", "--json", job_id)
    expected = {"error": "Error: job not running", "code": "job_not_running"}
    assert (refused.returncode, json.loads(refused.stdout)) == (1, expected)
    assert json.loads(server.succeed("rm", "--json", job_id)) == started
    listed = json.loads(server.succeed("list", "--json", "--limit", "1"))
    assert listed.keys() == {"jobs", "next", "error"}
    ran = server.jobctl("run", "--json", "--", "/bin/sh", "-c", "exit 3")
    assert (ran.returncode, json.loads(ran.stdout)["exitCode"]) == (3, 3)
    me = json.loads(server.succeed("whoami", "--json", user="user1"))
    assert me == {"name": "user1", "role": "user", "error": None}


def test_quiet_prints_bare_ids(server: Jobd) -> None:
    job_id = server.succeed("start", "-q", "--", "/bin/sleep", "1000").rstrip("\n")
    assert re.fullmatch(ID, job_id)
    for verb in ("status", "stop", "wait", "rm"):
        assert server.jobctl(verb, "-q", job_id).stdout == f"{job_id}\n"


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["x" * LONGEST], id="the longest argument"),
        pytest.param(["y" * 1000] * 1000, id="a thousand arguments"),
        pytest.param(["", "", ""], id="empty ones"),
        pytest.param(["-1", "5", "0x10", "1e3", "007", "NaN", "null"], id="like numbers"),
        pytest.param(["--", "-u", "admin", "-q", "--help", "-"], id="like options"),
        pytest.param(["\udc80\udcff", "\udced\udca0\udc80", "e\u0301"], id="not UTF-8"),
    ],
)
def test_t48_t50_arguments_arrive_as_they_were_typed(server: Jobd, args: list[str]) -> None:
    done = server.jobctl_bytes("run", "--", "/usr/bin/printf", "%s\\0", *args)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(arg) for arg in args], done.stderr


def test_t48_text_that_json_cannot_carry_is_refused(server: Jobd) -> None:
    """A program, a name or a variable; only arguments may be any bytes."""
    for options in (["--name", "\udcff"], ["--env", "A=\udcff"], ["--cwd", "/\udcff"]):
        code, out, err = say(server, "start", *options, "--", "/bin/true")
        assert (code, out) == (2, "")
        assert "must be UTF-8" in err
    assert say(server, "start", "--", "/bin/\udcff")[0] == 2


@pytest.mark.parametrize(
    ("program", "code", "why"),
    [
        ("/etc", 126, "program cannot be executed: it is a directory"),
        ("/etc/passwd", 126, "program cannot be executed: permission denied"),
        ("{shared}/script", 126, "program cannot be executed: the interpreter that it names"),
        ("{shared}/absent", 127, "program not found"),
        ("./relative", 2, "the program must be an absolute path, not './relative'"),
    ],
)
def test_t49_run_says_why_and_exits_as_a_shell(
    server: Jobd, shared_dir: Path, program: str, code: int, why: str
) -> None:
    script = shared_dir / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    done = server.jobctl("run", "--", program.format(shared=shared_dir))
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.removeprefix("Error: ").removeprefix("jobctl: ").startswith(why)


@pytest.mark.root
@pytest.mark.needs("mount")
def test_t49_a_program_on_a_noexec_mount(server: Jobd, shared_dir: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", shared_dir], check=True)
    try:
        program = shared_dir / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        code, _, err = say(server, "run", "--", str(program))
    finally:
        subprocess.run(["umount", shared_dir], check=True)
    assert (code, err) == (126, "Error: program cannot be executed: permission denied\n")


def test_a_user_that_is_removed_is_nobody_at_once(server: Jobd) -> None:
    """Its jobs stay, and are the admin's to stop."""
    assert server.jobd("user", "add", "shortlived").returncode == 0
    job_id = server.start_job("/bin/sleep", "1000", user="shortlived")
    token = server.succeed("token", "print", user="shortlived").strip()
    assert server.jobd("user", "remove", "shortlived").returncode == 0
    assert Calls(server, token)("GET", "/jobs")[0] == 401
    assert server.succeed("stop", job_id) == f"Job with ID {job_id} stopped.\n"


def test_a_job_is_named_by_its_name_and_shown_whole(server: Jobd) -> None:
    program = ("--", "/bin/sleep", "1000")
    job_id = server.succeed("start", "-q", "--name", "web", "--label", "a=b", *program).strip()
    shown = server.succeed("show", "web")
    assert f"ID:           {job_id}\nName:         web\nLabels:       a=b\n" in shown
    assert "Command:      /bin/sleep 1000\n" in shown
    assert server.succeed("status", "web").startswith(f"ID: {job_id}\nStatus: Running\n")
    other = server.succeed("start", "-q", "--name", "web", *program).strip()
    code, out, err = say(server, "stop", "web")
    assert (code, out) == (2, "")
    assert job_id in err
    assert other in err
    server.succeed("stop", other)
    assert server.succeed("stop", "web") == f"Job with ID {job_id} stopped.\n"
    assert "Reason:       stopped by admin" in server.succeed("show", job_id)
    assert server.jobctl("rm", job_id, other).returncode == 0


def test_nobody_elses_name_is_a_reference(server: Jobd) -> None:
    job_id = server.succeed("start", "-q", "--name", "mine", "--", "/bin/sleep", "1000").strip()
    code, _, err = say(server, "stop", "mine", user="user1")
    assert (code, "neither a job ID nor the name of a job" in err) == (2, True)
    server.succeed("stop", job_id)
    assert server.jobctl("rm", job_id).returncode == 0
