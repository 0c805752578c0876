"""Programs that run whatever they are told: a rule that allows one allows everything. Pure."""

from __future__ import annotations

from jobworker.policy.patterns import matches

INTERPRETERS = (
    # Shells, and what runs the command that it is given
    "sh", "bash", "dash", "zsh", "ksh*", "fish", "busybox", "env", "nice", "nohup", "timeout",
    "xargs", "time", "setsid", "stdbuf", "script", "watch", "parallel", "taskset", "ionice",
    "chroot", "unshare", "nsenter", "setpriv", "sudo", "su", "runuser", "strace", "gdb", "ld.so",
    "ld-linux*", "flock", "socat", "ssh", "scp", "sftp", "systemd-run", "at", "batch", "crontab",
    # Languages
    "python*", "perl*", "ruby*", "node", "nodejs", "deno", "bun", "lua*", "php*", "java", "tclsh*",
    "guile*", "Rscript", "R", "julia", "awk", "mawk", "gawk", "nawk", "bc", "dc", "sed", "m4",
    # Tools with a way to run something else
    "find", "tar", "vi", "vim*", "nvim", "emacs*", "ed", "ex", "less", "more", "man", "git", "make",
    "cpio", "zip", "rsync", "gcc*", "cc", "expect", "sqlite3", "psql", "mysql", "docker", "podman",
)  # fmt: skip
"""Patterns of file names. GTFOBins (gtfobins.github.io) has a longer list, and how."""


def interpreter_of(program: str) -> str | None:
    """The file name of a program by which anything can be run, or None."""
    name = program.rpartition("/")[2]
    return name if any(matches(pattern, name) for pattern in INTERPRETERS) else None
