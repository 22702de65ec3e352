"""Time stamps of an authority outside both nations (RFC 3161).

An authority signs that it saw a hash at a time. A stamp goes over the *text* of a note: origin,
size and root, exactly the bytes of `format_checkpoint`. Signature lines are no part of it,
because they are malleable. A stamp of one size vouches for every entry below it: none of
them can have been made or changed later.

Reading and verifying is done by `rfc3161-client` (docs/adr/0026-time-stamps.md); the same
response verifies with ``openssl ts -verify``.

Spec: RFC 3161; docs/spec/log.md, "Third parties".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Final

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from gateway.errors import OperatorError, SignatureInvalidError

MAX_STAMP_BYTES: Final = 65_536
MAX_CERTIFICATE_BYTES: Final = 262_144
MAX_CERTIFICATES: Final = 16


class AuthorityUnreadableError(OperatorError):
    """The certificates of a time-stamp authority cannot be used."""

    code = "stamp-authority-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class StampAuthority:
    """Whom a verifier trusts to say what time it was.

    Attributes:
        roots: Certificates that sign themselves; where the chain of a stamp has to end.
        intermediates: Others: those that sign stamps, and what a chain may go through.
    """

    roots: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """A verified time stamp.

    Attributes:
        time_s: When the authority saw the text, POSIX seconds.
        authority: Subject of the certificate that signed, as it stands there.
        serial: Number that the authority gave the stamp.
    """

    time_s: int
    authority: str
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StampRequest:
    """What is sent to an authority.

    Attributes:
        body: DER of the request.
        nonce: Number that the answer has to repeat.
    """

    body: bytes
    nonce: int


def read_authority(pem: bytes) -> StampAuthority:
    """Return whom a PEM file with the certificates of an authority makes trusted.

    Args:
        pem: Its root, the certificates that sign stamps, and whatever lies between.

    Raises:
        AuthorityUnreadableError: No certificates, too many, or none that signs itself.
    """
    try:
        certificates = x509.load_pem_x509_certificates(pem[:MAX_CERTIFICATE_BYTES])
    except ValueError as error:
        msg = "not a PEM file with the certificates of a time-stamp authority"
        raise AuthorityUnreadableError(msg) from error
    roots = tuple(item for item in certificates if item.subject == item.issuer)
    others = tuple(item for item in certificates if item.subject != item.issuer)
    if not roots or len(certificates) > MAX_CERTIFICATES:
        msg = f"a time-stamp authority has a certificate that signs itself, and at most {MAX_CERTIFICATES}"
        raise AuthorityUnreadableError(msg)
    return StampAuthority(roots=roots, intermediates=others)


def stamp_request(text: bytes) -> StampRequest:
    """Return a request for a stamp over a text: SHA-512, with a fresh nonce.

    It asks for a stamp without certificates, which the verifier has anyway: authorities write more
    than one in an order that is no DER, and the library rightly refuses that.
    """
    builder = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA512)
    built = builder.cert_request(cert_request=False).build()
    nonce = built.nonce
    if nonce is None:
        msg = "the library makes a nonce unless it is told not to"
        raise AssertionError(msg)
    return StampRequest(body=built.as_bytes(), nonce=nonce)


def verify_stamp(
    response: bytes, text: bytes, *, authority: StampAuthority, nonce: int | None = None
) -> Stamp:
    """Verify that an authority has stamped a text.

    The certificates have to be valid at the time of the stamp, not now: a stamp outlives them.

    Args:
        response: DER of the response.
        text: What it has to be over.
        authority: Who is trusted.
        nonce: What it has to repeat; None for a stamp that was made earlier.

    Raises:
        SignatureInvalidError: It is no stamp, not granted, over another text, with another
            nonce, or not signed by a certificate for time stamps under the trusted ones.
    """
    if len(response) > MAX_STAMP_BYTES:
        msg = f"a time stamp has at most {MAX_STAMP_BYTES} bytes"
        raise SignatureInvalidError(msg)
    try:
        stamp = decode_timestamp_response(response)
        signer = _signer(stamp, authority)
        verifier = VerifierBuilder(
            tsa_certificate=signer,
            intermediates=list(authority.intermediates),
            roots=list(authority.roots),
            nonce=nonce,
        ).build()
        verifier.verify_message(stamp, text)
        info = stamp.tst_info
        found = Stamp(
            time_s=int(info.gen_time.replace(tzinfo=UTC).timestamp()),
            authority=signer.subject.rfc4514_string(),
            serial=info.serial_number,
        )
    except (VerificationError, ValueError) as error:
        # The library's texts may quote certificates; none of them helps a reader.
        msg = "it does not stamp this text under the trusted certificates"
        raise SignatureInvalidError(msg) from error
    return found


def _signer(response: TimeStampResponse, authority: StampAuthority) -> x509.Certificate:
    """Return the trusted certificate that a stamp says it is signed with.

    Raises:
        ValueError: There is none.
    """
    known = (*authority.intermediates, *authority.roots)
    for signer in response.signed_data.signer_infos:
        for certificate in known:
            if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number):
                return certificate
    msg = "signed with a certificate that is not among the trusted ones"
    raise ValueError(msg)
