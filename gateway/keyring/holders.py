"""Certificates of agencies, operators and auditors, and the registry that knows them.

Order of writes when one is issued: the authority's record, the certificate, the registry. A
crash in between leaves a certificate that is nobody, which does no harm. Where new authorities replace
others, holders get certificates of theirs for the keys that they have: the registry stays as it is.

In production a holder makes its own key and hands in a request (CSR): its private key never
leaves it. Test homes make the key here and put it, in the clear, beside the certificate.

Spec: docs/spec/keys.md, "Agency registry".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from gateway.keyring.ceremony import files_of
from gateway.keyring.certificates import read_certificate
from gateway.keyring.files import make_private_folder, read_public, write_private, write_public
from gateway.keyring.home import NodeHome
from gateway.keyring.issuing import IssuingAuthority
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.registry import (
    Holder,
    Role,
    is_code,
    read_registry,
    spki_of_key,
    write_registry,
)
from gateway.keyring.x509_profile import Authority, Leaf

TEST_P12_PASSWORD: Final = b"entente-test"
"""Browsers ask for one. It protects nothing, and only test keys are written this way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHolder:
    """Who gets a certificate.

    Attributes:
        code: Agency code, or name of an operator or auditor.
        role: What it may do.
    """

    code: str
    role: Role

    @property
    def authority(self) -> Authority:
        """Return the authority that issues to this role."""
        return Authority.AGENCIES if self.role is Role.AGENCY else Authority.OPERATORS

    def leaf(self, nation: str) -> Leaf:
        """Return what its certificate looks like.

        Raises:
            CeremonyError: The code has another form, or is another nation's.
        """
        if not is_code(self.code):
            msg = "a code is capital letters and digits in parts joined by dots, such as FR.DGDDI.SARC"
            raise CeremonyError(msg)
        if self.role is Role.AGENCY and not self.code.startswith(f"{nation}."):
            msg = f"the code of an agency of {nation} begins with {nation}."
            raise CeremonyError(msg)
        uri = f"urn:entente:{nation.lower()}:{self.role.value}:{self.code.lower()}"
        return Leaf(common_name=self.code, uri=uri)


def issue_for_request(
    home: NodeHome,
    authority: IssuingAuthority,
    holder: NewHolder,
    request: bytes,
    *,
    now: datetime,
    deliver: Callable[[bytes], None] = lambda _: None,
) -> bytes:
    """Issue a certificate for a holder's own key and enter it in the registry.

    Args:
        home: Node home whose registry changes.
        authority: The authority of the holder's role.
        holder: Who it is.
        request: PKCS#10 request in PEM. Its names are ignored: only the key counts.
        now: Aware time.
        deliver: Puts the certificate where its holder gets it; the key is entered in the
            registry only after that, so a full disk enrols nobody.

    Returns:
        The certificate as PEM.

    Raises:
        CeremonyError: The request is damaged, or its key is not P-384.
        TrustError: The key is registered already; a new authority may certify it for the same holder.
    """
    try:
        csr = x509.load_pem_x509_csr(request)
        is_signed = csr.is_signature_valid
    except ValueError as error:
        msg = "the request is not a PKCS#10 certificate request in PEM"
        raise CeremonyError(msg) from error
    key = csr.public_key()
    if not is_signed or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        msg = "the request is not signed by its own P-384 key"
        raise CeremonyError(msg)
    return _issue(home, authority, [(holder, key)], now=now, deliver=lambda issued: deliver(issued[0]))[0]


def issue_test_holders(
    home: NodeHome, authority: IssuingAuthority, holders: Iterable[NewHolder], *, now: datetime
) -> None:
    """Make keys and certificates of holders and put both into the home. Test homes only.

    What a holder has there already is replaced; an older certificate stays valid until it is
    revoked.

    Raises:
        CeremonyError: The authority is not a test authority, or a code has another form.
    """
    if not authority.test:
        msg = "in production a holder makes its own key: hand in a request with --csr"
        raise CeremonyError(msg)
    pairs = [(holder, ec.generate_private_key(ec.SECP384R1())) for holder in holders]
    certificates = _issue(home, authority, [(holder, key.public_key()) for holder, key in pairs], now=now)
    anchor = read_public(home.own.root)
    for (holder, key), certificate in zip(pairs, certificates, strict=True):
        _write_test_folder(home, holder, key, certificate, anchor)


def without_certificate(home: NodeHome, authority: IssuingAuthority) -> list[str]:
    """Return the codes of holders whose registered key an authority has certified for nobody yet.

    Args:
        home: Node home with the registry.
        authority: The one that issues to them, or is to.
    """
    certified = {item.spki for item in authority.record().issued if item.revoked is None}
    return sorted(
        holder.code
        for holder in read_registry(home.registry).holders
        if NewHolder(code=holder.code, role=holder.role).authority is authority.authority
        and holder.spki not in certified
    )


def holder_folder(home: NodeHome, holder: NewHolder) -> Path:
    """Return where a test home keeps a holder's key and certificate."""
    parent = home.agencies if holder.role is Role.AGENCY else home.operators
    return parent / holder.code


def _issue(
    home: NodeHome,
    authority: IssuingAuthority,
    pairs: list[tuple[NewHolder, ec.EllipticCurvePublicKey]],
    *,
    now: datetime,
    deliver: Callable[[list[bytes]], None] = lambda _: None,
) -> list[bytes]:
    requests = [(key, holder.leaf(authority.nation), holder.code) for holder, key in pairs]
    registry = before = read_registry(home.registry)
    for holder, key in pairs:
        if holder.authority is not authority.authority:
            msg = "this authority does not issue to that role"
            raise CeremonyError(msg)
        entry = Holder(spki=spki_of_key(key), code=holder.code, role=holder.role)
        if not (registry.find(entry.spki) == entry and _is_new_to(home, authority, entry)):
            registry = registry.with_holder(entry)
    chain = authority.certificate.public_bytes(Encoding.PEM)
    certificates = [certificate + chain for certificate in authority.issue_all(requests, now=now)]
    deliver(certificates)
    if registry != before:
        write_registry(home.registry, registry)
    return certificates


def _is_new_to(home: NodeHome, authority: IssuingAuthority, holder: Holder) -> bool:
    """Return whether a holder may have another certificate for a key that is registered as his.

    Only of an authority that replaces another one: for as long as it waits, or the first time. Else a new
    certificate needs a new key.
    """
    key = authority.certificate.public_key()
    if files_of(home, authority.authority, key) == home.own.next_authorities:
        return True
    return all(item.spki != holder.spki for item in authority.record().issued)


def _write_test_folder(
    home: NodeHome, holder: NewHolder, key: ec.EllipticCurvePrivateKey, certificate: bytes, anchor: bytes
) -> None:
    folder = holder_folder(home, holder)
    make_private_folder(folder)
    leaf = x509.load_pem_x509_certificate(certificate)
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2_048)
        .hmac_hash(SHA256())
        .build(TEST_P12_PASSWORD)
    )
    bundle = pkcs12.serialize_key_and_certificates(
        holder.code.encode(), key, leaf, [read_certificate(home.own.root)], encryption
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # A test holder whose certificate was revoked gets a new one in the same place.
    write_private(folder / "client.key", pem, replace=True)
    write_public(folder / "client.pem", certificate)
    write_public(folder / "ca.pem", anchor)
    write_private(folder / "client.p12", bundle, replace=True)
