"""scripts/demo, as a newcomer types it."""

from __future__ import annotations

import subprocess
from pathlib import Path

DEMO = Path(__file__).parents[2] / "scripts" / "demo"


def test_the_demo_goes_well() -> None:
    """It checks its own outcomes; the guard of every test checks what it leaves."""
    done = subprocess.run([DEMO], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The demo went well" in done.stdout
