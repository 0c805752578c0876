"""Use a ready ssh connection as its own client does, but without a new process.

``ssh -S`` is a process for each call, and its start costs as much as the call. To compare
like with like, this speaks to the control socket itself, as PROTOCOL.mux of OpenSSH says:
length-prefixed messages, and the three standard descriptors passed over the socket.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_HELLO, _NEW_SESSION = 0x00000001, 0x10000002
_EXIT, _OPENED = 0x80000004, 0x80000006
_VERSION = 4
_NO_ESCAPE = 0xFFFFFFFF


def run(control: Path, program: str) -> None:
    """Run a program over the connection and wait until it has exited, with code 0."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as master:
        master.connect(str(control))
        _send(master, struct.pack(">II", _HELLO, _VERSION))
        kind, _ = _receive(master)
        assert kind == _HELLO, f"ssh does not say hello: {kind:#x}"
        # request id, reserved, tty, X11, agent, subsystem, escape; terminal, command
        options = struct.pack(">IIIIIII", 0, 0, 0, 0, 0, 0, _NO_ESCAPE)
        command = _string("") + _string(program)
        _send(master, struct.pack(">I", _NEW_SESSION) + options + command)
        _send_standard_streams(master)
        kind, _ = _receive(master)
        assert kind == _OPENED, f"ssh refuses the session: {kind:#x}"
        kind, body = _receive(master)
        assert kind == _EXIT, f"ssh breaks the session: {kind:#x}"
        assert struct.unpack(">II", body)[1] == 0, f"{program} failed"


def _send_standard_streams(master: socket.socket) -> None:
    """One message for each, with a byte, as descriptors cannot travel alone."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        for _ in range(3):
            socket.send_fds(master, [b"\0"], [null])
    finally:
        os.close(null)


def _string(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode()


def _send(control: socket.socket, message: bytes) -> None:
    control.sendall(struct.pack(">I", len(message)) + message)


def _receive(control: socket.socket) -> tuple[int, bytes]:
    """Type and body of the next message."""
    (length,) = struct.unpack(">I", _exactly(control, 4))
    message = _exactly(control, length)
    return struct.unpack(">I", message[:4])[0], message[4:]


def _exactly(control: socket.socket, length: int) -> bytes:
    data = control.recv(length, socket.MSG_WAITALL)
    if len(data) != length:
        raise ConnectionError("ssh closed its control socket")
    return data
