"""Fingerprints can be read aloud in two languages, and the paper says what the logs say."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import pytest

from gateway.keyring.ceremony import NodePlan, Passphrases, hold_ceremony
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.passphrase import Passphrase, join_halves
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.statement import parse_statement
from gateway.keyring.transcript import People, write_import_record
from gateway.keyring.trust import read_published_as_stated
from gateway.keyring.words import WORDS, in_words
from tests.unit.keyring.helpers import PASSPHRASE, Pair

PLAN = NodePlan(
    nation="FR",
    node="fr.gateway.example",
    peer_nation="US",
    peer_node="us.gateway.example",
    test=False,
)
PEOPLE = People(custodians=("Camille Martin", "Dominique Petit-Jean"), witness="Ève O'Brien")


def test_each_byte_has_a_word_and_no_two_words_are_easily_confused() -> None:
    assert len(WORDS) == len(set(WORDS)) == 256
    assert all(word.isascii() and word.islower() and 4 <= len(word) <= 8 for word in WORDS)
    for one, two in combinations(WORDS, 2):
        if len(one) == len(two):
            assert sum(a != b for a, b in zip(one, two, strict=True)) > 1, (one, two)


def test_a_fingerprint_is_sixteen_words_in_four_lines() -> None:
    lines = in_words(bytes(range(16)) + b"further bytes are not said")

    assert [len(line.split()) for line in lines] == [4, 4, 4, 4]
    assert [WORDS.index(word) for line in lines for word in line.split()] == list(range(16))
    with pytest.raises(ValueError, match="16 bytes"):
        in_words(bytes(15))


def test_the_transcript_names_who_was_there_and_its_digest_is_in_the_statement(tmp_path: Path) -> None:
    home = NodeHome(path=tmp_path / "fr")
    halves = Passphrase(b"one half of it, at least"), Passphrase(b"and the other one")
    phrases = Passphrases(node=PASSPHRASE, root=join_halves(*halves), issuing=PASSPHRASE)
    made = hold_ceremony(
        home, AuthorityHome(path=tmp_path / "a"), PLAN, phrases, now=datetime.now(UTC), people=PEOPLE
    )

    for name in (*PEOPLE.custodians, PEOPLE.witness):
        assert name in made.record
    statement = read_published_as_stated(home.own).statement
    assert statement.ceremony == hashlib.sha384(home.ceremony_record.read_bytes()).digest()
    assert f"ceremony-sha384 {statement.ceremony.hex()}\n" in statement.format()
    assert parse_statement(statement.format()) == statement
    without = replace(statement, ceremony=None)
    assert parse_statement(without.format()) == without
    assert "ceremony" not in without.format()


@pytest.mark.parametrize("name", ["", " Camille", "Camille\nPetit", "x" * 81, "1", "Camille; rm"])
def test_a_name_that_cannot_stand_on_a_line_is_refused(name: str) -> None:
    with pytest.raises(CeremonyError):
        People(custodians=(name, "Dominique Petit"))


def test_nobody_is_two_people() -> None:
    with pytest.raises(CeremonyError, match="different people"):
        People(custodians=("Camille Martin", "camille martin"))
    with pytest.raises(CeremonyError, match="different people"):
        People(custodians=("Camille Martin", "Dominique Petit"), witness="Dominique Petit")


def test_the_record_of_an_exchange_of_trust_shows_the_peers_fingerprints(pair: Pair) -> None:
    published = read_published_as_stated(pair.us.own)
    record = write_import_record(published, people=PEOPLE, now=datetime(2026, 11, 28, 12, tzinfo=UTC))

    for text in ("us.gateway.test, US", "2026-11-28T12:00:00Z", "Camille Martin", "TEST KEYS"):
        assert text in record
    assert published.fingerprints()["root keys (SHA-384)"] in record
    assert published.fingerprints()["root keys in words"].split()[0] in record
