"""``jobctl run -i``, ``-t``, ``--stdin`` and ``attach`` against a real server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, Unpack

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response

from jobworker.api.fields import MAX_STDIN
from jobworker.client import profiles, trust
from jobworker.client.client import Client
from jobworker.client.requests import StartOptions
from jobworker.errors import BodyTooLarge
from support.jobd import Jobd, MakeJobd
from support.terminal import OnTerminal
from support.waiting import until

DATA = os.urandom(20_000_000)
JOBCTL = str(Path(sys.executable).with_name("jobctl"))


@pytest.fixture(scope="module")
def jobd(module_jobd: Jobd) -> Jobd:
    done = module_jobd.jobd("user", "add", "user1")
    assert done.returncode == 0, done.stderr
    return module_jobd


@contextmanager
def running(jobd: Jobd, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A ``jobctl`` in the background, and the way to its input; killed if it has not ended."""
    process = subprocess.Popen(
        [JOBCTL, *words],
        env=jobd.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    with process:
        try:
            yield process, process.stdin
        finally:
            process.kill()


@contextmanager
def cat(jobd: Jobd) -> Iterator[subprocess.Popen[bytes]]:
    """``run -i`` of a ``cat`` that has had something to read, and knows of no end yet."""
    with running(jobd, "run", "-i", "--", "/bin/cat") as (client, stdin):
        assert client.stdout
        stdin.write(b"first")
        stdin.flush()
        assert client.stdout.read(5) == b"first"
        yield client


def restart_after_a_crash(jobd: Jobd) -> None:
    jobd.kill()
    jobd.start()


def feed(jobd: Jobd, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [JOBCTL, *words],
        input=data,
        capture_output=True,
        env=jobd.environ,
        timeout=120,
        check=False,
    )


def on_terminal(jobd: Jobd, *words: str) -> OnTerminal:
    return OnTerminal([JOBCTL, *words], jobd.environ)


def start_with(jobd: Jobd, **options: Unpack[StartOptions]) -> str:
    """Start a job by a request that ``jobctl start`` does not make."""
    with Client(profile(jobd)) as client:
        return client.start("/bin/cat", **options)["id"]


def profile(jobd: Jobd, user: str = "admin") -> profiles.Profile:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in jobd.environ.items():
            patch.setenv(name, value)
        return profiles.load(user)


class Socket:
    """A WebSocket in one thread: TLS is not for one that reads and another that writes."""

    def __init__(self, runner: asyncio.Runner, url: str, **options: Any) -> None:
        self._runner = runner
        self._connection = runner.run(connect(url, **options).__aenter__())

    def send(self, data: bytes) -> None:
        self._runner.run(self._connection.send(data))

    def recv(self, budget: float) -> str | bytes:
        return self._runner.run(asyncio.wait_for(self._connection.recv(), budget))

    def close(self) -> None:
        self._runner.run(self._connection.close())


@contextmanager
def websocket(jobd: Jobd, job_id: str, user: str = "admin", **headers: str) -> Iterator[Socket]:
    known = profile(jobd, user)
    with asyncio.Runner() as runner:
        socket = Socket(
            runner,
            f"wss{known.server.removeprefix('https')}/jobs/{job_id}/input",
            ssl=trust.make_context(known),
            additional_headers={"Authorization": f"Bearer {known.token}"} | headers,
            compression=None,
            proxy=None,
            ping_interval=None,
        )
        with closing(socket):
            yield socket


def refused(jobd: Jobd, job_id: str, *user: str, **headers: str) -> Response:
    """The answer to who may not have a WebSocket."""
    with pytest.raises(InvalidStatus) as refusal, websocket(jobd, job_id, *user, **headers):
        pass
    return refusal.value.response


def only_job(jobd: Jobd) -> str:
    """The ID of the one job that runs, once one does."""
    until(lambda: len(jobd.succeed("list", "-q", "--status", "Running").split()) == 1)
    return jobd.succeed("list", "-q", "--status", "Running").strip()


def resident(pid: int) -> int:
    """Bytes of memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def test_every_byte_goes_in_and_comes_out(jobd: Jobd) -> None:
    done = feed(jobd, DATA, "run", "-i", "--", "/bin/cat")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == DATA


def test_the_end_of_our_input_is_the_programs(jobd: Jobd) -> None:
    done = feed(jobd, DATA, "run", "-i", "--", "/usr/bin/wc", "-c")
    assert (done.returncode, done.stdout) == (0, b"%d\n" % len(DATA))
    assert feed(jobd, b"", "run", "-i", "--", "/usr/bin/wc", "-c").stdout == b"0\n"


def test_without_i_there_is_no_input(jobd: Jobd) -> None:
    assert feed(jobd, b"text", "run", "--", "/usr/bin/wc", "-c").stdout == b"0\n"


def test_a_program_that_has_ended_before_it_is_fed(jobd: Jobd) -> None:
    done = feed(jobd, DATA, "run", "-i", "--", "/bin/sh", "-c", "echo quick; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"quick\n", b"")
    with on_terminal(jobd, "run", "-t", "--", "/bin/sh", "-c", "echo quick; exit 5") as screen:
        screen.see("quick")
        assert screen.end() == 5


def test_a_closed_standard_input_is_not_taken_for_another_file(jobd: Jobd) -> None:
    command = ["/bin/sh", "-c", f"exec {JOBCTL} run -i -- /bin/cat <&-"]
    done = subprocess.run(command, env=jobd.environ, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"our standard input is closed" in done.stderr


def test_input_that_cannot_be_read_is_no_end_of_it(jobd: Jobd, tmp_path: Path) -> None:
    unreadable = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
    command = [JOBCTL, "run", "-i", "--", "/bin/cat"]
    with subprocess.Popen(
        command, env=jobd.environ, stdin=unreadable, stderr=subprocess.PIPE
    ) as client:
        os.close(unreadable)
        assert client.stderr
        said = client.stderr.readline()
        assert said == b"jobctl: cannot read standard input: Bad file descriptor\n"
        job_id = only_job(jobd)
        assert jobd.succeed("status", job_id).splitlines()[1] == "Status: Running"
        jobd.succeed("stop", job_id)
        assert client.wait(60) == 137


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_that_does_not_read_all(jobd: Jobd, code: int) -> None:
    script = f"head -c 10 | wc -c; exit {code}"
    done = feed(jobd, DATA, "run", "-i", "--", "/bin/sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"10\n", b"")


def test_a_program_that_does_not_read_holds_up_the_client(jobd: Jobd) -> None:
    """And the server keeps nothing for it."""
    before = resident(jobd.pid)
    script = "sleep 300; wc -c"
    with running(jobd, "run", "-i", "--", "/bin/sh", "-c", script) as (client, stdin):
        os.set_blocking(stdin.fileno(), False)
        sent = 0

        def stuck() -> bool:
            nonlocal sent
            try:
                while sent < 200_000_000:
                    sent += os.write(stdin.fileno(), DATA[:65536])
            except BlockingIOError:
                pass
            job_id = jobd.succeed("list", "-q", "--status", "Running").strip()
            return bool(job_id) and sent > 200_000 and waits(client.pid)

        until(stuck)
        assert sent < 50_000_000  # what the kernel's buffers hold on the way
        assert resident(jobd.pid) - before < 32_000_000
        jobd.succeed("stop", only_job(jobd))
        assert client.wait(30) == 137


def waits(pid: int) -> bool:
    """Whether all threads of a process sleep: it has nothing left that it could do."""
    tasks = Path(f"/proc/{pid}/task")
    return all(
        (task / "stat").read_text().rpartition(")")[2].split()[0] == "S" for task in tasks.iterdir()
    )


def test_a_file_goes_with_the_start(jobd: Jobd, tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(DATA[:MAX_STDIN])
    done = feed(jobd, b"", "run", "--stdin", str(file), "--", "/usr/bin/sha256sum")
    assert done.stdout.split()[0].decode() == hashlib.sha256(DATA[:MAX_STDIN]).hexdigest()
    job_id = feed(jobd, b"ours", "start", "-q", "--stdin", "-", "--", "/bin/cat").stdout.strip()
    jobd.succeed("wait", job_id.decode())
    assert jobd.succeed("logs", job_id.decode()) == "ours"


def test_more_than_can_go_with_a_start(jobd: Jobd, tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(DATA[: MAX_STDIN + 1])
    before = jobd.succeed("list", "-q", "--all")
    for name in (str(file), "-"):
        done = feed(jobd, file.read_bytes(), "run", "--stdin", name, "--", "/bin/cat")
        assert done.returncode == 2
        assert b"larger than the 16M that can go with a start; stream it with run -i" in done.stderr
    assert jobd.succeed("list", "-q", "--all") == before


def test_the_server_takes_no_more_with_a_start(jobd: Jobd) -> None:
    said = "16777217 bytes; 16777216 can come with a start"
    with Client(profile(jobd)) as client, pytest.raises(BodyTooLarge, match=said):
        client.start("/bin/cat", stdin="x" * (MAX_STDIN + 1))


def test_nobody_but_the_owner_and_admins(jobd: Jobd) -> None:
    job_id = start_with(jobd, input="pipe")
    answer = refused(jobd, job_id, "user1")
    assert answer.status_code == 403
    assert json.loads(answer.body or b"")["code"] == "unauthorized_action"
    done = jobd.jobctl("attach", job_id, user="user1")
    assert (done.returncode, done.stderr) == (125, "Error: unauthorized action\n")
    answer = refused(jobd, job_id, Authorization="Bearer wrong")
    assert answer.status_code == 401
    answer = refused(jobd, job_id, Origin="https://evil.example")
    assert answer.status_code == 403
    jobd.succeed("stop", job_id)


def test_a_job_without_an_input_to_feed(jobd: Jobd) -> None:
    job_id = jobd.start_job("/bin/sleep", "300")
    answer = refused(jobd, job_id)
    assert json.loads(answer.body or b"")["code"] == "input_closed"
    jobd.succeed("stop", job_id)


def test_two_at_once(jobd: Jobd) -> None:
    job_id = start_with(jobd, input="pipe")
    with websocket(jobd, job_id) as first:
        assert json.loads(first.recv(10)) == {"type": "taken", "bytes": 0}
        answer = refused(jobd, job_id)
        assert json.loads(answer.body or b"")["code"] == "input_busy"
        done = feed(jobd, b"taken over", "attach", job_id)
        assert (done.returncode, done.stdout) == (0, b"taken over")
        assert json.loads(first.recv(10))["type"] == "taken"
        assert json.loads(first.recv(10))["reason"] == "another client took over"


def send_and_hear_to_the_end(socket: Socket, data: bytes) -> None:
    socket.send(data)
    while True:
        socket.recv(30)


@pytest.mark.parametrize("size", [65_537, 17_000_000, 70_000_000])
def test_a_huge_message_ends_the_connection_and_nothing_else(jobd: Jobd, size: int) -> None:
    job_id = start_with(jobd, input="pipe")
    with websocket(jobd, job_id) as socket, pytest.raises(ConnectionClosed):
        send_and_hear_to_the_end(socket, bytes(size))
    done = feed(jobd, b"still there", "attach", job_id)
    assert (done.returncode, done.stdout) == (0, b"still there")


def test_ctrl_c_says_how_to_go_on_with_the_input(jobd: Jobd) -> None:
    with cat(jobd) as client:
        client.send_signal(signal.SIGINT)
        assert client.wait(60) == 130  # and only then is our end of its input closed
        assert client.stderr
        said = client.stderr.read().decode()
    job_id = only_job(jobd)
    assert f"goes on; come back to it with: jobctl attach {job_id}" in said
    assert feed(jobd, b" second", "attach", job_id).stdout == b"first second"


def test_a_client_that_breaks_off_ends_nothing(jobd: Jobd) -> None:
    with cat(jobd) as client:
        client.kill()
    job_id = only_job(jobd)
    done = feed(jobd, b" second", "attach", job_id)
    assert (done.returncode, done.stdout) == (0, b"first second")


@pytest.mark.parametrize("end", [Jobd.restart, restart_after_a_crash])
def test_a_server_that_goes_is_no_end_of_input(
    make_jobd: MakeJobd, end: Callable[[Jobd], None]
) -> None:
    """The client goes on to show the output, and says how to go on with the input."""
    jobd = make_jobd()
    with cat(jobd) as client:
        end(jobd)
        assert client.stderr
        job_id = only_job(jobd)
        said = f"(5 bytes were taken); its input stays open, and it goes on: jobctl attach {job_id}"
        while said not in (line := client.stderr.readline().decode()):
            assert line
        done = feed(jobd, b" second", "attach", job_id)
        assert (done.returncode, done.stdout) == (0, b"first second")
        assert client.communicate(timeout=60)[0] == b" second"
        assert client.returncode == 0


def test_python_on_a_terminal(jobd: Jobd) -> None:
    with on_terminal(jobd, "run", "-t", "--", "/usr/bin/python3", "-q") as screen:
        screen.see(">>> ")
        screen.type("6 * 7\n")
        screen.see("42")
        screen.type("import os; os.get_terminal_size(), os.environ['TERM']\n")
        screen.see("(os.terminal_size(columns=80, lines=24), 'xterm')")
        screen.type("while True: pass\n\n")
        screen.see("... ")
        screen.type("\x03")
        screen.see("KeyboardInterrupt")
        screen.type("exit(7)\n")
        assert screen.end() == 7


@pytest.mark.needs("vim.tiny")
def test_vim_on_a_terminal(jobd: Jobd) -> None:
    script = f"{shutil.which('vim.tiny')} -u NONE -N written && cat written"
    with on_terminal(jobd, "run", "-t", "--", "/bin/sh", "-c", script) as screen:
        screen.see("written")
        screen.type("ihello from vim\x1b")
        screen.see("hello from vim")
        screen.type(":wq\r")
        screen.see("hello from vim\r\n")
        assert screen.end() == 0


def test_the_window_and_its_changes(jobd: Jobd) -> None:
    script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.1; done"
    with on_terminal(jobd, "run", "-t", "--", "/bin/sh", "-c", script) as screen:
        screen.see("24 80")
        screen.resize(30, 100)
        screen.see("30 100")
        assert screen.end() == 0


GREET = "echo on; read x; echo got $x"


def test_leave_a_terminal_and_come_back(jobd: Jobd) -> None:
    with on_terminal(jobd, "run", "-t", "--", "/bin/sh", "-c", GREET) as screen:
        screen.see("on")
        job_id = only_job(jobd)
        screen.type("half\x10\x11")
        screen.see(f"detached; job {job_id} goes on: jobctl attach {job_id}")
        assert screen.end() == 0
    with on_terminal(jobd, "attach", job_id) as screen:
        screen.see("on")
        screen.type("whole\r")
        screen.see("got halfwhole")
        assert screen.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_left_as_it_was(jobd: Jobd, number: signal.Signals) -> None:
    with on_terminal(jobd, "run", "-t", "--", "/bin/sh", "-c", "echo on; read x") as screen:
        screen.see("on")
        os.kill(screen.pid, number)
        assert screen.end() == 128 + number
    jobd.succeed("stop", only_job(jobd))


def test_a_terminal_takes_a_terminal(jobd: Jobd) -> None:
    done = jobd.jobctl("run", "-t", "--", "/usr/bin/tty")
    assert done.returncode == 2
    assert "a terminal needs one at our end too" in done.stderr
