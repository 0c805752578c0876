"""A server whose certificate is renewed while it serves (T73)."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobworker.api.dispatch import Dispatcher
from jobworker.api.routes import ROUTES
from jobworker.api.server.https import HttpsServer
from jobworker.api.service import Service
from jobworker.config.settings import Address
from jobworker.daemon import renewal
from jobworker.identity.users import User
from jobworker.model import Role, Spec
from jobworker.tls import issuing
from jobworker.tls.files import TlsFiles, names_for, provide
from support.managed import PATIENCE, Accounts, open_managed
from support.waiting import until

LOOPBACK = "127.0.0.1"
OFTEN = 0.01
"""Seconds between two looks, in the place of a day."""


def about_to_end(directory: Path) -> TlsFiles:
    """Files with a certificate that ends in a week."""
    files = provide(directory, LOOPBACK)
    begin = datetime.now(UTC) - issuing.SERVER_LIFE + issuing.CLOCK_SKEW + timedelta(days=7)
    key, ca = files.ca_key.read_bytes(), files.ca.read_bytes()
    files.server.write_bytes(issuing.make_server(key, ca, sorted(names_for(LOOPBACK)), begin))
    return files


@pytest.fixture(scope="module", autouse=True)
def _once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Serve once: tokio opens a pair of sockets for signals and keeps it with the process."""

    async def serve() -> None:
        files = provide(tmp_path_factory.mktemp("once") / "tls", LOOPBACK)
        async with open_managed() as managed:
            app = Dispatcher(Service(managed.manager, Accounts({})), ROUTES)
            server = await HttpsServer.start(app, Address(LOOPBACK, 0), files.server, files.server)
            await server.stop()

    asyncio.run(serve())


class Client:
    """A client that trusts the CA; its calls block."""

    def __init__(self, server: HttpsServer, files: TlsFiles) -> None:
        self._port = server.address.port
        self._context = ssl.create_default_context(cafile=str(files.ca))

    def connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(
            LOOPBACK, self._port, timeout=PATIENCE, context=self._context
        )
        connection.connect()
        return connection

    def days_left(self) -> float:
        with closing(self.connect()) as connection:
            assert isinstance(connection.sock, ssl.SSLSocket)
            certificate = connection.sock.getpeercert()
        assert certificate
        end = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        return (end - datetime.now(UTC).timestamp()) / 86_400

    def get(self, path: str, sent: threading.Event) -> int:
        with closing(self.connect()) as connection:
            connection.request("GET", path, headers={"Authorization": "Bearer alice"})
            sent.set()
            return connection.getresponse().status


async def test_a_certificate_is_renewed_in_place_and_no_request_is_cut(tmp_path: Path) -> None:
    files = about_to_end(tmp_path / "tls")
    async with open_managed() as managed:
        users = {"alice": User("alice", Role.USER)}
        app = Dispatcher(Service(managed.manager, Accounts(users)), ROUTES)
        server = await HttpsServer.start(app, Address(LOOPBACK, 0), files.server, files.server)
        client = Client(server, files)
        assert await asyncio.to_thread(client.days_left) < 8
        job_id, sent = await managed.start(Spec("/bin/sleep")), threading.Event()
        waiting = asyncio.create_task(
            asyncio.to_thread(client.get, f"/jobs/{job_id}?wait=60", sent)
        )
        await asyncio.to_thread(sent.wait)
        with renewal.renewing(files, LOOPBACK, server.renew, OFTEN):
            await asyncio.to_thread(until, lambda: client.days_left() > 8)
        managed.engine.exit(job_id)
        assert await waiting == 200
        # The old one has left now: nobody is shown its certificate any more.
        await asyncio.to_thread(until, lambda: "retiring" not in repr(server))
        assert await asyncio.to_thread(client.days_left) > 800
        await server.stop()


async def test_a_renewal_that_fails_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = about_to_end(tmp_path / "tls")
    key = files.ca_key.rename(tmp_path / "key")
    renewed = asyncio.Event()
    with renewal.renewing(files, LOOPBACK, renewed.set, OFTEN):
        await asyncio.to_thread(until, lambda: "cannot renew the server's" in caplog.text)
        assert not renewed.is_set()
        key.rename(files.ca_key)
        async with asyncio.timeout(PATIENCE):
            await renewed.wait()
