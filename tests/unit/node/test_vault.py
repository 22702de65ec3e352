"""Content at rest: sealed once, opened only with this node's key and this message's header."""

from __future__ import annotations

import os

import orjson
import pytest

from gateway.core.envelope import Header
from gateway.core.message.registry import Catalogue
from gateway.core.sealing import ContentKey, SealError, StorageKey
from gateway.node.vault import Vault
from tests.unit.node.sealing import message
from tests.world import WorldClock


@pytest.fixture
def header(catalogue: Catalogue, clock: WorldClock) -> Header:
    return message(catalogue, clock.now_ms()).header


@pytest.fixture
def vault() -> Vault:
    return Vault(StorageKey(os.urandom(32)))


def test_what_was_sealed_is_opened_and_read(vault: Vault, header: Header) -> None:
    content = orjson.dumps({"a": "b"})
    key = ContentKey(os.urandom(32))
    ciphertext, wrapped = vault.seal(
        content, content_key=key, header=header.encode(), message_id=header.message_id
    )

    assert (
        vault.open(
            header=header.encode(), ciphertext=ciphertext, wrapped_key=wrapped, message_id=header.message_id
        )
        == content
    )
    assert vault.document(header.encode(), ciphertext, wrapped) == {"a": "b"}
    assert vault.unwrap(wrapped, message_id=header.message_id) == key
    assert bytes(key) not in wrapped


def test_neither_another_nodes_key_nor_another_message_opens_it(vault: Vault, header: Header) -> None:
    key = ContentKey(os.urandom(32))
    wrapped = vault.wrap(key, message_id=header.message_id)

    with pytest.raises(SealError):
        Vault(StorageKey(os.urandom(32))).unwrap(wrapped, message_id=header.message_id)
    with pytest.raises(SealError):
        vault.unwrap(wrapped, message_id=bytes(16))
    with pytest.raises(SealError):
        vault.unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), message_id=header.message_id)


def test_content_does_not_open_under_another_header_or_when_it_was_altered(
    vault: Vault, header: Header
) -> None:
    ciphertext, wrapped = vault.seal(
        b"{}", content_key=ContentKey(os.urandom(32)), header=header.encode(), message_id=header.message_id
    )

    for other, altered in (
        (header.encode()[:-1] + b"\x01", ciphertext),
        (header.encode(), ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])),
    ):
        with pytest.raises(SealError):
            vault.open(header=other, ciphertext=altered, wrapped_key=wrapped, message_id=header.message_id)
