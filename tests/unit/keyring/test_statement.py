"""A key statement has one form, one signer and one subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from gateway.core.cosignature import sign_text_note
from gateway.core.note import parse_note, parse_verifier_key
from gateway.core.signature import HybridVerifier, SoftwareSigner
from gateway.errors import MalformedError, SignatureInvalidError
from gateway.keyring.keyfolder import hybrid_signer
from gateway.keyring.statement import (
    KeyStatement,
    StatementRefusedError,
    next_statement,
    parse_root_verifier_keys,
    parse_statement,
    root_fingerprint,
    root_name,
    root_verifier_keys,
    sign_statement,
    verify_statement,
)
from tests.unit.keyring.helpers import NOW

NODE = "fr.gateway.test"


@cache
def signer(number: int, name: str) -> SoftwareSigner:
    return hybrid_signer(bytes([number]) * 64, name=name)


@cache
def root() -> SoftwareSigner:
    return signer(9, root_name("FR"))


@cache
def statement() -> KeyStatement:
    return KeyStatement(
        nation="FR",
        node=NODE,
        version=2,
        issued=NOW,
        test=True,
        root_certificate=b"\3" * 48,
        logs=(signer(1, f"{NODE}/audit").verifier, signer(2, f"{NODE}/exchange/us").verifier),
        cosigner=signer(3, NODE).verifier,
        tls_spki=(b"\4" * 32, b"\5" * 32),
    )


def verified(note: bytes, *, nation: str = "FR", node: str = NODE, lowest_version: int = 1) -> KeyStatement:
    return verify_statement(
        note, root=root().verifier, nation=nation, node=node, lowest_version=lowest_version
    )


def test_what_is_written_is_read_back() -> None:
    text = statement().format()

    assert parse_statement(text) == statement()
    assert text.split("\n")[:7] == [
        "entente/key-statement/v1",
        "nation FR",
        f"node {NODE}",
        "version 2",
        "issued 2026-03-14T09:26:53Z",
        "mode test",
        "root-certificate-sha384 " + "03" * 48,
    ]


def test_the_root_signs_and_anybody_verifies() -> None:
    note = sign_statement(statement(), root=root())

    assert verified(note, lowest_version=2) == statement()
    # An entry of kind 5 holds at most 60 KiB.
    assert len(note) < 20_000


def test_its_key_lines_are_verifier_keys_that_other_tools_read() -> None:
    lines = statement().verifier_keys().splitlines()

    assert [parse_verifier_key(line).name for line in lines] == [
        f"{NODE}/audit",
        f"{NODE}/audit",
        f"{NODE}/exchange/us",
        f"{NODE}/exchange/us",
        NODE,
        NODE,
    ]
    assert [parse_verifier_key(line).algorithm for line in lines] == [1, 0xFF, 1, 0xFF, 4, 0xFF]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: text[:-1],
        lambda text: "\n" + text,
        lambda text: text.replace("/v1", "/v2", 1),
        lambda text: text.replace("nation FR", "nation fr"),
        lambda text: text.replace("nation FR", "nation  FR"),
        lambda text: text.replace("nation FR\n", ""),
        lambda text: text.replace("nation FR\n", "nation FR\nnation FR\n"),
        lambda text: text.replace("version 2", "version 02"),
        lambda text: text.replace("version 2", "version +2"),
        lambda text: text.replace("version 2", "version 0"),
        lambda text: text.replace("version 2", "version 9007199254740992"),
        lambda text: text.replace("mode test", "mode TEST"),
        lambda text: text.replace("mode test", "mode trial"),
        lambda text: text.replace("09:26:53Z", "09:26:53+00:00"),
        lambda text: text.replace("03" * 48, "03" * 47),
        lambda text: text.replace("03" * 48, "3" * 95),
        lambda text: text.replace("04" * 32, "05" * 32),
        lambda text: text.replace("04" * 32, "0A" * 32),
        lambda text: text + "tls-spki-sha256 " + "06" * 32 + "\n",
        lambda text: text.replace("tls-spki-sha256 " + "05" * 32 + "\n", ""),
        lambda text: text + "comment hello\n",
        lambda text: text.replace("cosigner ", "log "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\n".join(line for line in text.split("\n") if not line.startswith("log ")),
        lambda text: "\n".join(line for line in text.split("\n") if not line.startswith("cosigner ")),
    ],
)
def test_any_other_form_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(MalformedError):
        parse_statement(change(statement().format()))


@pytest.mark.parametrize(
    "changed",
    [
        {"logs": (signer(2, f"{NODE}/exchange/us").verifier, signer(1, f"{NODE}/audit").verifier)},
        {"logs": (signer(1, f"{NODE}/audit").verifier, signer(1, f"{NODE}/exchange/us").verifier)},
        {"logs": (signer(1, "us.gateway.test/audit").verifier,)},
        {"cosigner": signer(3, "us.gateway.test").verifier},
        {"cosigner": signer(1, NODE).verifier},
        {"tls_spki": (b"\4" * 32, b"\4" * 32)},
        {"node": "FR.gateway.test"},
        {"node": "fr"},
        {"nation": "FRA"},
    ],
    ids=[
        "logs out of order",
        "two logs with one key",
        "log of another node",
        "cosigner under another name",
        "cosigner with the key of a log",
        "one key now and next",
        "capital letters",
        "node without a dot",
        "three letters",
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changed: dict[str, object]) -> None:
    unsound = replace(statement(), **changed)  # type: ignore[arg-type]

    with pytest.raises(MalformedError):
        parse_statement(unsound.format())
    with pytest.raises(ValueError, match="sound statement"):
        sign_statement(unsound, root=root())


def test_another_root_signs_nothing_for_this_nation() -> None:
    american = signer(8, root_name("US"))
    impostor = signer(8, root_name("FR"))

    with pytest.raises(ValueError, match="own nation"):
        sign_statement(statement(), root=american)
    with pytest.raises(SignatureInvalidError):
        verified(sign_statement(statement(), root=impostor))
    with pytest.raises(SignatureInvalidError):
        verify_statement(
            sign_statement(statement(), root=root()),
            root=american.verifier,
            nation="FR",
            node=NODE,
            lowest_version=1,
        )


def test_one_of_two_signatures_is_not_enough() -> None:
    note = sign_statement(statement(), root=root())
    text, _, lines = note.decode().rpartition("\n\n")

    for line in lines.splitlines():
        with pytest.raises(SignatureInvalidError):
            verified(f"{text}\n\n{line}\n".encode())


def test_a_signed_text_that_is_no_statement_is_refused() -> None:
    with pytest.raises(MalformedError):
        verified(sign_text_note("entente/key-statement/v1\nnation FR\n", signer=root()))


def test_a_log_key_makes_no_statement() -> None:
    with pytest.raises(SignatureInvalidError):
        verified(sign_text_note(statement().format(), signer=signer(1, f"{NODE}/audit")))


@pytest.mark.parametrize("expected", [{"node": "fr2.gateway.test"}, {"lowest_version": 3}])
def test_a_true_statement_that_is_not_the_expected_one_is_refused(expected: dict[str, object]) -> None:
    note = sign_statement(statement(), root=root())

    with pytest.raises(StatementRefusedError):
        verified(note, **expected)  # type: ignore[arg-type]


def test_a_byte_that_was_altered_in_the_text_is_found() -> None:
    note = sign_statement(statement(), root=root())

    for old, new in (
        (b"version 2", b"version 3"),
        (b"05" * 32, b"07" * 32),
        (b"mode test", b"mode production"),
    ):
        with pytest.raises(SignatureInvalidError):
            verified(note.replace(old, new))


@pytest.mark.parametrize("generation", ["", "/2", "/3", "/10", "/999999999"])
def test_the_key_of_a_log_is_that_of_its_successors(generation: str) -> None:
    origin = f"{NODE}/exchange/us{generation}"
    verifier = statement().log(origin)

    assert verifier == HybridVerifier(
        name=origin,
        ed25519=signer(2, f"{NODE}/exchange/us").verifier.ed25519,
        mldsa87=signer(2, f"{NODE}/exchange/us").verifier.mldsa87,
    )


@pytest.mark.parametrize(
    "origin",
    [
        f"{NODE}/exchange/fr",
        f"{NODE}/exchange/us/",
        f"{NODE}/exchange/us/0",
        f"{NODE}/exchange/us/1",
        f"{NODE}/exchange/us/02",
        f"{NODE}/exchange/us/2/2",
        f"{NODE}/exchange/usa",
        f"{NODE}/exchange",
        NODE,
        "",
    ],
)
def test_no_other_log_has_a_key(origin: str) -> None:
    with pytest.raises(MalformedError):
        statement().log(origin)


def test_the_next_statement_has_the_next_version_and_keys() -> None:
    following = next_statement(statement(), issued=NOW, tls_spki=(b"\5" * 32, b"\6" * 32))

    assert following.version == 3
    assert following.tls_spki == (b"\5" * 32, b"\6" * 32)
    assert following.logs == statement().logs


def test_the_keys_of_a_root_have_one_form_and_one_fingerprint() -> None:
    text = root_verifier_keys(root().verifier)

    assert parse_root_verifier_keys(text) == root().verifier
    assert len(root_fingerprint(root().verifier).split()) == 24
    for other in (
        text[:-1],
        text + "\n",
        "\n".join(reversed(text.splitlines())) + "\n",
        text.splitlines()[0] + "\n",
        text.splitlines()[0] + "\n" + root_verifier_keys(signer(8, root_name("FR")).verifier).splitlines()[1],
        "",
    ):
        with pytest.raises(MalformedError):
            parse_root_verifier_keys(other)


def test_the_keys_of_a_log_are_no_keys_of_a_root() -> None:
    keys = root().verifier.verifier_keys(cosigner=False)

    with pytest.raises(MalformedError):
        parse_root_verifier_keys("".join(f"{key.encode()}\n" for key in keys))


def test_a_statement_is_a_note_that_anybody_can_read() -> None:
    note = parse_note(sign_statement(statement(), root=root()))

    assert [line.name for line in note.signatures] == ["entente/root/fr"] * 2
