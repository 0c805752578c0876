"""The peer for bytes over TLS: nginx, one worker, serving a file over TLS 1.3.

It sends what lies in a file; it runs nothing, knows no users and follows nothing.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import packages

_CONFIG = """\
daemon off;
master_process off;
worker_processes 1;
error_log {home}/error.log;
pid {home}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {home}/tmp;
    proxy_temp_path {home}/tmp;
    fastcgi_temp_path {home}/tmp;
    uwsgi_temp_path {home}/tmp;
    scgi_temp_path {home}/tmp;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {tls}/server.pem;
        ssl_certificate_key {tls}/server.pem;
        ssl_protocols TLSv1.3;
        root {home}/www;
    }}
}}
"""

_START_BUDGET = 10.0
"""Seconds until nginx listens."""


class Nginx:
    """An nginx that serves one directory, with the certificate of a ``jobd``."""

    def __init__(self, tls: Path) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="nginx-bench-", dir="/var/tmp"))
        self._tls = tls
        self.root = self._home / "www"
        self.url = ""

    def __enter__(self) -> Self:
        port = _free_port()
        for name in ("www", "tmp"):
            (self._home / name).mkdir(mode=0o755)
        self._home.chmod(0o755)
        config = self._home / "nginx.conf"
        config.write_text(_CONFIG.format(home=self._home, port=port, tls=self._tls))
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        assert program, "missing() has been asked"
        self._process = subprocess.Popen(
            [program, "-c", str(config)],
        )
        self.url = f"https://127.0.0.1:{port}"
        deadline = time.monotonic() + _START_BUDGET
        while not _listens(port):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("nginx did not start")
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._home)


def missing() -> str | None:
    """Why this peer cannot be measured here, after an attempt to install it; or None."""
    return packages.missing({"nginx": "nginx-light", "curl": "curl"})


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
