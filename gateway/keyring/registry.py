"""Who may speak for which agency: the registry of certificates.

A client is the SHA-256 digest of its public key (SubjectPublicKeyInfo), and the registry
says which agency that is and in which role. A certificate that the right authority issued
but the registry does not list is nobody; names inside certificates decide nothing.

Spec: docs/spec/keys.md, "Agency registry".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NewType

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.keyring.documents import parse_document
from gateway.keyring.files import read_public, write_public
from gateway.keyring.refusals import TrustError

SpkiDigest = NewType("SpkiDigest", bytes)
"""SHA-256 of a DER SubjectPublicKeyInfo, 32 bytes."""

REGISTRY_FORMAT: Final = "entente-agency-registry/1"
SPKI_DIGEST_BYTES: Final = 32

_CODE: Final = re.compile(r"[A-Z0-9]+(?:[.-][A-Z0-9]+)*")
_MAX_CODE_LENGTH: Final = 64


class Role(StrEnum):
    """What a certificate may be used for at its own nation's node."""

    AGENCY = "agency"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One certificate holder.

    Attributes:
        spki: Digest of its public key.
        code: Agency code such as ``FR.DGDDI.SARC``; for operators and auditors their name.
        role: What it may do.
    """

    spki: SpkiDigest
    code: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """All holders of a nation, by digest.

    Attributes:
        nation: Two letters.
        version: From 1; grows with every change.
        holders: In order of role, code and digest.
    """

    nation: str
    version: int
    holders: tuple[Holder, ...]
    _by_spki: dict[bytes, Holder] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the holders.

        Raises:
            TrustError: A digest stands twice, or a code or digest has another form.
        """
        by_spki: dict[bytes, Holder] = {holder.spki: holder for holder in self.holders}
        sound = (
            len(by_spki) == len(self.holders)
            and self.version >= 1
            and all(len(holder.spki) == SPKI_DIGEST_BYTES for holder in self.holders)
            and all(is_code(holder.code) for holder in self.holders)
        )
        if not sound:
            msg = "the agency registry lists a digest twice, or a code or digest of another form"
            raise TrustError(msg)
        object.__setattr__(self, "_by_spki", by_spki)

    def find(self, spki: SpkiDigest) -> Holder | None:
        """Return who holds a key, or None if nobody does."""
        return self._by_spki.get(spki)

    def identify(self, certificate: bytes) -> Holder | None:
        """Return who holds the key of a DER certificate, or None if nobody does."""
        return self.find(spki_sha256(certificate))

    def with_holder(self, holder: Holder) -> Registry:
        """Return the registry with one more holder.

        Raises:
            TrustError: The key is listed already.
        """
        if (listed := self.find(holder.spki)) is not None:
            msg = (
                f"the agency registry has this key already, as {listed.code} ({listed.role.value}): a new "
                "certificate needs a new key"
            )
            raise TrustError(msg)
        return self._changed((*self.holders, holder))

    def without(self, spkis: Iterable[SpkiDigest]) -> Registry:
        """Return the registry without these keys."""
        gone = set(spkis)
        return self._changed(tuple(holder for holder in self.holders if holder.spki not in gone))

    def format(self) -> bytes:
        """Return the canonical file."""
        document = {
            "format": REGISTRY_FORMAT,
            "nation": self.nation,
            "version": self.version,
            "holders": [
                {"spki_sha256": holder.spki.hex(), "code": holder.code, "role": holder.role.value}
                for holder in sorted(self.holders, key=_order)
            ],
        }
        return json.dumps(document, indent=2).encode() + b"\n"

    def _changed(self, holders: tuple[Holder, ...]) -> Registry:
        return Registry(
            nation=self.nation, version=self.version + 1, holders=tuple(sorted(holders, key=_order))
        )


def parse_registry(content: bytes) -> Registry:
    """Read a registry file.

    Raises:
        TrustError: Not in the one form that `Registry.format` writes.
    """
    try:
        document = parse_document(content)
        registry = _read(document)
    except (ValueError, KeyError, TypeError) as error:
        msg = "the agency registry is not in canonical form"
        raise TrustError(msg) from error
    if registry.format() != content:
        msg = "the agency registry is not in canonical form"
        raise TrustError(msg)
    return registry


def read_registry(path: Path) -> Registry:
    """Return the registry in a file.

    Raises:
        KeyFileError: Absent, or writable by others.
        TrustError: Not in canonical form.
    """
    return parse_registry(read_public(path))


def write_registry(path: Path, registry: Registry) -> None:
    """Write a registry, durable when this returns."""
    write_public(path, registry.format())


def is_code(text: str) -> bool:
    """Return whether a text can stand as an agency code or as a holder's name."""
    return len(text) <= _MAX_CODE_LENGTH and _CODE.fullmatch(text) is not None


@lru_cache(maxsize=4_096)
def spki_sha256(certificate: bytes) -> SpkiDigest:
    """Return the SHA-256 of the public key in a DER certificate.

    Certificates of open connections come again with every request, so answers are kept.

    Raises:
        TrustError: Not a certificate.
    """
    try:
        return spki_of(x509.load_der_x509_certificate(certificate))
    except ValueError as error:
        msg = "not an X.509 certificate in DER"
        raise TrustError(msg) from error


def spki_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> SpkiDigest:
    """Return the SHA-256 of the public key of a certificate or request."""
    return spki_of_key(certificate.public_key())


def spki_of_key(key: CertificatePublicKeyTypes) -> SpkiDigest:
    """Return the SHA-256 of a public key's SubjectPublicKeyInfo."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SpkiDigest(sha256(spki).digest())


def _order(holder: Holder) -> tuple[str, str, bytes]:
    return holder.role.value, holder.code, holder.spki


def _read(document: dict[str, Any]) -> Registry:
    if document["format"] != REGISTRY_FORMAT:
        raise ValueError
    if type(document["version"]) is not int or not isinstance(document["nation"], str):
        raise TypeError
    return Registry(
        nation=document["nation"],
        version=document["version"],
        holders=tuple(
            Holder(
                spki=SpkiDigest(bytes.fromhex(holder["spki_sha256"])),
                code=str(holder["code"]),
                role=Role(holder["role"]),
            )
            for holder in document["holders"]
        ),
    )
