"""The ways to boot a kernel of our own, and the first of them that works on this machine.

Processor and host decide which does: user-mode Linux panics where the processor has more
state to save than it knows of, and a /dev/kvm may be there and never run an instruction.
So a way is tried by booting it. ``JOBWORKER_KERNEL`` names the one to take instead.

* ``kvm``: a virtual machine of QEMU's, run by the processor;
* ``uml``: user-mode Linux, a kernel built as a program (Debian's ``user-mode-linux``);
* ``tcg``: the same virtual machine emulated, which any processor can do.

``scripts/kernel`` brings what they take.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FORCED = "JOBWORKER_KERNEL"

_UML, _QEMU = "linux.uml", "qemu-system-x86_64"
_UNPACKED = Path(__file__).resolve().parents[2] / ".kernel"
_IMAGE, _INITRAMFS = _UNPACKED / "vmlinuz", _UNPACKED / "initramfs"
_MEMORY = "1G"
"""Of which only what is used takes space on the host."""


@dataclass(frozen=True)
class Boot:
    """What a kernel starts with: a directory of its own, its first process, terminals, a disk.

    The terminals are descriptors of files, so that all that was written to them is there
    whatever the end is: one for what the command prints, one for its exit code.
    """

    scratch: Path
    init: Path
    output: int
    status: int
    disk: Path | None = None


@dataclass(frozen=True)
class Way:
    """A way to boot: what it takes, how to go it, and what is different inside."""

    name: str
    needs: tuple[str, ...]
    """Programs and files."""
    command: Callable[[Boot], list[str]]
    patience: int
    """Seconds for a boot that does nothing, ten times what it takes here."""
    slowness: int
    """How many times the budget of a run in user mode a run may take."""
    terminals: tuple[str, str]
    disk: str
    modules: str | None = None
    """The directory of the modules that are loaded only when they are wanted."""

    def missing(self) -> str | None:
        """The first thing it needs that this machine lacks."""
        return next((name for name in self.needs if not shutil.which(name, os.F_OK)), None)


def _user_mode(boot: Boot) -> list[str]:
    return [
        *(_UML, "rootfstype=hostfs", "rootflags=/", "ro", f"mem={_MEMORY}", f"init={boot.init}"),
        *(f"uml_dir={boot.scratch}", "umid=kernel", "con=null", "con0=null,fd:1"),
        *(f"con1=null,fd:{boot.output}", f"con2=null,fd:{boot.status}"),
        *([f"ubd0={boot.disk}"] if boot.disk else ()),
    ]


def _virtual_machine(boot: Boot, *accelerator: str) -> list[str]:
    drive = f"file={boot.disk},if=virtio,format=raw,cache=unsafe"
    return [
        *(_QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *(*accelerator, "-m", _MEMORY, "-kernel", str(_IMAGE), "-initrd", str(_INITRAMFS)),
        # Nothing but the tests runs inside, so no process there needs a wall to the next.
        *("-append", f"console=ttyS0 panic=-1 mitigations=off -- {boot.init}"),
        *("-serial", "stdio", "-device", "virtio-serial-pci"),
        *(_virtual_terminal(boot.output) + _virtual_terminal(boot.status)),
        *("-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
        *(["-drive", drive] if boot.disk else ()),
    ]


def _virtual_terminal(descriptor: int) -> list[str]:
    """A terminal whose bytes are in the file before a write to it returns."""
    name = f"fd{descriptor}"
    return [
        *("-chardev", f"file,id={name},path=/dev/fd/{descriptor}"),
        *("-device", f"virtconsole,chardev={name}"),
    ]


def _by_processor(boot: Boot) -> list[str]:
    return _virtual_machine(boot, "-accel", "kvm", "-cpu", "host")


def _emulated(boot: Boot) -> list[str]:
    return _virtual_machine(boot, "-accel", "tcg", "-cpu", "max")


_MACHINE = (_QEMU, str(_IMAGE), str(_INITRAMFS))
_VIRTUAL = ("/dev/hvc0", "/dev/hvc1")
WAYS = {
    way.name: way
    for way in (
        Way("kvm", ("/dev/kvm", *_MACHINE), _by_processor, 20, 1, _VIRTUAL, "/dev/vda"),
        Way(
            *("uml", (_UML,), _user_mode, 20, 1, ("/dev/tty1", "/dev/tty2"), "/dev/ubda"),
            modules="/usr/lib/uml/modules",
        ),
        Way("tcg", _MACHINE, _emulated, 60, 2, _VIRTUAL, "/dev/vda"),
    )
}
"""The one to be preferred first."""


def boot(way: Way, start: Boot, log: Path, seconds: int) -> bool:
    """Boot and wait for the end; whether it came within so many seconds. Then all is ended."""
    with log.open("wb") as file:
        kernel = subprocess.Popen(
            way.command(start),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=(start.output, start.status),
            env=os.environ | {"TMPDIR": str(start.scratch)},
            start_new_session=True,
        )
    try:
        return _ends_within(kernel.pid, seconds)
    finally:
        # In user mode each process inside is one outside, and there are helpers: they end
        # together. The first of them is not yet reaped, so that the number is surely theirs.
        os.killpg(kernel.pid, signal.SIGKILL)
        kernel.wait()


def _ends_within(pid: int, seconds: int) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)
