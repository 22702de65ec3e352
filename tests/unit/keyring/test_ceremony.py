"""A ceremony makes everything once, marks it, and writes down every fingerprint."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.keyring.ceremony import NodePlan, Passphrases, hold_ceremony, open_authorities, open_root_signer
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.keyfile import PassphraseLock, read_header
from gateway.keyring.keyring import FileKeyring
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.pins import read_pin
from gateway.keyring.refusals import CeremonyError, KeyFileError, Refusal, TrustError
from gateway.keyring.registry import read_registry
from gateway.keyring.roots import root_digest
from gateway.keyring.statement import root_fingerprint
from gateway.keyring.transcript import TEST_MARK, transcript_digest
from gateway.keyring.trust import (
    read_published_as_stated,
)
from gateway.keyring.words import in_words
from tests.unit.keyring.helpers import Pair, present, root_signer

PLAN = NodePlan(
    nation="FR",
    node="fr.gateway.example",
    peer_nation="US",
    peer_node="us.gateway.example",
    test=False,
)
PASSPHRASES = Passphrases(
    node=Passphrase(b"the node opens"),
    root=Passphrase(b"the root opens"),
    issuing=Passphrase(b"the issuers open"),
)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> tuple[NodeHome, AuthorityHome, str]:
    base = tmp_path_factory.mktemp("production")
    home, authority = NodeHome(path=base / "home"), AuthorityHome(path=base / "offline")
    record = hold_ceremony(home, authority, PLAN, PASSPHRASES, now=present()).record
    return home, authority, record


def test_a_production_home_opens_in_production(
    production: tuple[NodeHome, AuthorityHome, str],
) -> None:
    home, _, _ = production
    keyring = FileKeyring.open(home.path, passphrase=PASSPHRASES.node, production=True)

    assert (keyring.node, keyring.peer_node) == (PLAN.node, PLAN.peer_node)
    assert not keyring.is_test
    assert not keyring.own_statement.test
    assert read_pin(home.peer).root is None
    assert read_registry(home.registry).holders == ()


def test_one_argon2id_opens_a_folder(production: tuple[NodeHome, AuthorityHome, str]) -> None:
    home, authority, _ = production

    for folder in (home.keys, authority.root, authority.issuing):
        locks = {path.name: read_header(path).lock for path in folder.glob("*.key")}
        by_passphrase = [name for name, lock in locks.items() if isinstance(lock, PassphraseLock)]
        assert by_passphrase == ["unlock.key"]


def test_the_three_folders_open_with_their_own_passphrases(
    production: tuple[NodeHome, AuthorityHome, str],
) -> None:
    home, authority, _ = production

    assert open_root_signer(authority, PASSPHRASES.root, nation="FR").name == "entente/root/fr"
    assert len(open_authorities(home, authority, PASSPHRASES.issuing, nation="FR")) == 3
    with pytest.raises(KeyFileError) as caught:
        open_root_signer(authority, PASSPHRASES.issuing, nation="FR")
    assert caught.value.refusal is Refusal.WRONG_PASSPHRASE
    with pytest.raises(KeyFileError) as caught:
        open_authorities(home, authority, PASSPHRASES.node, nation="FR")
    assert caught.value.refusal is Refusal.WRONG_PASSPHRASE
    with pytest.raises(TrustError):
        open_root_signer(authority, PASSPHRASES.root, nation="US")


def test_no_private_key_is_readable_by_others_and_none_is_in_the_clear(
    production: tuple[NodeHome, AuthorityHome, str],
) -> None:
    home, authority, _ = production
    private = [*home.keys.rglob("*"), *authority.path.rglob("*")]

    assert all(stat.S_IMODE(path.stat().st_mode) in (0o600, 0o700) for path in private)
    for path in (*home.path.rglob("*"), *authority.path.rglob("*")):
        if path.is_file():
            assert b"PRIVATE KEY" not in path.read_bytes()
    assert not list(home.path.glob("agencies/*"))


def test_the_record_holds_the_fingerprint_to_read_aloud(
    production: tuple[NodeHome, AuthorityHome, str],
) -> None:
    home, _, record = production
    published = read_published_as_stated(home.own)

    assert root_fingerprint(published.root) in record
    assert all(line in record for line in in_words(root_digest(published.root)))
    assert published.statement.ceremony == transcript_digest(record)
    assert record == home.ceremony_record.read_text()
    assert "TEST" not in record


def test_the_record_of_test_keys_says_so_loudly(pair: Pair) -> None:
    assert TEST_MARK in pair.fr.ceremony_record.read_text()


def test_a_ceremony_never_replaces_keys(production: tuple[NodeHome, AuthorityHome, str]) -> None:
    home, authority, _ = production
    before = {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()}

    with pytest.raises(KeyFileError) as caught:
        hold_ceremony(home, authority, PLAN, PASSPHRASES, now=present())

    assert caught.value.refusal is Refusal.EXISTS
    assert {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()} == before


def test_a_folder_that_others_may_enter_holds_no_ceremony(tmp_path: Path) -> None:
    offline = tmp_path / "offline"
    offline.mkdir()
    offline.chmod(0o755)

    with pytest.raises(KeyFileError) as caught:
        hold_ceremony(
            NodeHome(path=tmp_path / "home"), AuthorityHome(path=offline), PLAN, PASSPHRASES, now=present()
        )

    assert caught.value.refusal is Refusal.SHARED
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"nation": "fr"},
        {"nation": "FRA"},
        {"nation": ""},
        {"peer_nation": "us"},
        {"peer_nation": "FR"},
        {"node": "fr"},
        {"node": "FR.gateway.example"},
        {"node": "fr..example"},
        {"node": "-fr.example"},
        {"node": "fr.example/x"},
        {"node": "fr example.com"},
        {"node": "a" * 60 + ".example"},
        {"peer_node": "fr.gateway.example"},
        {"peer_node": ""},
    ],
)
def test_names_that_cannot_stand_in_a_log_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(CeremonyError):
        replace(PLAN, **changes)  # type: ignore[arg-type]


def test_the_root_of_a_test_home_is_opened_like_any_other(pair: Pair) -> None:
    root = root_signer(pair.us, nation="US")

    assert root.verifier == read_published_as_stated(pair.us.own).root
