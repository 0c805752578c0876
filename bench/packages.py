"""Install the programs of the peers, where that disturbs nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_POLICY = Path("/usr/sbin/policy-rc.d")


def missing(programs: Mapping[str, str]) -> str | None:
    """Why some of ``programs`` are not there, after an attempt to install their packages.

    None where all are. A package of a server would start it for everybody, so it is
    installed only where a policy keeps it from that, as in containers.
    """
    wanted = [package for name, package in programs.items() if not shutil.which(name, path=PATH)]
    if not wanted:
        return None
    names = " and ".join(wanted)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return f"{names} cannot be installed without root and apt-get"
    if not _POLICY.exists():
        return (
            f"{names} would start a server for everybody, as there is no {_POLICY}; "
            "install it yourself"
        )
    done = subprocess.run(
        ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *wanted],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"cannot install {names}: {done.stderr.strip()[-200:]}" if done.returncode else None
