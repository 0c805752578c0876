"""Real work as jobs: a build, a test run, a compression, binary output; byte for byte."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import pytest

from support.jobd import Jobd

PYTHON = "/usr/bin/python3"
"""An interpreter that every user may run: the checkout's may lie in a closed directory."""


@pytest.mark.needs("gcc")
def test_a_build_with_gcc(module_jobd: Jobd, shared_dir: Path) -> None:
    """The job's own /tmp is its working directory, and files in it can be executed."""
    source = shared_dir / "hello.c"
    source.write_text('#include <stdio.h>\nint main(void){puts("built");return 5;}\n')
    source.chmod(0o644)
    script = f"gcc -Wall -O2 -o hello {source} && ./hello"
    done = module_jobd.jobctl("run", "--", "/bin/sh", "-c", script)
    assert (done.returncode, done.stdout) == (5, "built\n")


def test_a_run_of_pytest(module_jobd: Jobd, shared_dir: Path) -> None:
    """With the pytest that runs this test, from a place that the job's user can read."""
    packages = Path(pytest.__file__).parents[1]
    for name in ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        _copy(packages / name, shared_dir / "packages" / name)
    shutil.copy(packages / "py.py", shared_dir / "packages")
    tests = shared_dir / "test_it.py"
    tests.write_text("def test_good(): assert 1\ndef test_bad(): assert 0\n")
    for path in [shared_dir, *shared_dir.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    command = ("/usr/bin/env", f"PYTHONPATH={shared_dir / 'packages'}", PYTHON, "-m", "pytest")
    done = module_jobd.jobctl(
        "run", "--", *command, "-q", "-p", "no:cacheprovider", "--rootdir", "/tmp", str(tests)
    )
    assert done.returncode == 1, done.stderr
    assert "1 failed, 1 passed" in done.stdout


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*.py"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())


@pytest.mark.needs("gzip")
def test_a_hundred_megabytes_through_gzip(module_jobd: Jobd) -> None:
    """Decompressed, what comes back is what went in."""
    make = (
        "import sys,hashlib\nd=hashlib.sha256()\nblock=bytes(range(256))*256\n"
        "for n in range(1600):\n b=n.to_bytes(4,'big')+block[4:]\n d.update(b)\n"
        " sys.stdout.buffer.write(b)\nprint(d.hexdigest(),file=sys.stderr)"
    )
    script = f'{PYTHON} -c "$0" | gzip -1'
    job_id = module_jobd.start_job("/bin/sh", "-c", script, make)
    done = module_jobd.jobctl_bytes("wait", job_id)
    assert done.returncode == 0
    packed = module_jobd.jobctl_bytes("output", "--raw", "--stdout", job_id).stdout
    digest = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    assert module_jobd.jobctl_bytes("output", "--raw", job_id).stderr.decode().strip() == digest
    assert len(gzip.decompress(packed)) == 1600 * 65536


def test_a_hundred_megabytes_of_plain_output(module_jobd: Jobd) -> None:
    script = (
        "import sys,hashlib,os\nd=hashlib.sha256()\nfor n in range(1600):\n"
        " b=os.urandom(65536)\n d.update(b)\n sys.stdout.buffer.write(b)\n"
        "print(d.hexdigest(),file=sys.stderr)"
    )
    done = module_jobd.jobctl_bytes("run", "--", PYTHON, "-c", script)
    assert done.returncode == 0
    assert len(done.stdout) == 1600 * 65536
    assert done.stderr.decode().split()[0] == hashlib.sha256(done.stdout).hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 3,
        b"no newline at the end",
        b"\xff\xfe\0\0",
        "ä".encode()[:1],
        b"\n\n\r\n",
        b"",
        b"x" * 3_000_000,
        (b"x" * 65_535 + "ä".encode()) * 5,
    ],
    ids=[
        "all bytes",
        "no newline",
        "not utf-8",
        "half a character",
        "ends",
        "empty",
        "one line",
        "a character over the edge of a chunk",
    ],
)
def test_t34_output_is_exact(module_jobd: Jobd, shared_dir: Path, data: bytes) -> None:
    file = shared_dir / "data"
    file.write_bytes(data)
    file.chmod(0o644)
    job_id = module_jobd.start_job("/bin/cat", str(file))
    module_jobd.jobctl("wait", job_id)
    assert module_jobd.jobctl_bytes("output", "--raw", job_id).stdout == data
    shown = module_jobd.jobctl_bytes("output", job_id).stdout
    lines = data.decode("utf-8", "replace").split("\n")
    assert shown.decode() == "\n".join(["Output:", *lines]) + "\n" * (lines[-1] != "")


def test_t50_arguments_are_exact(module_jobd: Jobd) -> None:
    args = ["\udcff\udcfe", "a\nb", "", "-u", "--json", "ä", "\x1b[31m", "*", "$HOME"]
    done = module_jobd.jobctl_bytes("run", "--", "/usr/bin/printf", "%s|", *args)
    assert done.stdout == b"\xff\xfe|a\nb||-u|--json|\xc3\xa4|\x1b[31m|*|$HOME|"
