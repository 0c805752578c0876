"""Bearer tokens: ``jw_<id>_<secret><checksum>``.

``id`` is 12 hexadecimal digits and no secret: it names the token in lists and logs.
``secret`` is 256 random bits as 43 characters of base64url. ``checksum`` is the CRC-32
of all that comes before it, as 8 hexadecimal digits: a token that was cut off or
mistyped is refused without a look at the database, and scanners for leaked secrets
recognise one. The server keeps only the SHA-256 of the secret. Nobody can search 256
random bits, so a slow hash would only help an attacker who floods the server with
tokens.
"""

from __future__ import annotations

import re
import secrets
import zlib
from dataclasses import dataclass
from hashlib import sha256

from jobworker.errors import BadAuthentication

_TOKEN = re.compile(r"(jw_([0-9a-f]{12})_([A-Za-z0-9_-]{43}))([0-9a-f]{8})", re.ASCII)
_ANYWHERE = re.compile(r"\bjw_([0-9a-f]{12})_[A-Za-z0-9_-]+", re.ASCII)


class Secret:
    """A text that must not get into logs, tracebacks or messages by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('…')"


@dataclass(frozen=True, slots=True)
class Credential:
    """The server's knowledge of a token: its ID and the SHA-256 of its secret."""

    id: str
    digest: bytes


def mint() -> tuple[Secret, Credential]:
    """Makes a new token, and the credential to keep of it."""
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    body = f"jw_{token_id}_{secret}"
    return Secret(body + _checksum(body)), Credential(token_id, _digest(secret))


def parse(token: str) -> Credential:
    """Takes a token apart; raises ``BadAuthentication`` for any text that ``mint`` cannot make."""
    match = _TOKEN.fullmatch(token)
    if not match:
        raise BadAuthentication
    body, token_id, secret, checksum = match.groups()
    if checksum != _checksum(body):  # no secret, so no need for a constant time
        raise BadAuthentication
    return Credential(token_id, _digest(secret))


def redact(text: str) -> str:
    """``text`` without the secrets of the tokens in it, whole or cut off."""
    return _ANYWHERE.sub(r"jw_\1_…", text) if "jw_" in text else text


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("ascii")).digest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode('ascii')):08x}"
