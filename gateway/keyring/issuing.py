"""The issuing authorities: they issue and revoke certificates and keep a record of both.

Each authority has a sealed key, a certificate from the root, and a record of what it issued
and revoked. The record is the source of its revocation list; a list is always complete.

Order of writes: the record first, then the list. A crash in between leaves a revocation in
the record, and the next list holds it.

Spec: docs/spec/keys.md, "Certificates", "Revocation".
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.keyring.documents import parse_document
from gateway.keyring.files import read_private, write_private
from gateway.keyring.keyfile import Purpose, read_header
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.refusals import TrustError
from gateway.keyring.registry import SpkiDigest, spki_of
from gateway.keyring.x509_profile import (
    Authority,
    Issuer,
    Leaf,
    Revocation,
    build_authority,
    build_crl,
    build_leaf,
)

RECORD_FORMAT: Final = "entente-authority-record/1"
MAX_RECORD_BYTES: Final = 16_777_216
SERIAL_BITS: Final = 159

PURPOSES: Final = {
    Authority.NODES: Purpose.NODE_AUTHORITY,
    Authority.AGENCIES: Purpose.AGENCY_AUTHORITY,
    Authority.OPERATORS: Purpose.OPERATOR_AUTHORITY,
}

_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that an authority issued.

    Attributes:
        serial: Its serial number.
        name: Agency code, node name or operator name.
        spki: Digest of its public key.
        expires: Until when it is valid, UTC.
        revoked: When it was revoked, or None.
        reason: Why, as an RFC 5280 reason, or None.
    """

    serial: int
    name: str
    spki: SpkiDigest
    expires: datetime
    revoked: datetime | None = None
    reason: x509.ReasonFlags | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an authority remembers.

    Attributes:
        crl_number: Number of the newest revocation list; 0 before the first.
        issued: All certificates, oldest first.
    """

    crl_number: int = 0
    issued: tuple[Issued, ...] = ()

    def revocations(self) -> list[Revocation]:
        """Return what a revocation list has to hold."""
        return [
            Revocation(serial=item.serial, at=item.revoked, reason=item.reason)
            for item in self.issued
            if item.revoked is not None and item.reason is not None
        ]


class IssuingAuthority:
    """One authority whose key is open."""

    def __init__(
        self, *, authority: Authority, nation: str, issuer: Issuer, record_path: Path, test: bool
    ) -> None:
        """Take an opened authority; `create_authority` and `open_authority` are how to get here."""
        self.authority = authority
        self.nation = nation
        self.test = test
        self._issuer = issuer
        self._record_path = record_path

    @property
    def certificate(self) -> x509.Certificate:
        """Return the certificate of the authority."""
        return self._issuer.certificate

    def record(self) -> Record:
        """Return what was issued and revoked.

        Raises:
            TrustError: The record is damaged.
        """
        return read_record(self._record_path)

    def issue(self, public_key: ec.EllipticCurvePublicKey, leaf: Leaf, *, name: str, now: datetime) -> bytes:
        """Issue a certificate, recorded when this returns.

        Args:
            public_key: P-384.
            leaf: What it is for.
            name: Agency code, node name or operator name, for the record.
            now: Aware time.

        Returns:
            PEM.
        """
        return self.issue_all([(public_key, leaf, name)], now=now)[0]

    def issue_all(
        self, requests: Iterable[tuple[ec.EllipticCurvePublicKey, Leaf, str]], *, now: datetime
    ) -> list[bytes]:
        """Issue certificates for (key, leaf, name) triples, recorded together when this returns."""
        certificates = []
        issued = []
        for public_key, leaf, name in requests:
            certificate = build_leaf(
                self._issuer, public_key, leaf, nation=self.nation, serial=new_serial(), now=now
            )
            certificates.append(certificate.public_bytes(Encoding.PEM))
            issued.append(
                Issued(
                    serial=certificate.serial_number,
                    name=name,
                    spki=spki_of(certificate),
                    expires=certificate.not_valid_after_utc,
                )
            )
        record = self.record()
        self._store(replace(record, issued=(*record.issued, *issued)))
        return certificates

    def revoke(
        self, is_meant: Callable[[Issued], bool], *, reason: x509.ReasonFlags, now: datetime
    ) -> tuple[Issued, ...]:
        """Revoke every valid certificate that is meant, and return them as they were.

        The revocation takes effect with the next list: `issue_crl`.
        """
        record = self.record()
        at = now.astimezone(UTC).replace(microsecond=0)
        meant = tuple(item for item in record.issued if item.revoked is None and is_meant(item))
        if not meant:
            return ()
        changed = tuple(
            replace(item, revoked=at, reason=reason) if item in meant else item for item in record.issued
        )
        self._store(replace(record, issued=changed))
        return meant

    def issue_crl(self, *, now: datetime) -> bytes:
        """Return a new complete revocation list as PEM, its number recorded."""
        record = self.record()
        record = replace(record, crl_number=record.crl_number + 1)
        self._store(record)
        crl = build_crl(self._issuer, record.revocations(), number=record.crl_number, now=now)
        return crl.public_bytes(Encoding.PEM)

    def _store(self, record: Record) -> None:
        write_private(self._record_path, format_record(record), replace=True)


def create_authority(
    folder: KeyFolder, root: Issuer, *, authority: Authority, nation: str, now: datetime
) -> IssuingAuthority:
    """Make the key, certificate and empty record of an authority."""
    key = folder.create_p384(
        f"{authority.value}.key", purpose=PURPOSES[authority], name=f"{nation} {authority.value}", now=now
    )
    certificate = build_authority(
        root,
        key.public_key(),
        authority=authority,
        nation=nation,
        test=folder.test,
        serial=new_serial(),
        now=now,
    )
    record_path = _record_path(folder, authority)
    write_private(record_path, format_record(Record()))
    return IssuingAuthority(
        authority=authority,
        nation=nation,
        issuer=Issuer(certificate=certificate, key=key),
        record_path=record_path,
        test=folder.test,
    )


def keep_authority(
    folder: KeyFolder, *, authority: Authority, nation: str, now: datetime
) -> ec.EllipticCurvePublicKey:
    """Make the key and the empty record of an authority, whose certificate comes later; return the key.

    What an interrupted run has left is taken.

    Raises:
        KeyFileError: A key that is there does not open.
        TrustError: It is that of another nation's authority.
    """
    file, name = f"{authority.value}.key", f"{nation} {authority.value}"
    if not (folder.path / file).exists():
        folder.create_p384(file, purpose=PURPOSES[authority], name=name, now=now)
    elif read_header(folder.path / file).name != name:
        msg = "this medium holds the authorities of another nation"
        raise TrustError(msg)
    if not (record := _record_path(folder, authority)).exists():
        write_private(record, format_record(Record()))
    return folder.open_p384(file, purpose=PURPOSES[authority]).public_key()


def open_authority(
    folder: KeyFolder, certificate: x509.Certificate, *, authority: Authority, nation: str
) -> IssuingAuthority:
    """Open an authority.

    Raises:
        KeyFileError: Its key does not open.
        TrustError: The certificate is not that of the key.
    """
    key = folder.open_p384(f"{authority.value}.key", purpose=PURPOSES[authority])
    if key.public_key() != certificate.public_key():
        msg = f"{authority.value}.pem is not the certificate of {authority.value}.key"
        raise TrustError(msg)
    return IssuingAuthority(
        authority=authority,
        nation=nation,
        issuer=Issuer(certificate=certificate, key=key),
        record_path=_record_path(folder, authority),
        test=folder.test,
    )


def new_serial() -> int:
    """Return a random serial number of at most 159 bits, never 0."""
    return secrets.randbits(SERIAL_BITS) | 1 << (SERIAL_BITS - 1)


def format_record(record: Record) -> bytes:
    """Return the canonical file of a record."""
    document = {
        "format": RECORD_FORMAT,
        "crl_number": record.crl_number,
        "issued": [
            {
                "serial": f"{item.serial:x}",
                "name": item.name,
                "spki_sha256": item.spki.hex(),
                "expires": item.expires.strftime(_TIME_FORMAT),
                "revoked": None if item.revoked is None else item.revoked.strftime(_TIME_FORMAT),
                "reason": None if item.reason is None else item.reason.value,
            }
            for item in record.issued
        ],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def read_record(path: Path) -> Record:
    """Return the record in a file.

    Raises:
        KeyFileError: Absent or not private.
        TrustError: Damaged.
    """
    content = read_private(path, max_bytes=MAX_RECORD_BYTES)
    try:
        record = _read(parse_document(content))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"the record {path.name} is not in canonical form"
        raise TrustError(msg) from error
    if format_record(record) != content:
        msg = f"the record {path.name} is not in canonical form"
        raise TrustError(msg)
    return record


def _record_path(folder: KeyFolder, authority: Authority) -> Path:
    return folder.path / f"{authority.value}.json"


def _read(document: dict[str, Any]) -> Record:
    if document["format"] != RECORD_FORMAT or type(document["crl_number"]) is not int:
        raise ValueError
    return Record(
        crl_number=document["crl_number"],
        issued=tuple(
            Issued(
                serial=int(item["serial"], 16),
                name=str(item["name"]),
                spki=SpkiDigest(bytes.fromhex(item["spki_sha256"])),
                expires=_time(item["expires"]),
                revoked=None if item["revoked"] is None else _time(item["revoked"]),
                reason=None if item["reason"] is None else x509.ReasonFlags(item["reason"]),
            )
            for item in document["issued"]
        ),
    )


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
