import logging
import os
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from jobworker.errors import StateUnusable
from jobworker.tls import files as tls
from jobworker.tls import issuing
from jobworker.tls.files import TlsFiles, names_for, provide

LOOPBACK = "127.0.0.1"


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return provide(tmp_path / "tls", LOOPBACK)


@pytest.fixture(autouse=True)
def no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer would make these tests slow."""
    monkeypatch.setattr(socket, "getfqdn", lambda: "machine.example")


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """The modes must not depend on it."""
    before = os.umask(0)
    yield
    os.umask(before)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def connect(files: TlsFiles, name: str, ca: Path | None = None) -> str | None:
    """Shake hands as a client that trusts ``ca``; returns the version of TLS."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.server)
    client = ssl.create_default_context(cafile=ca or files.ca)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    for side in (theirs, ours):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    theirs.do_handshake()
    return theirs.version()


@pytest.mark.parametrize("name", ["localhost", LOOPBACK, "::1", "machine.example"])
def test_a_strict_client_trusts_it(files: TlsFiles, name: str) -> None:
    assert connect(files, name) == "TLSv1.3"


def test_another_name_is_not_trusted(files: TlsFiles) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        connect(files, "other.example")


def test_another_ca_is_not_trusted(files: TlsFiles, tmp_path: Path) -> None:
    other = provide(tmp_path / "other", LOOPBACK)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        connect(files, "localhost", ca=other.ca)


def test_keys_and_directory_are_private(files: TlsFiles) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files.directory.iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o600, "server.pem": 0o600}
    assert stat.S_IMODE(files.directory.stat().st_mode) == 0o700


def test_lives_and_keys(files: TlsFiles) -> None:
    ca, server = read(files.ca), read(files.server)
    assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=825)
    assert timedelta(days=3640) < ca.not_valid_after_utc - datetime.now(UTC)
    for certificate in (ca, server):
        public = certificate.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert public.curve.name == "secp256r1"


def test_the_ca_signs_no_other_ca(files: TlsFiles) -> None:
    constraints = read(files.ca).extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)


def test_a_second_start_changes_nothing(files: TlsFiles) -> None:
    before = {path: path.read_bytes() for path in files.directory.iterdir()}
    provide(files.directory, LOOPBACK)
    assert {path: path.read_bytes() for path in files.directory.iterdir()} == before


def test_a_start_that_needs_no_certificate_does_not_import_cryptography(files: TlsFiles) -> None:
    """It takes memory in every server for nothing."""
    program = (
        "import sys, pathlib; from jobworker.tls.files import provide;"
        f"provide(pathlib.Path({str(files.directory)!r}), {LOOPBACK!r});"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("left", [["ca.key"], ["ca.key", "ca.pem"], []])
def test_a_first_start_that_was_killed_is_finished(files: TlsFiles, left: list[str]) -> None:
    for path in files.directory.iterdir():
        if path.name not in left:
            path.unlink()
    (files.directory / ".server.pem").write_text("half")
    provide(files.directory, LOOPBACK)
    assert connect(files, "localhost")
    assert not (files.directory / ".server.pem").exists()


def test_a_new_listen_host_renews_and_keeps_the_ca(files: TlsFiles) -> None:
    ca, server = files.ca.read_bytes(), files.server.read_bytes()
    provide(files.directory, "jobs.example")
    assert connect(files, "jobs.example")
    assert files.ca.read_bytes() == ca
    assert files.server.read_bytes() != server


def issue(files: TlsFiles, days_left: float) -> bytes:
    """Put in place a server certificate that ends that soon."""
    now = datetime.now(UTC) - issuing.SERVER_LIFE + issuing.CLOCK_SKEW
    now += timedelta(days=days_left)
    key, ca = files.ca_key.read_bytes(), files.ca.read_bytes()
    pem = issuing.make_server(key, ca, sorted(names_for(LOOPBACK)), now)
    files.server.write_bytes(pem)
    return pem


@pytest.mark.parametrize(("days_left", "renewed"), [(-1, True), (29, True), (31, False)])
def test_it_is_renewed_when_its_end_is_near(
    files: TlsFiles, days_left: float, *, renewed: bool
) -> None:
    old = issue(files, days_left)
    provide(files.directory, LOOPBACK)
    assert (files.server.read_bytes() != old) is renewed
    assert connect(files, "localhost")


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\0" * 1000])
def test_a_damaged_certificate_is_made_anew(files: TlsFiles, damage: bytes) -> None:
    files.server.write_bytes(damage)
    provide(files.directory, LOOPBACK)
    assert connect(files, "localhost")


def test_a_certificate_of_another_ca_is_made_anew(files: TlsFiles, tmp_path: Path) -> None:
    other = provide(tmp_path / "other", LOOPBACK)
    files.server.write_bytes(other.server.read_bytes())
    provide(files.directory, LOOPBACK)
    assert connect(files, "localhost")


def test_the_ca_is_never_replaced_behind_the_clients_backs(files: TlsFiles) -> None:
    """Without its key nothing can be signed; a new CA would lock every client out."""
    ca = files.ca.read_bytes()
    files.ca_key.unlink()
    provide(files.directory, LOOPBACK)  # nothing to sign, so nothing amiss
    files.server.unlink()
    with pytest.raises(StateUnusable, match=r"cannot make .*ca\.key is missing") as caught:
        provide(files.directory, LOOPBACK)
    assert "backup" in str(caught.value.hint)
    assert files.ca.read_bytes() == ca


@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\xff" * 300])
def test_a_damaged_ca_is_refused_in_words(files: TlsFiles, name: str, damage: bytes) -> None:
    (files.directory / name).write_bytes(damage)
    files.server.unlink()
    with pytest.raises(StateUnusable, match="cannot make a server certificate"):
        provide(files.directory, LOOPBACK)


def test_keys_of_two_cas_do_not_mix(files: TlsFiles, tmp_path: Path) -> None:
    other = provide(tmp_path / "other", LOOPBACK)
    files.ca_key.write_bytes(other.ca_key.read_bytes())
    files.server.unlink()
    with pytest.raises(StateUnusable, match="does not belong"):
        provide(files.directory, LOOPBACK)


def make_ca_that_ends(files: TlsFiles, days: float) -> None:
    now = datetime.now(UTC) - issuing.CA_LIFE + issuing.CLOCK_SKEW + timedelta(days=days)
    files.ca.write_bytes(issuing.make_ca(files.ca_key.read_bytes(), now))
    files.server.unlink()


def test_a_ca_that_ends_soon_cuts_the_certificate_short_and_is_told(
    files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    make_ca_that_ends(files, days=10)
    with caplog.at_level(logging.WARNING):
        provide(files.directory, LOOPBACK)
    assert read(files.server).not_valid_after_utc <= read(files.ca).not_valid_after_utc
    assert "ends soon" in caplog.text


def test_a_ca_that_has_ended_is_refused_in_words(files: TlsFiles) -> None:
    make_ca_that_ends(files, days=-2)
    with pytest.raises(StateUnusable, match="it ended on"):
        provide(files.directory, LOOPBACK)


def test_names_are_those_of_the_machine_and_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Machine")
    always = {"localhost", "127.0.0.1", "::1", "machine"}
    assert names_for("Jobs.Example.") == always | {"jobs.example"}
    assert names_for("fe80::1%eth0") == always | {"fe80::1"}
    assert names_for("0:0::2") == always | {"::2"}


def test_a_wildcard_stands_for_the_machines_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_addresses_v4", lambda: {"192.0.2.1"})
    monkeypatch.setattr(tls, "_addresses_v6", lambda: {"2001:db8::1"})
    assert {"192.0.2.1"} == names_for("0.0.0.0") - names_for(LOOPBACK)
    assert {"192.0.2.1", "2001:db8::1"} == names_for("::") - names_for(LOOPBACK)


def test_the_addresses_of_this_machine_are_found() -> None:
    assert "127.0.0.1" in names_for("0.0.0.0")
    assert tls._addresses_v4() >= {"127.0.0.1"}


@pytest.mark.parametrize("name", ["mächine", "a b", "", "-", "x" * 300])
def test_a_machine_with_an_odd_name_gets_a_certificate_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert connect(provide(tmp_path / "tls", LOOPBACK), "localhost")
