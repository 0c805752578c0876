"""Makes keys and certificates: P-256, one local CA, one server certificate from it.

Everything goes in and out as PEM. This is the only module that imports
``cryptography``; ``tls.files`` imports it when something has to be made.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=825)
"""The longest that Apple's clients accept of any CA. A renewal costs clients their
connections, so the longest is the best."""

CLOCK_SKEW = timedelta(days=1)
"""The most that a client's clock may be behind: certificates are valid from that long ago."""


def make_key() -> bytes:
    """Makes a private key; nothing encrypts it but the mode of its file."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def make_ca(key: bytes, now: datetime | None = None) -> bytes:
    """Makes a CA certificate of ``key``; raises ``ValueError`` for what is no such key."""
    private = _load_key(key)
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    # Two CAs never share a name: a verifier that knows both must not try the wrong one.
    name = _name(f"jobd CA {identifier.digest.hex()[:16]}")
    builder = _builder(name, name, private.public_key(), CA_LIFE, now or datetime.now(UTC))
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def make_server(
    ca_key: bytes, ca: bytes, names: Iterable[str], now: datetime | None = None
) -> bytes:
    """Makes a key and a certificate for ``names`` (DNS names and addresses), in one PEM text.

    It ends no later than the CA. Raises ``ValueError`` for a CA that is damaged or
    has ended.
    """
    issuer, issuer_key = x509.load_pem_x509_certificate(ca), _load_key(ca_key)
    if issuer.public_key() != issuer_key.public_key():
        raise ValueError("the CA's key does not belong to the CA's certificate")
    now = now or datetime.now(UTC)
    if issuer.not_valid_after_utc <= now:
        raise ValueError(f"it ended on {issuer.not_valid_after_utc:%Y-%m-%d}")
    key = make_key()
    public = _load_key(key).public_key()
    life = min(SERVER_LIFE, issuer.not_valid_after_utc - now + CLOCK_SKEW)
    certificate = (
        _builder(_name("jobd server"), issuer.subject, public, life, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_authority_identifier(issuer), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return key + certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    life: timedelta,
    now: datetime,
) -> x509.CertificateBuilder:
    begin = now - CLOCK_SKEW
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    subject = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not a key of an elliptic curve")  # noqa: TRY004 - from a file
    return key
