"""The encrypted connection to the broker: own authority, client certificate, and errors in words."""

import ssl
from pathlib import Path
from typing import Any

from .config import Mqtt
from .errors import ConfigError


def wanted(config: Mqtt) -> bool:
    """Whether the connection is to be encrypted."""
    return config.url.startswith("mqtts:")


def context(config: Mqtt) -> ssl.SSLContext:
    """TLS 1.2 or later; the broker's certificate and name are always verified. Raises ConfigError."""
    try:
        result = ssl.create_default_context(cafile=_path(config.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{config.ca_file}: no certificate can be read there ({_reason(error)}): mend [mqtt] ca_file"
        ) from None
    result.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.cert_file:
        try:
            result.load_cert_chain(_path(config.cert_file) or "", _path(config.key_file), password="")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{config.cert_file}, {config.key_file}: not a certificate and its key without a password "
                f"({_reason(error)}): mend [mqtt] cert_file and key_file"
            ) from None
    return result


def explain(where: str, error: ssl.SSLError) -> str:
    """Why the connection could not be encrypted, with the mend."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{where} shows a certificate that cannot be trusted ({error.verify_message}): "
            "is [mqtt] ca_file its authority's, and is the host in [mqtt] url the one it was issued for?"
        )
    if "CERTIFICATE_REQUIRED" in str(error) or "HANDSHAKE_FAILURE" in str(error):
        return f"{where} wants a certificate of the gateway: set [mqtt] cert_file and key_file"
    return f"{where} does not speak TLS ({_reason(error)}): is the port in [mqtt] url the encrypted one?"


def pending(wire: Any) -> bool:
    """Whether bytes have been decrypted that nobody has read yet."""
    return isinstance(wire, ssl.SSLSocket) and wire.pending() > 0


def _path(name: str) -> str | None:
    return str(Path(name).expanduser()) if name else None


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
