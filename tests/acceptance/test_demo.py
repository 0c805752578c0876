"""scripts/demo, as a newcomer types it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

PLACE = Path("/var/tmp")
DEMO = Path(__file__).parents[2] / "scripts" / "demo"


def test_the_demo_goes_well() -> None:
    """It checks its own outcomes; the guard of every test checks what it leaves."""
    done = subprocess.run([DEMO], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The demo went well" in done.stdout


@pytest.mark.parametrize("sign", ["Job started with ID", "kill %jobd"], ids=["job", "restart"])
def test_a_demo_that_is_broken_off_leaves_nothing(sign: str) -> None:
    """Neither jobs, which outlive a server, nor files; the guard looks for processes."""
    before = set(PLACE.glob("jobworker-demo.*"))
    with subprocess.Popen(
        [DEMO],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stdout
        for line in demo.stdout:
            if sign in line:
                break
        os.killpg(demo.pid, signal.SIGINT)  # as Ctrl-C does
        demo.stdout.read()
    assert demo.returncode != 0
    assert set(PLACE.glob("jobworker-demo.*")) == before
