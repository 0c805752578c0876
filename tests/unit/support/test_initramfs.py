"""The initramfs loads what a virtual machine takes, in an order that works."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from support import initramfs


def module(directory: Path, file: str, depends: str = "") -> None:
    content = b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0retpoline=Y\0"
    path = directory / "lib/modules/6.1.0/kernel" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(content) if file.endswith(".xz") else content)


def test_what_a_module_depends_on_is_loaded_before_it(tmp_path: Path) -> None:
    module(tmp_path, "fs/9p/9p.ko", "9pnet,netfs")
    module(tmp_path, "net/9p/9pnet_virtio.ko", "virtio-ring,9pnet")
    module(tmp_path, "net/9p/9pnet.ko")
    module(tmp_path, "fs/netfs/netfs.ko.xz")
    module(tmp_path, "drivers/virtio/virtio-ring.ko")
    module(tmp_path, "drivers/net/e1000.ko")
    found = initramfs.in_order(tmp_path)
    assert list(found) == ["virtio_ring", "9pnet", "9pnet_virtio", "netfs", "9p"]
    assert all(content.startswith(b"\x7fELF") for content in found.values())


def test_a_module_of_unknown_form_is_named(tmp_path: Path) -> None:
    module(tmp_path, "fs/9p/9p.ko.br")
    with pytest.raises(ValueError, match=r"9p\.ko\.br"):
        initramfs.in_order(tmp_path)
