"""What goes wrong is told in plain words: no number of an error, no tuple, no trace."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.jobd import Jobd

JOBCTL = str(Path(sys.executable).with_name("jobctl"))
RAW = re.compile(r"\[Errno|\('|xpected `|Traceback|<class|Error\(|_ssl\.c|codec can't")

Break = Callable[[Jobd], None]


def stderr_of(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed has said, in one line or two."""
    assert done.returncode in (1, 2, 125, 126), (done.args, done.returncode, done.stderr)
    assert 1 <= len(done.stderr.splitlines()) <= 2, done.stderr
    assert not RAW.search(done.stderr + done.stdout), done.stderr
    return done.stderr


def configuration(jobd: Jobd) -> Path:
    return jobd.home / "config" / "jobctl" / "config.json"


def is_a_directory(jobd: Jobd) -> None:
    configuration(jobd).unlink()
    configuration(jobd).mkdir()


def is_a_pipe(jobd: Jobd) -> None:
    configuration(jobd).unlink()
    os.mkfifo(configuration(jobd), 0o600)


def leads_nowhere(jobd: Jobd) -> None:
    configuration(jobd).unlink()
    configuration(jobd).symlink_to("/nowhere")


def is_below_a_file(jobd: Jobd) -> None:
    (jobd.home / "file").touch()
    jobd.variables["JOBCTL_CONFIG"] = str(jobd.home / "file" / "config.json")


def holds_other_bytes(jobd: Jobd) -> None:
    configuration(jobd).write_bytes(b"\xff\xfe")


def holds_no_json(jobd: Jobd) -> None:
    configuration(jobd).write_text("{'profiles': }")


def holds_no_profile(jobd: Jobd) -> None:
    configuration(jobd).write_text('{"profiles": {"admin": 5}}')


def has_no_ca(jobd: Jobd) -> None:
    jobd.variables["JOBCTL_CONFIG"] = str(configuration(jobd))
    text = configuration(jobd).read_text().replace("ca.pem", "none.pem")
    configuration(jobd).write_text(text)


def has_a_ca_that_is_none(jobd: Jobd) -> None:
    (jobd.home / "ca.pem").write_text("no certificate")
    text = re.sub(r'"ca": ".*?"', f'"ca": "{jobd.home}/ca.pem"', configuration(jobd).read_text())
    configuration(jobd).write_text(text)


def names_nobody(jobd: Jobd) -> None:
    jobd.variables["JOBCTL_SERVER"] = "https://no-such-host.invalid:1"


def names_no_server(jobd: Jobd) -> None:
    jobd.variables["JOBCTL_SERVER"] = "https://127.0.0.1:1"


def names_no_address(jobd: Jobd) -> None:
    jobd.variables["JOBCTL_SERVER"] = "https://127.0.0.1:notaport"


@pytest.mark.parametrize(
    "broken",
    [
        is_a_directory,
        is_a_pipe,
        leads_nowhere,
        is_below_a_file,
        holds_other_bytes,
        holds_no_json,
        holds_no_profile,
        has_no_ca,
        has_a_ca_that_is_none,
        names_nobody,
        names_no_server,
        names_no_address,
    ],
    ids=lambda break_it: break_it.__name__,
)
def test_a_configuration_that_cannot_be_used(jobd: Jobd, broken: Break) -> None:
    kept = configuration(jobd).read_text()
    broken(jobd)
    assert stderr_of(jobd.jobctl("whoami")).startswith("Error: ")
    stderr_of(jobd.jobctl("run", "--", "/bin/true"))
    jobd.variables.clear()
    if configuration(jobd).is_dir() and not configuration(jobd).is_symlink():
        configuration(jobd).rmdir()
    configuration(jobd).unlink(missing_ok=True)
    configuration(jobd).write_text(kept)
    configuration(jobd).chmod(0o600)


@pytest.mark.parametrize(
    "words",
    [
        ("start", "--stdin", "/nowhere", "--", "/bin/cat"),
        ("start", "--stdin", "/etc", "--", "/bin/cat"),
        ("start", "--cwd", "/nowhere", "--", "/bin/true"),
        ("start", "--cwd", "/etc/passwd", "--", "/bin/true"),
        ("start", "--", "/etc"),
        ("start", "--", "/etc/passwd"),
        ("start", "--run-as", "nobody-at-all", "--", "/bin/true"),
        ("start", "--timeout", "soon", "--", "/bin/true"),
        ("start", "--name", "x" * 300, "--", "/bin/true"),
        ("start", "--label", f"k={'x' * 300}", "--", "/bin/true"),
        ("start", "--env", "A", "--", "/bin/true"),
        ("list", "--since", "once"),
        ("list", "--limit", "-1"),
        ("output", "--since", "once", "j-00000000"),
        ("status", "j-00000000"),
        ("signal", "j-00000000", "NOTHING"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_call_that_cannot_be_done(module_jobd: Jobd, words: tuple[str, ...]) -> None:
    stderr_of(module_jobd.jobctl(*words))


def test_what_cannot_be_written(module_jobd: Jobd) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [JOBCTL, "help"],
            env=module_jobd.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    done.stdout = ""
    assert stderr_of(done) == "jobctl: cannot write the output: No space left on device\n"


def test_a_server_that_hangs_up(jobd: Jobd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        jobd.variables["JOBCTL_SERVER"] = f"https://127.0.0.1:{nobody.getsockname()[1]}"
        calling = subprocess.Popen(
            [JOBCTL, "whoami"], env=jobd.environ, stderr=subprocess.PIPE, text=True
        )
        connection, _ = nobody.accept()
        connection.close()
        _, said = calling.communicate(timeout=60)
    jobd.variables.clear()
    assert calling.returncode == 1
    assert not RAW.search(said), said


def test_a_token_that_is_not_taken_is_named_with_its_profile_and_server(jobd: Jobd) -> None:
    jobd.jobd("user", "add", "user1")
    jobd.jobd("token", "revoke", "user1")
    refusal = f"Error: bad authentication ({jobd.url} does not take the token of profile 'user1')\n"
    for verb in (("whoami",), ("run", "--", "/bin/true"), ("attach", f"j-{'0' * 8}")):
        assert stderr_of(jobd.jobctl(*verb, user="user1")) == refusal


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--config", "/nowhere"),
        ("serve", "--config", "/etc"),
        ("serve", "--config", "{home}/bytes"),
        ("serve", "--config", "{home}/text"),
        ("serve", "--state", "{home}/text"),
        ("serve", "--state", "{home}/text/below"),
        ("serve", "--state", "{home}/no-database", "--listen", "127.0.0.1:0"),
        ("serve", "--state", "{home}/no-directory", "--listen", "127.0.0.1:0"),
        ("serve", "--state", "{home}/torn-keys", "--listen", "127.0.0.1:0"),
        ("serve", "--state", "{home}/a", "--listen", "192.0.2.1:1"),
        ("serve", "--state", "{home}/b", "--listen", "nonsense"),
        ("serve", "--state", "{home}/c", "--listen", "no-such-host.invalid:1"),
        ("serve", "--state", "{home}/d", "--listen", "{taken}"),
        ("serve",),
        ("user", "list", "--state", "/nowhere"),
        ("user", "list", "--state", "{home}/no-database"),
        ("user", "add", "no such name"),
        ("policy", "check", "--config", "{home}/bytes"),
    ],
    ids=" ".join,
)
def test_a_server_that_cannot_serve(module_jobd: Jobd, arguments: tuple[str, ...]) -> None:
    home = module_jobd.home
    (home / "bytes").write_bytes(b"\xff\xfe")
    (home / "text").write_text("no toml")
    for name in ("no-database", "no-directory", "torn-keys"):
        (home / name).mkdir(mode=0o700, exist_ok=True)
    (home / "no-database" / "jobd.db").write_text("no database" * 500)
    (home / "no-directory" / "spool").write_text("no directory")
    (home / "torn-keys" / "tls").mkdir(mode=0o700, exist_ok=True)
    for name in ("ca.pem", "ca.key", "server.pem"):
        (home / "torn-keys" / "tls" / name).write_text("-----BEGIN")
        (home / "torn-keys" / "tls" / name).chmod(0o600)
    taken = module_jobd.listen
    done = module_jobd.jobd(*(word.format(home=home, taken=taken) for word in arguments))
    assert done.returncode in (1, 2)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("jobd: "), done.stderr
    assert not RAW.search(last), last
