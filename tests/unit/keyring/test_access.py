"""With every request: who is this certificate now?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.keyring.access import Doorkeeper, NotAdmittedError, RevocationWatch
from gateway.keyring.ceremony import publish_crls
from gateway.keyring.home import NodeHome
from gateway.keyring.refusals import KeyFileError, TrustError
from gateway.keyring.registry import Role, read_registry, spki_sha256, write_registry
from gateway.keyring.rotation import REASONS, revoke
from gateway.keyring.x509_profile import Authority
from tests.unit.keyring.helpers import Pair, authorities, present


def certificate(home: NodeHome, code: str) -> bytes:
    parent = home.agencies if "." in code else home.operators
    pem = (parent / code / "client.pem").read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_a_holder_is_admitted_by_name_and_role(pair: Pair) -> None:
    agency = Doorkeeper(pair.fr, Authority.AGENCIES).admit(certificate(pair.fr, "FR.SCL"), now=present())
    auditor = Doorkeeper(pair.fr, Authority.OPERATORS).admit(certificate(pair.fr, "AUDITOR"), now=present())

    assert (agency.code, agency.role) == ("FR.SCL", Role.AGENCY)
    assert (auditor.code, auditor.role) == ("AUDITOR", Role.AUDITOR)


def test_a_revocation_counts_at_once(own_pair: Pair) -> None:
    door = Doorkeeper(own_pair.fr, Authority.AGENCIES)
    scl, onaf = certificate(own_pair.fr, "FR.SCL"), certificate(own_pair.fr, "FR.ONAF")
    door.admit(scl, now=present())
    registry = read_registry(own_pair.fr.registry)

    revoke(
        own_pair.fr,
        authorities(own_pair.fr, nation="FR"),
        "FR.SCL",
        reason=REASONS["cessation"],
        now=present(),
    )

    with pytest.raises(NotAdmittedError):
        door.admit(scl, now=present())
    door.admit(onaf, now=present())
    # Even if the registry is put back: the list alone refuses it.
    write_registry(own_pair.fr.registry, registry)
    with pytest.raises(NotAdmittedError, match="revoked"):
        door.admit(scl, now=present())


def test_who_is_taken_out_of_the_registry_is_nobody_at_once(own_pair: Pair) -> None:
    door = Doorkeeper(own_pair.fr, Authority.AGENCIES)
    scl = certificate(own_pair.fr, "FR.SCL")
    door.admit(scl, now=present())

    registry = read_registry(own_pair.fr.registry)
    write_registry(own_pair.fr.registry, registry.without([spki_sha256(scl)]))

    with pytest.raises(NotAdmittedError, match="registry"):
        door.admit(scl, now=present())


def test_a_foreign_certificate_is_nobody(pair: Pair) -> None:
    with pytest.raises(NotAdmittedError):
        Doorkeeper(pair.fr, Authority.AGENCIES).admit(certificate(pair.us, "US.CBP"), now=present())


def test_what_is_no_certificate_is_nobody(pair: Pair) -> None:
    with pytest.raises(NotAdmittedError):
        Doorkeeper(pair.fr, Authority.AGENCIES).admit(b"no certificate", now=present())


def test_a_list_that_has_run_out_admits_nobody(pair: Pair) -> None:
    door = Doorkeeper(pair.fr, Authority.AGENCIES)

    with pytest.raises(NotAdmittedError, match="run out"):
        door.admit(certificate(pair.fr, "FR.SCL"), now=present() + timedelta(days=8))


def test_an_expired_certificate_is_not_admitted_however_long_the_connection_lives(own_pair: Pair) -> None:
    later = present() + timedelta(days=366)
    publish_crls(own_pair.fr, authorities(own_pair.fr, nation="FR"), now=later)
    door = Doorkeeper(own_pair.fr, Authority.AGENCIES)

    with pytest.raises(NotAdmittedError, match="expired"):
        door.admit(certificate(own_pair.fr, "FR.SCL"), now=later)


@pytest.mark.parametrize("name", ["agencies.json", "own/agency-ca.crl", "own/agency-ca.pem"])
def test_a_file_that_is_damaged_or_gone_admits_nobody(own_pair: Pair, name: str) -> None:
    door = Doorkeeper(own_pair.fr, Authority.AGENCIES)
    scl = certificate(own_pair.fr, "FR.SCL")
    door.admit(scl, now=present())
    path = own_pair.fr.trust / name

    path.write_bytes(path.read_bytes()[:-30])
    for _ in range(2):
        with pytest.raises(TrustError):
            door.admit(scl, now=present())
    path.unlink()
    with pytest.raises((TrustError, KeyFileError)):
        door.admit(scl, now=present())


def test_a_list_of_another_authority_is_refused(own_pair: Pair) -> None:
    own = own_pair.fr.own
    own.crl("agency-ca").write_bytes(own.crl("node-ca").read_bytes())

    with pytest.raises(TrustError):
        Doorkeeper(own_pair.fr, Authority.AGENCIES)


def test_a_newer_list_is_noticed(own_pair: Pair) -> None:
    watch = RevocationWatch(own_pair.fr.own, Authority.AGENCIES)
    before = watch.current()
    assert watch.current() is before

    publish_crls(own_pair.fr, authorities(own_pair.fr, nation="FR"), now=present())

    assert watch.current().number == before.number + 1


def test_a_port_that_looks_from_time_to_time_sees_a_replaced_file_with_the_next_look(own_pair: Pair) -> None:
    now_s = [100.0]
    door = Doorkeeper(own_pair.fr, Authority.AGENCIES, look_s=0.1, monotonic_s=lambda: now_s[0])
    scl = certificate(own_pair.fr, "FR.SCL")
    door.admit(scl, now=present())

    write_registry(own_pair.fr.registry, read_registry(own_pair.fr.registry).without([spki_sha256(scl)]))
    now_s[0] += 0.09
    door.admit(scl, now=present())
    now_s[0] += 0.02

    with pytest.raises(NotAdmittedError, match="registry"):
        door.admit(scl, now=present())


def test_nothing_is_remembered_of_a_file_that_could_not_be_read(own_pair: Pair) -> None:
    now_s = [100.0]
    watch = RevocationWatch(own_pair.fr.own, Authority.AGENCIES, look_s=0.1, monotonic_s=lambda: now_s[0])
    before = watch.current()
    path = own_pair.fr.own.crl("agency-ca")
    content = path.read_bytes()
    path.unlink()
    now_s[0] += 0.2
    for _ in range(2):
        with pytest.raises((TrustError, KeyFileError)):
            watch.current()

    # Not a hundredth of a second later, but with the next question.
    path.write_bytes(content)

    assert watch.current() == before
