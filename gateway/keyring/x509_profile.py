"""What our certificates and revocation lists look like.

One root per nation; below it three authorities with path length 0, one for nodes, one for
agencies, one for operators and auditors. Every key is P-384, every certificate has critical
basic constraints and key usage, an extended key usage, both key identifiers, and its
subject in the alternative name; the common name is for people.

Pure: keys, serial numbers and times come in as arguments.

Spec: RFC 5280; docs/spec/keys.md, "Certificates".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ORGANISATION: Final = "Entente"
BACKDATE: Final = timedelta(minutes=5)
"""Certificates begin this much earlier: clocks of two nations differ."""
ROOT_DAYS: Final = 3_650
AUTHORITY_DAYS: Final = 1_825
NODE_DAYS: Final = 90
HOLDER_DAYS: Final = 365
CRL_DAYS: Final = 7

_SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH


class Authority(StrEnum):
    """The three authorities of a nation; the value is the file name of their public files."""

    NODES = "node-ca"
    AGENCIES = "agency-ca"
    OPERATORS = "operator-ca"

    @property
    def usages(self) -> tuple[x509.ObjectIdentifier, ...]:
        """Return the extended key usages below this authority."""
        return (_SERVER, _CLIENT) if self is Authority.NODES else (_CLIENT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a leaf certificate is for.

    Attributes:
        common_name: For people.
        dns_names: Names of a server.
        addresses: Addresses of a server; for tests on one machine.
        uri: Name of the holder; never what decides on authorization.
        server: May answer as a TLS server.
        client: May connect as a TLS client.
        days: Validity.
    """

    common_name: str
    dns_names: Sequence[str] = ()
    addresses: Sequence[IPv4Address | IPv6Address] = ()
    uri: str | None = None
    server: bool = False
    client: bool = True
    days: int = HOLDER_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A certificate that is not to be trusted any more."""

    serial: int
    at: datetime
    reason: x509.ReasonFlags


def build_root(
    key: ec.EllipticCurvePrivateKey, *, nation: str, test: bool, serial: int, now: datetime
) -> x509.Certificate:
    """Return the self-signed certificate of a nation's root.

    Args:
        key: P-384.
        nation: Two letters.
        test: Whether the name says that it is a test root.
        serial: Random, positive, at most 159 bits.
        now: Aware time.
    """
    name = _name(nation, _marked(f"Entente {nation} root", test=test))
    return (
        _builder(
            subject=name, issuer=name, public_key=key.public_key(), serial=serial, now=now, days=ROOT_DAYS
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_authority_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, SHA384())
    )


def build_authority(
    root: Issuer,
    public_key: ec.EllipticCurvePublicKey,
    *,
    authority: Authority,
    nation: str,
    test: bool,
    serial: int,
    now: datetime,
) -> x509.Certificate:
    """Return the certificate of one of the three authorities, issued by the root."""
    label = {
        Authority.NODES: "nodes",
        Authority.AGENCIES: "agencies",
        Authority.OPERATORS: "operators",
    }[authority]
    name = _name(nation, _marked(f"Entente {nation} {label}", test=test))
    builder = _builder(
        subject=name,
        issuer=root.certificate.subject,
        public_key=public_key,
        serial=serial,
        now=now,
        days=AUTHORITY_DAYS,
    )
    return (
        _identified(builder, public_key, root)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_authority_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(authority.usages), critical=False)
        .sign(root.key, SHA384())
    )


def build_leaf(
    issuer: Issuer,
    public_key: ec.EllipticCurvePublicKey,
    leaf: Leaf,
    *,
    nation: str,
    serial: int,
    now: datetime,
) -> x509.Certificate:
    """Return the certificate of a node, agency, operator or auditor."""
    usages = [oid for oid, wanted in ((_SERVER, leaf.server), (_CLIENT, leaf.client)) if wanted]
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in leaf.dns_names]
    names += [x509.IPAddress(address) for address in leaf.addresses]
    if leaf.uri is not None:
        names.append(x509.UniformResourceIdentifier(leaf.uri))
    builder = _builder(
        subject=_name(nation, leaf.common_name),
        issuer=issuer.certificate.subject,
        public_key=public_key,
        serial=serial,
        now=now,
        days=leaf.days,
    )
    return (
        _identified(builder, public_key, issuer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_leaf_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer.key, SHA384())
    )


def build_crl(
    issuer: Issuer, revocations: Iterable[Revocation], *, number: int, now: datetime, days: int = CRL_DAYS
) -> x509.CertificateRevocationList:
    """Return a revocation list.

    Args:
        issuer: One of the authorities.
        revocations: All certificates of that authority that are revoked.
        number: CRL number; only grows.
        now: Aware time.
        days: After so many days everybody is refused until there is a newer list.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - BACKDATE)
        .next_update(now + timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )
    for revocation in revocations:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(revocation.serial)
            .revocation_date(revocation.at)
            .add_extension(x509.CRLReason(revocation.reason), critical=False)
            .build()
        )
    return builder.sign(issuer.key, SHA384())


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
    )


def _identified(
    builder: x509.CertificateBuilder, public_key: ec.EllipticCurvePublicKey, issuer: Issuer
) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False
    ).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
    )


def _name(nation: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, nation),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _marked(name: str, *, test: bool) -> str:
    return f"TEST {name}" if test else name


def _authority_usage() -> x509.KeyUsage:
    return _usage(signs_certificates=True)


def _leaf_usage() -> x509.KeyUsage:
    return _usage(signs_certificates=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
