"""Certificates and revocation lists in files, each of which has one form.

OpenSSL trusts every certificate of a file that it is given, whatever stands between them, also one in
the file of a list. So a file holds one certificate or one list, in the form that we write.

Spec: docs/spec/keys.md, "Trust", "Certificates".
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha384
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.keyring.files import read_public
from gateway.keyring.refusals import TrustError


def certificate_digest(certificate: x509.Certificate) -> bytes:
    """Return the SHA-384 of a certificate, 48 bytes."""
    return sha384(certificate.public_bytes(Encoding.DER)).digest()


def read_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file, such as a chain.

    Raises:
        KeyFileError: Absent, or writable by others.
        TrustError: Not a certificate.
    """
    try:
        return x509.load_pem_x509_certificate(read_public(path))
    except ValueError as error:
        msg = f"{path} is not a certificate in PEM"
        raise TrustError(msg) from error


def read_anchor(path: Path) -> x509.Certificate:
    """Return the certificate of an authority from a file that holds nothing else.

    OpenSSL trusts every certificate of a file, whatever text stands between them, so a
    second one must not go unnoticed.

    Raises:
        KeyFileError: Absent, or writable by others.
        TrustError: Not one certificate in the form that we write.
    """
    certificate = read_certificate(path)
    if certificate.public_bytes(Encoding.PEM) != read_public(path):
        msg = f"{path} is not one certificate in canonical PEM"
        raise TrustError(msg)
    return certificate


def verify_issued(certificate: x509.Certificate, *, issuer: x509.Certificate) -> None:
    """Verify that a certificate authority issued a certificate; times are not looked at.

    Raises:
        TrustError: It did not.
    """
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        msg = "a certificate was not issued by the authority that it has to come from"
        raise TrustError(msg) from error


def verify_crl(pem: bytes, *, issuer: x509.Certificate) -> x509.CertificateRevocationList:
    """Return a revocation list that an authority signed; times are not looked at.

    Raises:
        TrustError: Not one list in the form that we write, or not of this authority.
    """
    key = issuer.public_key()
    try:
        crl = x509.load_pem_x509_crl(pem)
    except ValueError as error:
        msg = "not a revocation list in PEM"
        raise TrustError(msg) from error
    if (
        not isinstance(key, ec.EllipticCurvePublicKey)
        # As for `read_anchor`: OpenSSL would trust a certificate that hides in this file.
        or crl.public_bytes(Encoding.PEM) != pem
        or crl.issuer != issuer.subject
        or not crl.is_signature_valid(key)
        or crl.next_update_utc is None
    ):
        msg = "a file is not one revocation list of the authority that it has to come from"
        raise TrustError(msg)
    return crl


def crl_next_update(pem: bytes) -> datetime:
    """Return when a revocation list runs out: from then on everybody is refused.

    Raises:
        TrustError: Not a list, or without an end.
    """
    try:
        end = x509.load_pem_x509_crl(pem).next_update_utc
    except ValueError as error:
        msg = "not a revocation list in PEM"
        raise TrustError(msg) from error
    if end is None:
        msg = "a revocation list without an end is not accepted"
        raise TrustError(msg)
    return end
