"""Domains made the way of kernels without scopes, on whatever Landlock there is."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobworker.engines.host import landlock
from support import native

LEVELS = ("basic", "uid", "namespaces", "full")
"""In the order of ``enum level`` of site.h."""

SCRIPT = """
import os, signal, sys
from support import kernel_calls
rules = int(sys.argv[1])

def enter():
    kernel_calls.forbid_privileges()
    kernel_calls.call(446, rules, 0)

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


def rules_for(level: str, version: int) -> int:
    """The descriptor of the rules that the spawner makes; -1 where there are none."""
    rules = ctypes.c_int()
    made = native.library().seal_rules(LEVELS.index(level), version, ctypes.byref(rules))
    assert made == 0
    return rules.value


@native.needs_compiler
@pytest.mark.skipif(landlock.version() < landlock.DOMAINS, reason="takes Landlock (Linux 5.19)")
def test_a_domain_for_level_uid_hides_processes_and_lets_files_move(tmp_path: Path) -> None:
    """Both processes enter a domain made from the same rules, but each its own."""
    rules = rules_for("uid", landlock.DOMAINS)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(rules)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30,
        pass_fds=[rules], env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    os.close(rules)
    assert done.stdout.splitlines() == ["True False True", "['g']"], done.stderr


@native.needs_compiler
@pytest.mark.parametrize(
    ("level", "version"),
    [("basic", 99), ("uid", 0), ("uid", 1), ("full", 0), ("full", 5), ("namespaces", 5)],
)
def test_no_domain_where_it_would_be_no_use(level: str, version: int) -> None:
    assert rules_for(level, version) == -1
