"""Domains made the way of kernels without scopes, on whatever Landlock there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobworker.supervisor import landlock

SCRIPT = """
import os, signal
from jobworker.supervisor import kernel, landlock

rules = landlock.ruleset("uid", landlock.DOMAINS)

def enter():
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.landlock_enter(rules)

def forked(then):
    entered, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        then()
        os.write(say, b".")
        signal.pause()
    os.read(entered, 1)
    return pid

def traceable(pid):
    try:
        return os.readlink(f"/proc/{pid}/root") == "/"
    except PermissionError:
        return False

other = forked(enter)
before = traceable(other)
enter()
own = forked(lambda: None)
print(before, traceable(other), traceable(own))
for pid in own, other:
    os.kill(pid, 9)
    os.waitpid(pid, 0)

for name in "ab":
    os.mkdir(name)
open("a/f", "w").close()
os.rename("a/f", "b/g")
os.link("b/g", "a/h")
os.rename("b", "a/b")
print(sorted(os.listdir("a/b")))
"""


@pytest.mark.skipif(landlock.version() < landlock.DOMAINS, reason="takes Landlock (Linux 5.19)")
def test_a_domain_for_level_uid_hides_processes_and_lets_files_move(tmp_path: Path) -> None:
    """Both processes enter a domain made from the same rules, but each its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["True False True", "['g']"], done.stderr


@pytest.mark.parametrize(
    ("level", "version"),
    [("basic", 99), ("uid", 0), ("uid", 1), ("full", 0), ("full", 5), ("namespaces", 5)],
)
def test_no_domain_where_it_would_be_no_use(level: str, version: int) -> None:
    assert landlock.ruleset(level, version) is None
