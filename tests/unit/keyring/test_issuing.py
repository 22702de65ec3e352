"""An authority remembers what it issued; its list holds everything it revoked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.keyring.issuing import (
    Issued,
    IssuingAuthority,
    Record,
    create_authority,
    format_record,
    open_authority,
    read_record,
)
from gateway.keyring.keyfile import UnlockKey
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.refusals import KeyFileError, Refusal, TrustError
from gateway.keyring.registry import SpkiDigest
from gateway.keyring.x509_profile import Authority, Issuer, Leaf, build_root
from tests.unit.keyring.helpers import NOW, private_file

KEY = ec.generate_private_key(ec.SECP384R1())
ROOT = Issuer(certificate=build_root(KEY, nation="FR", test=True, serial=1, now=NOW), key=KEY)
LEAF = Leaf(common_name="FR.SCL", uri="urn:entente:fr:agency:fr.scl")
COMPROMISE = x509.ReasonFlags.key_compromise


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(path=tmp_path, unlock=UnlockKey(key_id=bytes(8), secret=b"u" * 32), test=True)


@pytest.fixture
def agencies(folder: KeyFolder) -> IssuingAuthority:
    return create_authority(folder, ROOT, authority=Authority.AGENCIES, nation="FR", now=NOW)


def issue(authority: IssuingAuthority, name: str) -> x509.Certificate:
    pem = authority.issue(KEY.public_key(), LEAF, name=name, now=NOW)
    return x509.load_pem_x509_certificate(pem)


def serials(authority: IssuingAuthority) -> tuple[int, list[int]]:
    crl = x509.load_pem_x509_crl(authority.issue_crl(now=NOW))
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return number, sorted(item.serial_number for item in crl)


def test_what_it_issued_it_remembers_after_a_restart(folder: KeyFolder, agencies: IssuingAuthority) -> None:
    certificate = issue(agencies, "FR.SCL")

    again = open_authority(folder, agencies.certificate, authority=Authority.AGENCIES, nation="FR")
    (issued,) = again.record().issued

    assert (issued.serial, issued.name) == (certificate.serial_number, "FR.SCL")
    assert issued.expires == certificate.not_valid_after_utc
    assert issued.revoked is None


def test_serial_numbers_are_random_and_long(agencies: IssuingAuthority) -> None:
    drawn = {issue(agencies, "FR.SCL").serial_number for _ in range(4)}

    assert len(drawn) == 4
    assert all(serial.bit_length() == 159 for serial in drawn)


def test_a_list_holds_every_revocation_and_its_number_grows(agencies: IssuingAuthority) -> None:
    one, two, three = (issue(agencies, name) for name in ("FR.SCL", "FR.SCL", "FR.ONAF"))
    assert serials(agencies) == (1, [])

    assert len(agencies.revoke(lambda item: item.name == "FR.SCL", reason=COMPROMISE, now=NOW)) == 2
    assert serials(agencies) == (2, sorted([one.serial_number, two.serial_number]))

    agencies.revoke(lambda item: item.serial == three.serial_number, reason=COMPROMISE, now=NOW)
    assert serials(agencies)[1] == sorted(item.serial_number for item in (one, two, three))


def test_what_is_revoked_stays_as_it_was_revoked(agencies: IssuingAuthority) -> None:
    issue(agencies, "FR.SCL")
    agencies.revoke(lambda item: item.serial > 0, reason=COMPROMISE, now=NOW)

    again = agencies.revoke(
        lambda item: item.serial > 0, reason=x509.ReasonFlags.superseded, now=NOW + timedelta(1)
    )

    assert again == ()
    assert agencies.record().issued[0].reason is COMPROMISE
    assert agencies.record().issued[0].revoked == NOW


def test_the_certificate_of_another_does_not_open_it(folder: KeyFolder, agencies: IssuingAuthority) -> None:
    nodes = create_authority(folder, ROOT, authority=Authority.NODES, nation="FR", now=NOW)

    with pytest.raises(TrustError):
        open_authority(folder, nodes.certificate, authority=Authority.AGENCIES, nation="FR")
    with pytest.raises(KeyFileError) as caught:
        open_authority(
            replace(folder, unlock=UnlockKey(key_id=b"\1" * 8, secret=b"u" * 32)),
            agencies.certificate,
            authority=Authority.AGENCIES,
            nation="FR",
        )
    assert caught.value.refusal is Refusal.OTHER_FOLDER


def test_an_authority_is_made_once(folder: KeyFolder, agencies: IssuingAuthority) -> None:
    with pytest.raises(KeyFileError) as caught:
        create_authority(folder, ROOT, authority=Authority.AGENCIES, nation="FR", now=NOW)

    assert caught.value.refusal is Refusal.EXISTS


def test_a_record_is_read_back(tmp_path: Path) -> None:
    issued = Issued(
        serial=255, name="FR.SCL", spki=SpkiDigest(b"\1" * 32), expires=NOW, revoked=NOW, reason=COMPROMISE
    )
    record = Record(crl_number=3, issued=(issued, replace(issued, serial=256, revoked=None, reason=None)))

    assert read_record(private_file(tmp_path / "r.json", format_record(record))) == record
    assert [item.serial for item in record.revocations()] == [255]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "entente-authority-record/2"},
        {"crl_number": "1"},
        {"issued": [{}]},
        {"issued": None},
        {"extra": 1},
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    document = json.loads(format_record(Record())) | change
    path = private_file(tmp_path / "r.json", json.dumps(document, indent=2).encode() + b"\n")

    with pytest.raises(TrustError):
        read_record(path)
