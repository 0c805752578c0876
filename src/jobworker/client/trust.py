"""The trust of the client: one CA, one name, TLS 1.3; and the errors where it has none."""

from __future__ import annotations

import socket
import ssl

from jobworker.client.failures import Untrusted
from jobworker.errors import ConfigurationInvalid, ServerUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.client.profiles import Profile

# OpenSSL's verdicts, as verify_code gives them (x509_vfy.h).
_NOT_YET_VALID = 9
_EXPIRED = 10
_WRONG_NAMES = (62, 64)


def make_context(profile: Profile) -> ssl.SSLContext:
    """TLS that trusts the profile's CA alone; raises ``ConfigurationInvalid``.

    Made by hand and not by ``ssl.create_default_context``, which would also trust the
    system's CAs and write session secrets where ``SSLKEYLOGFILE`` says.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # requires a certificate and checks its name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cafile=profile.ca)
    except ssl.SSLError:
        raise _unusable_ca(profile, "it holds no certificate") from None
    except OSError as error:
        raise _unusable_ca(profile, str(error.strerror)) from None
    return context


def _unusable_ca(profile: Profile, reason: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"cannot use the CA certificate {profile.ca} of profile {profile.name!r}: {reason}",
        hint="copy the server's CA certificate there, or have the profile stored anew",
        field="ca",
    )


def explain(error: OSError, profile: Profile) -> ServerUnreachable:
    """The error that says why there is no connection that the token may be sent over."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason, hint = _explain_certificate(error, profile)
        return Untrusted(f"cannot trust {profile.server}: {reason}", hint=hint)
    reason, hint = _explain_connection(error)
    return ServerUnreachable(f"cannot reach {profile.server}: {reason}", hint=hint)


def _explain_certificate(
    error: ssl.SSLCertVerificationError, profile: Profile
) -> tuple[str, str | None]:
    code = error.verify_code
    if code == _EXPIRED:
        return "its certificate has expired", "have the server's certificate renewed"
    if code == _NOT_YET_VALID:
        return (
            "its certificate is not yet valid",
            "compare the clocks of this machine and the server",
        )
    if code in _WRONG_NAMES:
        return (
            f"its certificate is for another name ({error.verify_message})",
            "use an address that the certificate holds, in the profile or JOBCTL_SERVER",
        )
    reason = (
        f"its certificate does not come from the CA of profile {profile.name!r}, "
        f"{profile.ca} ({error.verify_message})"
    )
    return reason, (
        "another server may be answering there; where the server was set up anew, "
        "have the profile stored anew"
    )


def _explain_connection(error: OSError) -> tuple[str, str | None]:
    if isinstance(error, ssl.SSLError):
        return "what answers there does not speak TLS 1.3", "check the address of the profile"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved ({error.strerror})", "check the address of the profile"
    if isinstance(error, TimeoutError):
        return "it did not answer in time", "check the address, and firewalls in between"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused", "check that jobd is running there: jobd serve"
    return error.strerror or str(error) or type(error).__name__, None
