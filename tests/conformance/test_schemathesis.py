"""The server does what its OpenAPI document says, by thousands of requests made from it.

``schemathesis.toml`` says which checks, and ``hooks.py`` what more. More requests for a
long look: ``JOBWORKER_CONFORMANCE_EXAMPLES=1000 scripts/test tests/conformance``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.jobd import Jobd, MakeJobd

HERE = Path(__file__).parent
EXAMPLES = os.environ.get("JOBWORKER_CONFORMANCE_EXAMPLES", "50")
"""Requests that are made up for each route, beside those for each bound of its schema."""

BUDGET = 60 + 5 * int(EXAMPLES)
"""Seconds: some ten times what it takes on a machine with nothing else to do."""

ONLY_TRUE = """
[policy]
default = "deny"
[[policy.rules]]
name = "harmless"
action = "allow"
programs = ["/usr/bin/true"]
"""
"""Whatever is asked for, /bin/true is all that runs."""


@pytest.fixture
def harmless(make_jobd: MakeJobd, tmp_path: Path) -> Jobd:
    config = tmp_path / "jobd.toml"
    config.write_text(ONLY_TRUE)
    jobd = make_jobd("--config", str(config))
    assert jobd.jobd("user", "add", "tester").returncode == 0
    return jobd


def test_schemathesis_finds_nothing(harmless: Jobd, tmp_path: Path) -> None:
    token = harmless.succeed("token", "print", user="tester").strip()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", str(HERE / "schemathesis.toml"), "run", "--no-color"),
            *("--tls-verify", harmless.succeed("ca").strip()),
            *("--max-examples", EXAMPLES, f"{harmless.url}/openapi.json"),
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        env=harmless.environ | {"JOBD_TOKEN": token, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")},
        timeout=BUDGET,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout, f"{phase} did not run:\n{done.stdout}"
    assert "Selected: 0" not in done.stdout
    assert "Traceback" not in harmless.log.read_text()
    jobs = harmless.succeed("list", "-q", "--all").split()
    assert jobs, "no start has been allowed, so little has been tested"
