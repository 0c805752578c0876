"""The guards of tests/support, tried by a pytest of their own on tests that misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1]
SETTINGS = {
    "PYTHONPATH": str(SUPPORT),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "JOBWORKER_LEAK_BUDGET": "0.2",
}
PLUGINS = ("support.adoption", "support.leaks", "support.needs")


def run_inside(tmp_path: Path, body: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a pytest of its own on one test with this body."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    (tmp_path / "test_it.py").write_text(
        f"import os, subprocess, pytest\nkept = []\n\ndef test_it(tmp_path):\n{lines}\n"
    )
    plugins = [word for name in PLUGINS for word in ("-p", name)]
    kept = {key: value for key, value in os.environ.items() if key != "JOBWORKER_REQUIRE_ALL"}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            os.devnull,
            "--rootdir",
            tmp_path,
            *plugins,
        ],
        cwd=tmp_path,
        env=kept | SETTINGS | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_clean_test_passes(tmp_path: Path) -> None:
    done = run_inside(tmp_path, "subprocess.run(['true']); open('/dev/null').close()")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "escape",
    [
        "kept.append(subprocess.Popen(['sleep', '1000001']))",
        "subprocess.run(['sh', '-c', 'sleep 1000001 &'])",
        "subprocess.run(['sh', '-c', '(setsid setsid env -i sleep 1000001 >/dev/null 2>&1 &)'])",
    ],
)
def test_a_process_left_running_fails_its_test(tmp_path: Path, escape: str) -> None:
    """However it left its parent, its session and its environment; and it is ended."""
    done = run_inside(tmp_path, escape)
    assert done.returncode == 1
    assert "the test left behind:" in done.stdout
    assert "sleep 1000001" in done.stdout


def test_a_process_that_is_just_ending_is_no_leak(tmp_path: Path) -> None:
    """It ends when its input does, which is when the test does."""
    body = "kept.append(subprocess.Popen(['cat'], stdin=subprocess.PIPE))\nkept[0].stdin.close()"
    assert run_inside(tmp_path, body).returncode == 0


def test_a_descriptor_left_open_fails_its_test(tmp_path: Path) -> None:
    done = run_inside(tmp_path, "os.open('/etc/hostname', os.O_RDONLY)")
    assert done.returncode == 1
    assert "/etc/hostname" in done.stdout


@pytest.mark.root
def test_a_mount_left_behind_fails_its_test(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    done = run_inside(tmp_path, f"subprocess.run(['mount', '-t', 'tmpfs', 'left', '{here}'])")
    subprocess.run(["umount", here], check=True)
    assert done.returncode == 1
    assert f" {here} " in done.stdout


def test_a_skip_is_a_failure_where_nothing_may_be_skipped(tmp_path: Path) -> None:
    assert run_inside(tmp_path, "pytest.skip('no')").returncode == 0
    done = run_inside(tmp_path, "pytest.skip('no')", JOBWORKER_REQUIRE_ALL="1")
    assert done.returncode == 1
    assert "1 failed" in done.stdout
