"""Certificates say what they are for, strictly, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.keyring.x509_profile import (
    BACKDATE,
    Authority,
    Issuer,
    Leaf,
    Revocation,
    build_authority,
    build_crl,
    build_leaf,
    build_root,
)
from tests.unit.keyring.helpers import NOW

SERIAL = 2**158 + 7


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


ROOT_KEY, AUTHORITY_KEY, LEAF_KEY = key(), key(), key()
ROOT = Issuer(certificate=build_root(ROOT_KEY, nation="FR", test=False, serial=SERIAL, now=NOW), key=ROOT_KEY)


def authority(kind: Authority, *, test: bool = False) -> Issuer:
    certificate = build_authority(
        ROOT, AUTHORITY_KEY.public_key(), authority=kind, nation="FR", test=test, serial=SERIAL + 1, now=NOW
    )
    return Issuer(certificate=certificate, key=AUTHORITY_KEY)


def node_leaf(leaf: Leaf) -> x509.Certificate:
    return build_leaf(
        authority(Authority.NODES), LEAF_KEY.public_key(), leaf, nation="FR", serial=SERIAL + 2, now=NOW
    )


def test_an_independent_verifier_accepts_a_server_chain() -> None:
    leaf = node_leaf(Leaf(common_name="fr", dns_names=("fr.gateway.test",), server=True))
    builder = verification.PolicyBuilder().store(verification.Store([ROOT.certificate])).time(NOW)

    chain = builder.build_server_verifier(x509.DNSName("fr.gateway.test")).verify(
        leaf, [authority(Authority.NODES).certificate]
    )

    assert chain[0] == leaf
    assert chain[-1] == ROOT.certificate


@pytest.mark.parametrize("kind", Authority)
def test_an_authority_signs_leaves_and_lists_and_no_authority(kind: Authority) -> None:
    extensions = authority(kind).certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)

    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.digital_signature


def test_only_the_authority_of_nodes_may_name_servers() -> None:
    usages = {
        kind: set(authority(kind).certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        for kind in Authority
    }
    client = {ExtendedKeyUsageOID.CLIENT_AUTH}

    assert usages == {
        Authority.NODES: client | {ExtendedKeyUsageOID.SERVER_AUTH},
        Authority.AGENCIES: client,
        Authority.OPERATORS: client,
    }


def test_a_leaf_signs_handshakes_only() -> None:
    extensions = node_leaf(Leaf(common_name="fr", dns_names=("fr",), server=True)).extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)

    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert (usage.critical, usage.value.digital_signature) == (True, True)
    assert [usage.value.key_cert_sign, usage.value.crl_sign, usage.value.key_agreement] == [False] * 3


@pytest.mark.parametrize(("server", "client"), [(True, False), (False, True), (True, True)])
def test_a_leaf_has_the_usages_that_were_asked_for(server: bool, client: bool) -> None:
    leaf = node_leaf(Leaf(common_name="fr", uri="urn:entente:fr", server=server, client=client))
    usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)

    assert (ExtendedKeyUsageOID.SERVER_AUTH in usages) is server
    assert (ExtendedKeyUsageOID.CLIENT_AUTH in usages) is client


def test_names_stand_in_the_alternative_name() -> None:
    leaf = node_leaf(
        Leaf(
            common_name="fr",
            dns_names=("fr.gateway.test", "localhost"),
            addresses=(IPv4Address("127.0.0.1"),),
            uri="urn:entente:fr:agency:fr.scl",
        )
    )
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["fr.gateway.test", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("127.0.0.1")]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:entente:fr:agency:fr.scl"]


def test_every_certificate_names_its_key_and_its_issuers_key() -> None:
    leaf = node_leaf(Leaf(common_name="fr", dns_names=("fr",)))
    issuer = authority(Authority.NODES).certificate

    for certificate, above in ((leaf, issuer), (issuer, ROOT.certificate), (ROOT.certificate,) * 2):
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        upper = above.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        named = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert own == x509.SubjectKeyIdentifier.from_public_key(_p384(certificate))
        assert named.key_identifier == upper.digest


def _p384(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(public.curve, ec.SECP384R1)
    return public


def test_a_certificate_begins_a_little_earlier_and_ends_when_told() -> None:
    leaf = node_leaf(Leaf(common_name="fr", dns_names=("fr",), days=90))

    assert leaf.not_valid_before_utc == NOW - BACKDATE
    assert leaf.not_valid_after_utc == NOW + timedelta(days=90)


def test_test_authorities_say_so_in_their_names() -> None:
    assert (
        "CN=TEST Entente FR nodes"
        in authority(Authority.NODES, test=True).certificate.subject.rfc4514_string()
    )
    assert "TEST" not in authority(Authority.NODES).certificate.subject.rfc4514_string()


def test_a_revocation_list_is_complete_numbered_and_ends() -> None:
    issuer = authority(Authority.AGENCIES)
    revoked = Revocation(serial=7, at=NOW, reason=x509.ReasonFlags.key_compromise)

    crl = build_crl(issuer, [revoked], number=3, now=NOW)

    assert crl.is_signature_valid(AUTHORITY_KEY.public_key())
    assert crl.next_update_utc == NOW + timedelta(days=7)
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3
    assert [item.serial_number for item in crl] == [7]
    (item,) = crl
    assert item.extensions.get_extension_for_class(x509.CRLReason).value.reason is revoked.reason
