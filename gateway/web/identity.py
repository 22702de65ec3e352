"""Who is at the other end of a connection: what its certificate says, and nothing else.

A caller is the SHA-256 digest of the public key of its certificate. TLS has proved that
it holds the private key; a registry says who that is. Names inside certificates decide
nothing. The certificate is parsed once a connection; the registry is asked with every
request, so that a change counts at once.

Spec: docs/spec/keys.md, "Agency registry".
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.errors import RejectedError


class UnknownCertificateError(RejectedError):
    """No certificate, or one that the registry does not list."""

    code = "certificate-unknown"


class CertificateExpiredError(RejectedError):
    """The certificate has run out since the connection was opened."""

    code = "certificate-expired"


class CertificateRevokedError(RejectedError):
    """The certificate is revoked, or the list that would say so has run out or cannot be read."""

    code = "certificate-revoked"


class RoleNotAllowedError(RejectedError):
    """The registry knows the certificate, in a role that may not do this."""

    code = "role-not-allowed"


class Registered(Protocol):
    """What a registry says of a certificate."""

    @property
    def code(self) -> str:
        """Return the agency code, or the name of an operator or auditor."""
        ...

    @property
    def role(self) -> str:
        """Return ``agency``, ``operator`` or ``auditor``."""
        ...


class AgencyRegistry(Protocol):
    """Says who holds a key. Asked with every request; the newest answer counts."""

    def find(self, spki: bytes) -> Registered | None:
        """Return who holds the key with this SHA-256 of its SPKI, or None if nobody does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a connection's certificate says.

    Attributes:
        spki: SHA-256 of its SubjectPublicKeyInfo, 32 bytes.
        expires_ms: End of its validity, UTC milliseconds.
        cipher: TLS cipher suite of the connection.
        serial: Its serial number, by which its issuer revokes it.
    """

    spki: bytes
    expires_ms: int
    cipher: str
    serial: int = 0


def certificate_of(connection: ssl.SSLObject | ssl.SSLSocket | None) -> Certificate | None:
    """Return what the other end's certificate says; None if it showed none that can be read."""
    if connection is None:
        return None
    encoded = connection.getpeercert(binary_form=True)
    cipher = connection.cipher()
    if not encoded or cipher is None:
        return None
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        # OpenSSL reads more than this library does; whoever shows such a thing is nobody.
        return None
    return Certificate(
        spki=hashlib.sha256(key).digest(),
        expires_ms=int(certificate.not_valid_after_utc.timestamp()) * 1_000,
        cipher=cipher[0],
        serial=certificate.serial_number,
    )
