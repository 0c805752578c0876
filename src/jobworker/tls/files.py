"""The server's certificate and the local CA that it comes from, as files.

``ca.pem`` is what clients trust, ``ca.key`` signs, and ``server.pem`` holds the
server's key and certificate in one file, so that a crash cannot leave a key beside the
certificate of another. Whether ``server.pem`` will do is found out by a handshake with
ourselves: as a client will see it, and without a library that only issuing needs.
"""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import re
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobworker import atomic_file
from jobworker.errors import StateUnusable

RENEW_BEFORE = 30 * 86_400
"""Seconds before its end that a certificate is renewed."""

_DNS_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
_SIOCGIFADDR = 0x8915
_LINK_LOCAL = "20"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of keys and certificates."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The CA's certificate, which clients trust; no secret."""
        return self.directory / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The CA's private key."""
        return self.directory / "ca.key"

    @property
    def server(self) -> Path:
        """The server's private key and its certificate."""
        return self.directory / "server.pem"


@dataclass(frozen=True, slots=True)
class _Shown:
    """The certificate that a client of the CA sees: names, the end in seconds since 1970."""

    names: frozenset[str]
    ends: float


def provide(directory: Path, host: str) -> TlsFiles:
    """Makes the files that are missing in ``directory``, and renews what will not do for ``host``.

    ``host`` is what the server listens on. Done again after a crash half-way, it goes
    on from there. Raises ``StateUnusable`` where the CA cannot be used.
    """
    files = TlsFiles(directory)
    directory.mkdir(mode=0o700, exist_ok=True)
    renew(files, host)
    return files


def renew(files: TlsFiles, host: str) -> bool:
    """Makes another server certificate where the present one will not do; tells whether it did.

    Raises ``StateUnusable`` where the CA cannot be used, and ``OSError``. Blocks.
    """
    wanted = names_for(host)
    why = _why_not(files, wanted)
    if not why:
        return False
    _make(files, wanted | _qualified_name())
    shown = _verified(files)
    _log.info("made a server certificate: %s", why, extra={"names": sorted(shown.names)})
    _warn_of_old_ca(files, shown)
    return True


def names_for(host: str) -> frozenset[str]:
    """The names and addresses that a server listening on ``host`` is called by."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname()}
    if host == "::":
        names |= _addresses_v4() | _addresses_v6()
    elif host == "0.0.0.0":  # noqa: S104 - compared, not bound
        names |= _addresses_v4()
    else:
        names.add(host.partition("%")[0])  # a zone is no part of an address in a certificate
    return frozenset(filter(None, map(_canonical, names)))


def _why_not(files: TlsFiles, wanted: frozenset[str]) -> str | None:
    """The reason why the server needs another certificate, or None where it does not."""
    if not files.server.exists() or not files.ca.exists():
        return "there was none"
    try:
        shown = _show(files)
    except (ssl.SSLError, OSError) as error:
        return f"the old one cannot be used: {_reason(error)}"
    if shown.ends - time.time() < RENEW_BEFORE:
        return "the old one ends soon"
    missing = wanted - shown.names
    return f"the old one lacks {', '.join(sorted(missing))}" if missing else None


def _make(files: TlsFiles, names: frozenset[str]) -> None:
    # cryptography takes 50 ms and 8 MB, for nothing at most starts.
    from jobworker.tls import issuing as authority  # noqa: PLC0415

    if files.ca.exists() and not files.ca_key.exists():
        raise _unusable(files, f"its key {files.ca_key} is missing")
    try:
        if not files.ca_key.exists():
            atomic_file.replace(str(files.ca_key), authority.make_key())
        key = files.ca_key.read_bytes()
        if not files.ca.exists():
            atomic_file.replace(str(files.ca), authority.make_ca(key))
        server = authority.make_server(key, files.ca.read_bytes(), sorted(names))
        atomic_file.replace(str(files.server), server)
    except ValueError as error:
        raise _unusable(files, str(error)) from error


def _verified(files: TlsFiles) -> _Shown:
    try:
        return _show(files)
    except ssl.SSLError as error:
        raise _unusable(files, _reason(error)) from error


def _unusable(files: TlsFiles, why: str) -> StateUnusable:
    return StateUnusable(
        f"cannot make a server certificate with the CA {files.ca}: {why}",
        hint=f"restore {files.directory} from a backup; or move it away, which makes a new CA, "
        "and have every client's profile stored anew",
    )


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.strerror or str(error)


def _warn_of_old_ca(files: TlsFiles, shown: _Shown) -> None:
    """A certificate that is new and still ends soon has been cut short by its CA."""
    if shown.ends - time.time() < RENEW_BEFORE:
        _log.warning(
            "the CA %s ends soon; move %s away to have a new one made at the next start, "
            "and store every client's profile anew",
            files.ca,
            files.directory,
        )


def _show(files: TlsFiles) -> _Shown:
    """Shake hands in memory; raises ``ssl.SSLError`` where a client would refuse to."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 and later do by default
    client.load_verify_locations(files.ca)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    _advance(theirs)
    _advance(ours)
    theirs.do_handshake()
    return _shown(theirs.getpeercert() or {})


def _shown(certificate: Mapping[str, Any]) -> _Shown:
    names = (_canonical(name) for _, name in certificate["subjectAltName"])
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    return _Shown(frozenset(filter(None, names)), ends)


def _advance(side: ssl.SSLObject) -> None:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return


def _canonical(name: str) -> str | None:
    """An address or a DNS name in the one form that compares; None for neither."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        lower = name.lower().rstrip(".")
        return lower if len(lower) < 254 and _DNS_NAME.fullmatch(lower) else None


def _qualified_name() -> frozenset[str]:
    """The machine's name with its domain: asks the resolver, which may take seconds."""
    name = _canonical(socket.getfqdn())
    return frozenset((name,)) if name else frozenset()


def _addresses_v4() -> set[str]:
    """The IPv4 address of each interface that has one (netdevice(7))."""
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                answer = fcntl.ioctl(asker, _SIOCGIFADDR, request)
            except OSError:  # this one has none
                continue
            found.add(socket.inet_ntoa(answer[20:24]))
    return found


def _addresses_v6() -> set[str]:
    """The IPv6 addresses of this machine that need no zone (proc(5), if_inet6)."""
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:  # a kernel without IPv6
        return set()
    rows = (line.split() for line in lines)
    return {str(ipaddress.ip_address(bytes.fromhex(r[0]))) for r in rows if r[3] != _LINK_LOCAL}
