"""The first process of the kernel that ``support.kernel`` boots: prepare, run, report, power off.

It is given a directory with ``request.json``: what to run, and what depends on the way to
boot, which is how the terminals and the disk are called and where there are modules. The
root file system is the host's, read-only, so whatever tests write to is covered with a file
system of this kernel's own: nothing that happens in here reaches the host, but for what the
terminals carry.

Standard library only, as it is run with ``python -I -S``.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import stat
import struct
import sys
import tty
from pathlib import Path
from typing import Any

_CGROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = "+memory +cpu +pids"
_DELEGATED_FILES = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
"""What a delegate must own, the directory itself and no limit (cgroups(7))."""

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_FINIT_MODULE = 313  # on x86_64, the only machine that has such a kernel
_RB_POWER_OFF = 0x4321_FEDC

_libc = ctypes.CDLL(None, use_errno=True)


def main(directory: str) -> None:
    """Run what is asked for, as the first process; never returns."""
    request = json.loads(Path(directory, "request.json").read_text())
    _end_everything_after(request["budget"])
    _mount_all(request)
    socket.sethostname("kernel")
    _bring_up_loopback()
    cgroup = _delegate(request["user"])
    command = os.fork()
    if command == 0:
        _become(request, cgroup)
    status = _reap_until_end_of(command)
    os.write(_terminal(request["terminals"][1]), b"%d\n" % os.waitstatus_to_exitcode(status))
    _power_off()


def _mount_all(request: dict[str, Any]) -> None:
    checkout = Path(request["checkout"])
    _mount("proc", "/proc")
    _mount("sysfs", "/sys")
    # As systemd mounts it.
    _mount("cgroup2", str(_CGROUPS), "nsdelegate,memory_recursiveprot")
    for name in ("pts", "shm"):
        Path("/dev", name).mkdir(exist_ok=True)
    _mount("devpts", "/dev/pts", "ptmxmode=666")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path("/dev", name).symlink_to(f"/proc/self/fd/{number}")
    Path("/dev/fd").symlink_to("/proc/self/fd")
    kept = os.open(checkout, os.O_PATH)
    for path in _closed_to_others(checkout):
        _cover(path, "0755", checkout, kept)
    _cover(Path("/run"), "0755", checkout, kept)
    for path in map(Path, ("/tmp", "/var/tmp", "/dev/shm")):
        _cover(path, "1777", checkout, kept)
    if request["tmp"]:
        _put_disk_on(Path("/tmp"), request)
        _keep(checkout, Path("/tmp"), kept)
    os.close(kept)


def _closed_to_others(checkout: Path) -> list[Path]:
    """Directories, as /root, through which an unprivileged user cannot get to the checkout."""
    return [path for path in reversed(checkout.parents) if not path.stat().st_mode & stat.S_IXOTH]


def _cover(path: Path, mode: str, checkout: Path, kept: int) -> None:
    """Put an empty file system over ``path``; where the checkout is below it, it stays there."""
    _mount("tmpfs", str(path), f"mode={mode}")
    _keep(checkout, path, kept)


def _keep(checkout: Path, path: Path, kept: int) -> None:
    if checkout.is_relative_to(path):
        checkout.mkdir(parents=True)
        _mount("bind", str(checkout), source=f"/proc/self/fd/{kept}")


def _put_disk_on(path: Path, request: dict[str, Any]) -> None:
    kind, options = request["tmp"]
    if kind == "ext4" and request["modules"]:
        for name in ("quota_tree", "quota_v2"):
            _load(Path(request["modules"], os.uname().release, f"kernel/fs/quota/{name}.ko"))
    _mount(kind, str(path), options, source=request["disk"])
    path.chmod(0o1777)


def _load(module: Path) -> None:
    descriptor = os.open(module, os.O_RDONLY)
    if _libc.syscall(_FINIT_MODULE, descriptor, b"", 0) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), f"load {module}")
    os.close(descriptor)


def _mount(kind: str, target: str, data: str = "", source: str = "none") -> None:
    bind = 4096 if kind == "bind" else 0
    words = [os.fsencode(word) for word in (source, target, kind)]
    if _libc.mount(*words, ctypes.c_ulong(bind), os.fsencode(data)) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), f"mount {kind} on {target}")


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))


def _delegate(user: int) -> Path:
    """The cgroup to run in: root's is the root, another user has one below of its own."""
    (_CGROUPS / "cgroup.subtree_control").write_text(_CONTROLLERS)
    if user == 0:
        return _CGROUPS
    cgroup = _CGROUPS / "alice"
    cgroup.mkdir()
    for name in _DELEGATED_FILES:
        os.chown(cgroup / name, user, user)
    return cgroup


def _become(request: dict[str, Any], cgroup: Path) -> None:
    """In the child: be the user, in the cgroup, with the output as terminal; and execute."""
    (cgroup / "cgroup.procs").write_text("0")
    user: int = request["user"]
    home = Path(request["environ"]["HOME"])
    home.mkdir(mode=0o700)
    os.chown(home, user, user)
    output = _terminal(request["terminals"][0])
    os.fchown(output, user, user)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, 256)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python has ignored them
        signal.signal(number, signal.SIG_DFL)
    os.chdir(request["checkout"])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    try:
        os.execvpe(request["command"][0], request["command"], request["environ"])
    except OSError as error:
        os.write(2, f"cannot execute {request['command'][0]}: {error}\n".encode())
    os._exit(127)


def _terminal(path: str) -> int:
    """A terminal that passes bytes on as they are."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    return descriptor


def _reap_until_end_of(command: int) -> int:
    while True:
        pid, status = os.wait()
        if pid == command:
            return status


def _end_everything_after(seconds: int) -> None:
    """Power off when the budget is used up, should nobody be left outside to see to it."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: _power_off())
    signal.alarm(seconds)


def _power_off() -> None:
    sys.stderr.flush()
    _libc.reboot(_RB_POWER_OFF)


try:
    main(*sys.argv[1:])
except BaseException as error:  # noqa: BLE001 - the end of a first process is a panic
    sys.excepthook(type(error), error, error.__traceback__)
finally:
    _power_off()
