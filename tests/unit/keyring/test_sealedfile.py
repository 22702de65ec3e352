"""A sealed file: what is written is read back, and nothing that was cut or altered opens."""

from __future__ import annotations

import io
import os
import secrets
import tracemalloc
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from gateway.core.keybox import KEM_SEED_BYTES, KemPrivateKey
from gateway.keyring.backupkey import SENDER_BYTES, BackupKey
from gateway.keyring.sealedfile import PIECE_BYTES, BackupError, SealedHeader, SealedReader, SealedWriter

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def _header(key: BackupKey) -> SealedHeader:
    return SealedHeader(node="fr.gateway.test", created=NOW, test=True, key_id=key.private.key_id)


@pytest.fixture(scope="module")
def key() -> BackupKey:
    private = KemPrivateKey.from_seed(secrets.token_bytes(KEM_SEED_BYTES))
    return BackupKey(private=private, sender=secrets.token_bytes(SENDER_BYTES))


@pytest.mark.parametrize("length", [0, 1, 16_383, 16_384, 16_385, PIECE_BYTES, PIECE_BYTES + 1])
def test_what_is_sealed_is_read_back(key: BackupKey, length: int) -> None:
    target, content = io.BytesIO(), os.urandom(length)
    writer = SealedWriter(target, _header(key), key.private.public_key, sender=key.sender)
    writer.write(content)
    writer.finish()
    target.seek(0)
    reader = SealedReader(target, key)
    assert reader.header == _header(key)
    assert reader.read(length) == content
    assert reader.read(1) == b""
    reader.finish()


def test_a_file_without_its_end_does_not_finish(key: BackupKey) -> None:
    target = io.BytesIO()
    SealedWriter(target, _header(key), key.private.public_key, sender=key.sender).write(bytes(100_000))
    target.seek(0)
    with pytest.raises(BackupError, match="truncated"):
        SealedReader(target, key).finish()


def test_a_sealed_file_needs_little_memory_whatever_its_length(key: BackupKey) -> None:
    class Endless(io.RawIOBase):
        """Takes and forgets."""

        def write(self, piece: Any, /) -> int:
            return len(piece)

    piece = bytes(1_048_576)
    tracemalloc.start()
    try:
        writer = SealedWriter(cast("Any", Endless()), _header(key), key.private.public_key, sender=key.sender)
        for _ in range(64):
            writer.write(piece)
        writer.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


def test_neither_the_private_half_nor_the_sender_secret_opens_a_file_alone(key: BackupKey) -> None:
    target = io.BytesIO()
    writer = SealedWriter(target, _header(key), key.private.public_key, sender=key.sender)
    writer.write(b"content")
    writer.finish()
    target.seek(0)
    with pytest.raises(BackupError, match="was not made by its node"):
        SealedReader(target, BackupKey(private=key.private, sender=bytes(SENDER_BYTES))).finish()


def test_a_key_shows_no_secret(key: BackupKey) -> None:
    assert key.sender.hex() not in repr(key)
    assert repr(key) == f"BackupKey({key.private.key_id.hex()})"
