"""The guards of tests/support, tried by a pytest of their own on tests that misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobworker.engines.host.cgroup_tree import memberships

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
    base = tmp_path / "base"
    body = "subprocess.run(['mount', '-t', 'tmpfs', 'left', tmp_path], check=True)"
    done = run_inside(tmp_path, body, PYTEST_ADDOPTS=f"--basetemp={base}")
    subprocess.run(["umount", *base.glob("test_it*0")], check=True)
    assert done.returncode == 1
    assert f": {base}/test_it" in done.stdout


@pytest.mark.root
def test_a_mount_of_somebody_else_is_no_leak(tmp_path: Path) -> None:
    here = tmp_path / "elsewhere"
    here.mkdir()
    body = f"subprocess.run(['mount', '-t', 'tmpfs', 'theirs', '{here}'])"
    done = run_inside(tmp_path, body, PYTEST_ADDOPTS=f"--basetemp={tmp_path}/base")
    subprocess.run(["umount", here], check=True)
    assert done.returncode == 0, done.stdout


_MAKE_A_CGROUP = """
from jobworker.engines.host.cgroup_tree import memberships, own_directory
from jobworker.engines.host.mountinfo import mounts
from pathlib import Path
member_of = memberships(Path("/proc/self/cgroup").read_bytes())
own = own_directory("pids", mounts(), member_of)
assert own
made = os.path.join({where}, "jobd-jobs-0badbeef")
os.mkdir(made)
"""


@pytest.mark.root
@pytest.mark.parametrize(("where", "code"), [("own", 1), ("os.path.dirname(own)", 0)])
def test_a_cgroup_counts_where_a_server_of_the_test_made_it(
    tmp_path: Path, where: str, code: int
) -> None:
    """Beside it are those of every other server of the machine."""
    if "pids" not in memberships(Path("/proc/self/cgroup").read_bytes()):
        pytest.skip("takes a cgroup v1 hierarchy of pids")
    done = run_inside(
        tmp_path, _MAKE_A_CGROUP.format(where=where) + "print('made:', made)", PYTEST_ADDOPTS="-s"
    )
    made = Path(done.stdout.partition("made: ")[2].partition("\n")[0])
    made.rmdir()
    if code:
        made.parent.rmdir()
    assert done.returncode == code, done.stdout


def test_a_skip_is_a_failure_where_nothing_may_be_skipped(tmp_path: Path) -> None:
    assert run_inside(tmp_path, "pytest.skip('no')").returncode == 0
    done = run_inside(tmp_path, "pytest.skip('no')", JOBWORKER_REQUIRE_ALL="1")
    assert done.returncode == 1
    assert "1 failed" in done.stdout
