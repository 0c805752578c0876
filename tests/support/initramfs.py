"""Writes what takes Debian's kernel from its start to this machine's root file system.

    initramfs.py MODULES BUSYBOX FILE

The kernel has as modules what a virtual machine's root, disk and terminals take. So it
starts with a small root in memory, which loads them, mounts the real one, and hands over to
the first process that the kernel's command line names.
"""

from __future__ import annotations

import gzip
import lzma
import re
import stat
import subprocess
import sys
from pathlib import Path

WANTED = (
    *("virtio_pci", "virtio_console", "virtio_blk", "9pnet_virtio", "9p"),
    *("crc32c_generic", "xfs", "ext4", "quota_v2"),  # the first is used by name, not linked to
)
"""The modules, by the names the kernel gives them; what they depend on comes with them."""

_START = """\
#!/bin/busybox sh
for module in /modules/*; do
    /bin/busybox insmod "$module"
done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 root /root
/bin/busybox mount -t devtmpfs dev /root/dev
exec /bin/busybox switch_root /root "$@"
"""


class Archive:
    """A cpio archive in the "newc" format, as the kernel unpacks it.

    https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._entries = 0

    def add(
        self, name: str, mode: int, content: bytes = b"", *, device: tuple[int, int] = (0, 0)
    ) -> None:
        """Add a file of any kind."""
        self._entries += 1
        words = name.encode() + b"\0"
        numbers = (self._entries, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(words), 0)
        self._append(b"070701" + b"".join(b"%08X" % number for number in numbers) + words)
        self._append(content)

    def finish(self) -> bytes:
        """The whole archive."""
        self.add("TRAILER!!!", 0)
        return bytes(self._bytes)

    def _append(self, content: bytes) -> None:
        self._bytes += content
        self._bytes += bytes(-len(self._bytes) % 4)


def in_order(modules: Path) -> dict[str, bytes]:
    """What is wanted and what that depends on, by name, in the order in which to load it.

    A name that has no file is built in.
    """
    files = {_name(file): file for file in modules.rglob("*.ko*")}
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in found or name not in files:
            return
        content = _unpacked(files[name])
        said = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in said[1].decode().split(",") if said else ():
            add(other.replace("-", "_"))
        found[name] = content

    for name in WANTED:
        add(name)
    return found


def _name(module: Path) -> str:
    return module.name.partition(".")[0].replace("-", "_")


def _unpacked(module: Path) -> bytes:
    content = module.read_bytes()
    match module.suffix:
        case ".xz":
            return lzma.decompress(content)
        case ".gz":
            return gzip.decompress(content)
        case ".zst":  # as Ubuntu has them; Python knows it from 3.14 on
            return subprocess.run(
                ["zstd", "-dc"], input=content, stdout=subprocess.PIPE, check=True
            ).stdout
        case ".ko":
            return content
    raise ValueError(f"cannot unpack {module}: its ending is not known")


def main(modules: str, busybox: str, target: str) -> None:
    """Write the archive."""
    archive = Archive()
    for name in ("bin", "dev", "modules", "root"):
        archive.add(name, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, Path(busybox).read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, _START.encode())
    for number, content in enumerate(in_order(Path(modules)).values()):
        archive.add(f"modules/{number:03}", stat.S_IFREG | 0o644, content)
    Path(target).write_bytes(archive.finish())


if __name__ == "__main__":
    main(*sys.argv[1:])
