"""/docs and / in a real browser: whole, quiet, and from this server alone."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.jobd import Jobd

BUDGET = 120.0
"""Seconds for a page: the first start of a browser on a busy machine takes several."""

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def trusted_key(jobd: Jobd) -> str:
    """The digest of the server's key, the one that the browser is to trust.

    To make it trust the authority takes a tool of its own, for a store of its own.
    """
    host, port = jobd.listen.rsplit(":", 1)
    pem = ssl.get_server_certificate((host, int(port)), ca_certs=jobd.succeed("ca").strip())
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode("ascii")


def visit(url: str, key: str, home: Path) -> tuple[str, str, list[str]]:
    """Load a page; what it is then, what the console shows, and every URL that was asked for."""
    log = home / "net.json"
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
            *("--disable-sync", "--disable-default-apps", f"--user-data-dir={home / 'profile'}"),
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            *(f"--ignore-certificate-errors-spki-list={key}", f"--log-net-log={log}"),
            *("--enable-logging=stderr", "--log-level=0", url),
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=BUDGET,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, "\n".join(console), asked_for(json.loads(log.read_text()))


def asked_for(log: dict[str, Any]) -> list[str]:
    """Every URL that a request was begun for on behalf of a page from this machine.

    The browser makes others of its own accord, which find no host.
    """
    begun = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    begins = [each.get("params", {}) for each in log["events"] if each["type"] == begun]
    return [
        params["url"]
        for params in begins
        if "127.0.0.1" in params.get("network_isolation_key", "") and "url" in params
    ]


@pytest.mark.parametrize("path", ["/docs", "/"])
def test_a_page_is_whole_and_fetches_nothing(
    jobd: Jobd, trusted_key: str, tmp_path: Path, path: str
) -> None:
    page, console, urls = visit(f"{jobd.url}{path}", trusted_key, tmp_path)
    assert "Job worker" in page
    assert page.rstrip().endswith("</html>")
    assert console == ""
    assert urls == [f"{jobd.url}{path}"]


class Noisy(BaseHTTPRequestHandler):
    """A page that does what ours must not do."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<img src=http://elsewhere.invalid/x.png><script>nothing()</script>")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
        """Say nothing."""


def test_what_other_pages_do_is_noticed(tmp_path: Path) -> None:
    """The proof that the test above sees what it looks for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Noisy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            _, console, urls = visit(f"http://127.0.0.1:{server.server_port}/", "", tmp_path)
        finally:
            server.shutdown()
            thread.join()
    assert "nothing is not defined" in console
    assert "http://elsewhere.invalid/x.png" in urls
