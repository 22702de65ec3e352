"""A client is the digest of its key; the registry says who that is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.keyring.refusals import KeyFileError, TrustError
from gateway.keyring.registry import (
    Holder,
    Registry,
    Role,
    SpkiDigest,
    is_code,
    parse_registry,
    read_registry,
    spki_sha256,
    write_registry,
)
from tests.unit.keyring.helpers import Pair

SARC = Holder(spki=SpkiDigest(b"\1" * 32), code="FR.DGDDI.SARC", role=Role.AGENCY)
SCL = Holder(spki=SpkiDigest(b"\2" * 32), code="FR.SCL", role=Role.AGENCY)
CAMILLE = Holder(spki=SpkiDigest(b"\3" * 32), code="CAMILLE", role=Role.OPERATOR)
REGISTRY = Registry(nation="FR", version=4, holders=(SARC, SCL, CAMILLE))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_registry(tmp_path / "agencies.json", REGISTRY)

    assert read_registry(tmp_path / "agencies.json") == REGISTRY


def test_who_is_not_listed_is_nobody() -> None:
    assert REGISTRY.find(SARC.spki) == SARC
    assert REGISTRY.find(SpkiDigest(b"\4" * 32)) is None


def test_a_certificate_is_known_by_its_key_and_not_by_its_name(pair: Pair) -> None:
    registry = read_registry(pair.fr.registry)
    certificate = x509.load_pem_x509_certificate((pair.fr.agencies / "FR.SCL" / "client.pem").read_bytes())
    namesake = x509.load_pem_x509_certificate((pair.us.agencies / "US.CBP" / "client.pem").read_bytes())

    found = registry.identify(certificate.public_bytes(Encoding.DER))

    assert found is not None
    assert (found.code, found.role) == ("FR.SCL", Role.AGENCY)
    assert registry.identify(namesake.public_bytes(Encoding.DER)) is None


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(TrustError):
        spki_sha256(b"not a certificate")


def test_one_agency_may_have_several_keys_but_one_key_one_holder() -> None:
    second = Holder(spki=SpkiDigest(b"\4" * 32), code="FR.SCL", role=Role.AGENCY)
    registry = REGISTRY.with_holder(second)

    assert registry.version == 5
    assert registry.find(second.spki) == second
    with pytest.raises(TrustError):
        registry.with_holder(Holder(spki=SARC.spki, code="FR.ONAF", role=Role.AGENCY))


def test_a_holder_is_taken_out() -> None:
    registry = REGISTRY.without([SCL.spki, SpkiDigest(b"\7" * 32)])

    assert registry.holders == (SARC, CAMILLE)
    assert registry.version == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(format="entente-agency-registry/2"),
        lambda document: document.update(version=0),
        lambda document: document.update(version="4"),
        lambda document: document.update(nation=1),
        lambda document: document.update(extra=1),
        lambda document: document.pop("holders"),
        lambda document: document["holders"].reverse(),
        lambda document: document["holders"].append(document["holders"][0]),
        lambda document: document["holders"][0].update(role="administrator"),
        lambda document: document["holders"][0].update(code="fr.scl"),
        lambda document: document["holders"][0].update(spki_sha256="00"),
        lambda document: document["holders"][0].update(spki_sha256="0A" * 32),
        lambda document: document["holders"][0].update(note="x"),
        lambda document: document.update(holders=None),
    ],
)
def test_any_other_form_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(REGISTRY.format())
    change(document)

    with pytest.raises(TrustError):
        parse_registry(json.dumps(document, indent=2).encode() + b"\n")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"format": 1, "format": 2}', b"\xff"])
def test_what_is_no_registry_is_refused(content: bytes) -> None:
    with pytest.raises(TrustError):
        parse_registry(content)


def test_a_registry_that_others_may_write_is_refused(tmp_path: Path) -> None:
    write_registry(tmp_path / "agencies.json", REGISTRY)
    (tmp_path / "agencies.json").chmod(0o666)

    with pytest.raises(KeyFileError):
        read_registry(tmp_path / "agencies.json")


@pytest.mark.parametrize("text", ["FR.SCL", "FR.DGDDI.SARC", "A", "OPERATOR-2"])
def test_codes_are_capital_letters_and_digits_in_parts(text: str) -> None:
    assert is_code(text)


@pytest.mark.parametrize(
    "text", ["", "fr.scl", "FR..SCL", ".FR", "FR.", "FR/SCL", "..", "FR SCL", "É", "A" * 65, "A\n"]
)
def test_nothing_else_is_a_code(text: str) -> None:
    assert not is_code(text)
