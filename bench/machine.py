"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def facts() -> dict[str, str]:
    """By name; nothing here names a path or a host."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "kernel": f"Linux {os.uname().release}",
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "Python": platform.python_version(),
        "disk": f"{_run('stat', '-f', '-c', '%T', '/var/tmp')} (/var/tmp)",
        "account": "root" if os.geteuid() == 0 else "an ordinary user",
        "load before": f"{os.getloadavg()[0]:.1f} (one minute)",
    }


def _commit() -> str:
    try:
        commit = _run("git", "-C", str(_ROOT), "rev-parse", "--short", "HEAD")
        changed = _run("git", "-C", str(_ROOT), "status", "--porcelain", "--", "src", "bench")
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown: no git, or not a checkout of this account"
    return f"{commit} with changes that are not committed" if changed else commit


def _cpu_model() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
