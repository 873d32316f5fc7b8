"""The password and the certificates for a broker."""

from __future__ import annotations

import ssl
from pathlib import Path

from pocketsight.device.errors import ServeError

# By OpenSSL's codes for an invalid certificate, X509_V_ERR_*.
CERTIFICATE_HINTS = {
    9: "is the clock of this machine right?",
    10: "it must be renewed",
    62: "use the host name in the certificate",
    64: "use the host name in the certificate",
}


def read_password(path: Path) -> str:
    """The password in the first line of a file. Raises ServeError."""
    try:
        line = path.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ServeError(f"the password in {path} cannot be read: {reason}") from error
    if not line:
        raise ServeError(f"{path} contains no password in its first line")
    return line


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that trusts `ca_file`, or else the system's authorities, and checks host names. Raises ServeError."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = "it contains no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ServeError(f"{ca_file} cannot be used as --mqtt-ca-file: {reason}") from error


def describe_certificate_error(error: ssl.SSLCertVerificationError) -> str:
    """Why a certificate is not trusted, and what to do."""
    hint = CERTIFICATE_HINTS.get(error.verify_code, "set its certificate authority by --mqtt-ca-file")
    return f"the broker's certificate is not trusted: {error.verify_message.rstrip('.')}; {hint}"
