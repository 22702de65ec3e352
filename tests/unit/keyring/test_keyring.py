"""A node's keys open together, fit together, and follow the peer's statements."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import cosign, sign_checkpoint, verify_cosignature, verify_log_note
from gateway.core.merkle import EMPTY_ROOT
from gateway.core.signature import HybridSigner
from gateway.errors import MalformedError, SignatureInvalidError
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyring import FileKeyring
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.pins import read_pin, write_pin
from gateway.keyring.refusals import KeyFileError, Refusal, TrustError
from gateway.keyring.statement import KeyStatement, StatementRefusedError, sign_statement
from gateway.ports import Keyring
from tests.unit.keyring.helpers import OTHER_PASSPHRASE, Pair, folder, keyring, present, root_signer

EXCHANGE = "fr.gateway.test/exchange/us"


@pytest.fixture(scope="module")
def french(pair: Pair) -> FileKeyring:
    return keyring(pair.fr)


def american_statement(pair: Pair, **changes: object) -> bytes:
    own: KeyStatement = keyring(pair.us).own_statement
    return sign_statement(
        replace(own, **changes),  # type: ignore[arg-type]
        root=root_signer(pair.us, nation="US"),
    )


def test_it_is_what_a_node_asks_for(french: FileKeyring) -> None:
    port: Keyring = french

    assert len(port.storage_key) == 32
    assert (french.nation, french.node) == ("FR", "fr.gateway.test")
    assert (french.peer_nation, french.peer_node) == ("US", "us.gateway.test")
    assert french.is_test


def test_what_one_signs_the_other_verifies(pair: Pair, french: FileKeyring) -> None:
    american = keyring(pair.us)
    for origin in (EXCHANGE, f"{EXCHANGE}/2", "fr.gateway.test/audit"):
        checkpoint = Checkpoint(origin=origin, size=0, root=EMPTY_ROOT)
        note = sign_checkpoint(checkpoint, signer=french.log_signer(origin, french.statement), time_s=1)
        cosigned = cosign(note, cosigner=american.cosigner, time_s=2)

        assert (
            verify_log_note(note, verifier=american.peer_log_verifier(origin, french.statement)).checkpoint
            == checkpoint
        )
        assert verify_log_note(note, verifier=french.own_verifiers(origin)[0]).checkpoint == checkpoint
        assert verify_cosignature(cosigned, cosigner=french.peer_cosigners[0]) == 2


def test_every_key_has_one_use(french: FileKeyring) -> None:
    signers: list[HybridSigner] = [
        french.log_signer(EXCHANGE, french.statement),
        french.log_signer("fr.gateway.test/audit", french.statement),
        french.cosigner,
    ]
    keys = {key for signer in signers for key in (signer.verifier.ed25519, signer.verifier.mldsa87)}

    assert len(keys) == 6
    second = french.log_signer(f"{EXCHANGE}/2", french.statement)
    assert second is french.log_signer(f"{EXCHANGE}/2", french.statement)


@pytest.mark.parametrize("origin", ["us.gateway.test/exchange/fr", "fr.gateway.test/exchange/de", ""])
def test_a_log_that_is_not_ours_has_no_signer(french: FileKeyring, origin: str) -> None:
    with pytest.raises(MalformedError):
        french.log_signer(origin, french.statement)
    with pytest.raises(MalformedError):
        french.own_verifiers(origin)


def test_a_wrong_passphrase_opens_nothing(pair: Pair) -> None:
    with pytest.raises(KeyFileError) as caught:
        FileKeyring.open(pair.fr.path, passphrase=OTHER_PASSPHRASE, production=False)

    assert caught.value.refusal is Refusal.WRONG_PASSPHRASE


def test_production_refuses_test_keys_and_an_authority_in_the_home(own_pair: Pair) -> None:
    passphrase = read_passphrase_file(own_pair.fr.passphrase)

    with pytest.raises(TrustError, match="offline"):
        FileKeyring.open(own_pair.fr.path, passphrase=passphrase, production=True)
    shutil.rmtree(own_pair.fr.authority.path)
    with pytest.raises(KeyFileError) as caught:
        FileKeyring.open(own_pair.fr.path, passphrase=passphrase, production=True)
    assert caught.value.refusal is Refusal.TEST_KEY


@pytest.mark.parametrize("file", ["log-audit.key", "log-exchange-us.key", "cosigner.key", "storage.key"])
def test_a_key_of_another_home_is_refused(own_pair: Pair, file: str) -> None:
    shutil.copy2(own_pair.us.keys / file.replace("-us", "-fr"), own_pair.fr.keys / file)

    with pytest.raises(KeyFileError) as caught:
        keyring(own_pair.fr)

    assert caught.value.refusal is Refusal.OTHER_FOLDER


@pytest.mark.parametrize(
    ("source", "target"), [("log-audit.key", "log-exchange-us.key"), ("log-exchange-us.key", "log-audit.key")]
)
def test_the_key_of_another_log_is_refused(own_pair: Pair, source: str, target: str) -> None:
    shutil.copy2(own_pair.fr.keys / source, own_pair.fr.keys / target)

    with pytest.raises(TrustError):
        keyring(own_pair.fr)


def test_a_statement_of_other_keys_is_refused(own_pair: Pair) -> None:
    own = keyring(own_pair.fr).own_statement
    foreign = replace(keyring(own_pair.us).own_statement.cosigner, name=own.node)
    note = sign_statement(replace(own, cosigner=foreign), root=root_signer(own_pair.fr, nation="FR"))
    own_pair.fr.own.statement.write_bytes(note)

    with pytest.raises(TrustError, match="cosigner"):
        keyring(own_pair.fr)


def test_an_authority_of_another_root_is_refused(own_pair: Pair) -> None:
    shutil.copy2(own_pair.us.own.authority("agency-ca"), own_pair.fr.own.authority("agency-ca"))

    with pytest.raises(TrustError):
        keyring(own_pair.fr)


def test_before_the_import_only_own_keys_are_known(own_pair: Pair) -> None:
    home: NodeHome = own_pair.fr
    write_pin(home.peer, replace(read_pin(home.peer), root=None))
    alone = keyring(home)

    assert alone.statement == home.own.statement.read_bytes()
    with pytest.raises(TrustError, match="import"):
        alone.peer_log_verifiers("us.gateway.test/exchange/fr")
    with pytest.raises(TrustError, match="import"):
        alone.peer_pins()
    with pytest.raises(TrustError, match="import"):
        alone.accept_peer_statement(b"")


def test_the_statement_that_was_imported_changes_nothing(own_pair: Pair) -> None:
    opened = keyring(own_pair.fr)
    before = own_pair.fr.peer.pin.read_bytes()

    opened.accept_peer_statement(opened.peer_statement)
    # The same statement, signed once more: hedged signatures differ.
    opened.accept_peer_statement(american_statement(own_pair))

    assert own_pair.fr.peer.pin.read_bytes() == before


def test_a_newer_statement_takes_effect_and_survives_a_restart(own_pair: Pair) -> None:
    opened = keyring(own_pair.fr)
    pins = (opened.peer_pins()[1], b"\7" * 32)
    note = american_statement(own_pair, version=2, tls_spki=pins)

    opened.accept_peer_statement(note)

    for each in (opened, keyring(own_pair.fr)):
        assert each.peer_statement == note
        assert each.peer_pins() == pins
    assert read_pin(own_pair.fr.peer).lowest_version == 2


def test_an_older_statement_is_history_and_has_no_effect(own_pair: Pair) -> None:
    opened = keyring(own_pair.fr)
    first = opened.peer_statement
    second = american_statement(own_pair, version=2)
    opened.accept_peer_statement(second)

    opened.accept_peer_statement(first)

    assert opened.peer_statement == second
    assert read_pin(own_pair.fr.peer).lowest_version == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"tls_spki": (b"\7" * 32, b"\6" * 32)},
        {"version": 2, "root_certificate": b"\7" * 48},
    ],
    ids=["another of the same version", "another root certificate"],
)
def test_a_statement_that_contradicts_is_refused(own_pair: Pair, changes: dict[str, object]) -> None:
    opened = keyring(own_pair.fr)
    before = opened.peer_statement

    with pytest.raises(StatementRefusedError):
        opened.accept_peer_statement(american_statement(own_pair, **changes))

    assert opened.peer_statement == before


def test_test_keys_do_not_come_in_through_the_log_either(own_pair: Pair) -> None:
    opened = keyring(own_pair.fr)
    opened._folder = replace(opened._folder, test=False)

    with pytest.raises(StatementRefusedError, match="TEST"):
        opened.accept_peer_statement(american_statement(own_pair, version=2))
    # The peer may change from test keys to real ones, never back.
    real = american_statement(own_pair, version=2, test=False)
    opened.accept_peer_statement(real)
    assert opened.peer_statement == real


def test_a_storage_key_of_another_length_is_refused(own_pair: Pair) -> None:
    keys = folder(own_pair.fr)
    keys.put(
        "storage.key",
        bytes(31),
        purpose=Purpose.STORAGE,
        key_id=bytes(8),
        name="fr.gateway.test",
        now=present(),
        replace=True,
    )

    with pytest.raises(KeyFileError) as caught:
        keyring(own_pair.fr)

    assert caught.value.refusal is Refusal.ALTERED


def test_a_statement_of_another_root_or_node_is_refused(own_pair: Pair) -> None:
    opened = keyring(own_pair.fr)

    with pytest.raises(SignatureInvalidError):
        opened.accept_peer_statement(opened.statement)
    with pytest.raises(MalformedError):
        opened.accept_peer_statement(b"no note")


def test_kem_keys_live_in_the_home_and_nowhere_else(own_pair: Pair) -> None:
    opened = keyring(own_pair.fr)
    key_id, public = opened.create_kem_key(1_773_480_413_000)

    assert len(public) == 1_665
    assert (own_pair.fr.kem / f"{key_id.hex()}.key").exists()
    again = keyring(own_pair.fr)
    assert dict(again.kem_keys()) == {key_id: 1_773_480_413_000}
    assert again.kem_private(key_id) is not None
    again.destroy_kem_key(key_id)
    assert again.kem_private(key_id) is None
    assert list(own_pair.fr.kem.iterdir()) == []


def test_the_keys_of_the_ports_are_those_of_their_certificates(pair: Pair, french: FileKeyring) -> None:
    assert french.peer_identity().chain == pair.fr.own.peer_chain
    assert french.server_identity().chain == pair.fr.own.server_chain


def test_a_certificate_of_another_key_is_refused(own_pair: Pair) -> None:
    shutil.copy2(own_pair.fr.own.server_chain, own_pair.fr.own.peer_chain)

    with pytest.raises(TrustError):
        keyring(own_pair.fr).peer_identity()
