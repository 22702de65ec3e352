"""Who gets a certificate is in the registry; a request brings a key and nothing else."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from cryptography.x509.oid import NameOID

from gateway.keyring.holders import (
    TEST_P12_PASSWORD,
    NewHolder,
    holder_folder,
    issue_for_request,
    issue_test_holders,
)
from gateway.keyring.refusals import CeremonyError, TrustError
from gateway.keyring.registry import Role, read_registry, spki_of
from gateway.keyring.x509_profile import Authority
from tests.unit.keyring.helpers import Pair, authorities, present

ONAF = NewHolder(code="FR.ONAF", role=Role.AGENCY)


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *, name: str = "anything") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA384())
    return csr.public_bytes(Encoding.PEM)


def p384() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def test_a_request_gets_a_certificate_for_its_key_under_the_registered_name(own_pair: Pair) -> None:
    home = own_pair.fr
    key = p384()
    issuer = authorities(home, nation="FR")[Authority.AGENCIES]

    pem = issue_for_request(home, issuer, ONAF, request(key, name="FR.DGDDI"), now=present())
    certificate = x509.load_pem_x509_certificate(pem)
    holder = read_registry(home.registry).find(spki_of(certificate))

    assert certificate.public_key() == key.public_key()
    assert "CN=FR.ONAF" in certificate.subject.rfc4514_string()
    assert holder is not None
    assert (holder.code, holder.role) == ("FR.ONAF", Role.AGENCY)
    assert not (home.agencies / "FR.ONAF" / "client.key").read_bytes().startswith(pem[:20])


@pytest.mark.parametrize(
    "csr",
    [
        b"",
        b"not a request",
        request(ec.generate_private_key(ec.SECP256R1())),
        request(rsa.generate_private_key(public_exponent=65_537, key_size=2_048)),
    ],
    ids=["empty", "no request", "P-256", "RSA"],
)
def test_another_request_is_refused(own_pair: Pair, csr: bytes) -> None:
    issuer = authorities(own_pair.fr, nation="FR")[Authority.AGENCIES]

    with pytest.raises(CeremonyError):
        issue_for_request(own_pair.fr, issuer, ONAF, csr, now=present())


def test_a_request_whose_signature_is_not_its_keys_is_refused(own_pair: Pair) -> None:
    csr = x509.load_pem_x509_csr(request(p384()))
    altered = bytearray(csr.public_bytes(Encoding.DER))
    altered[altered.index(b"anything")] ^= 1
    pem = x509.load_der_x509_csr(bytes(altered)).public_bytes(Encoding.PEM)
    issuer = authorities(own_pair.fr, nation="FR")[Authority.AGENCIES]

    with pytest.raises(CeremonyError):
        issue_for_request(own_pair.fr, issuer, ONAF, pem, now=present())


def test_one_key_gets_one_entry(own_pair: Pair) -> None:
    issuer = authorities(own_pair.fr, nation="FR")[Authority.AGENCIES]
    csr = request(p384())
    issue_for_request(own_pair.fr, issuer, ONAF, csr, now=present())
    before = issuer.record()

    with pytest.raises(TrustError):
        issue_for_request(own_pair.fr, issuer, NewHolder(code="FR.SCL", role=Role.AGENCY), csr, now=present())

    assert issuer.record() == before


@pytest.mark.parametrize("code", ["US.CBP", "FRANCE", "FR", "fr.scl", "FR.../..", ""])
def test_an_agency_bears_its_nations_code(own_pair: Pair, code: str) -> None:
    issuer = authorities(own_pair.fr, nation="FR")[Authority.AGENCIES]

    with pytest.raises((CeremonyError, TrustError)):
        issue_test_holders(own_pair.fr, issuer, [NewHolder(code=code, role=Role.AGENCY)], now=present())

    assert not (own_pair.fr.agencies / code / "client.key").exists() or code == ""


def test_an_authority_issues_to_its_own_roles(own_pair: Pair) -> None:
    opened = authorities(own_pair.fr, nation="FR")

    for role, wrong in (
        (Role.AGENCY, Authority.OPERATORS),
        (Role.OPERATOR, Authority.AGENCIES),
        (Role.AUDITOR, Authority.NODES),
    ):
        with pytest.raises(CeremonyError):
            issue_for_request(
                own_pair.fr,
                opened[wrong],
                NewHolder(code="FR.SCL", role=role),
                request(p384()),
                now=present(),
            )


def test_a_production_authority_makes_no_keys_for_others(own_pair: Pair) -> None:
    issuer = authorities(own_pair.fr, nation="FR")[Authority.AGENCIES]
    issuer.test = False

    with pytest.raises(CeremonyError):
        issue_test_holders(own_pair.fr, issuer, [ONAF], now=present())


def test_a_test_holder_finds_everything_in_its_folder(pair: Pair) -> None:
    folder = holder_folder(pair.fr, ONAF)
    certificate = x509.load_pem_x509_certificate((folder / "client.pem").read_bytes())
    key = load_pem_private_key((folder / "client.key").read_bytes(), None)
    bundle = pkcs12.load_pkcs12((folder / "client.p12").read_bytes(), TEST_P12_PASSWORD)

    assert key.public_key() == certificate.public_key()
    assert bundle.cert is not None
    assert bundle.cert.certificate == certificate
    assert (folder / "ca.pem").read_bytes() == pair.fr.own.root.read_bytes()
    assert (folder / "client.key").stat().st_mode & 0o777 == 0o600
    assert holder_folder(pair.fr, NewHolder(code="A", role=Role.AUDITOR)).parent == pair.fr.operators
