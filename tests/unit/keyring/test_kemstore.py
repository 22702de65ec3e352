"""A KEM key is on the disk before it is announced, and gone for good once destroyed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.keybox import KEM_PUBLIC_BYTES, KemPublicKey, kem_key_id
from gateway.keyring.kemstore import KemStore
from gateway.keyring.keyfile import Purpose, UnlockKey
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.refusals import KeyFileError, Refusal

NODE = "fr.gateway.test"
NOW_MS = 1_773_480_413_123
FOLDER = KeyFolder(path=Path(), unlock=UnlockKey(key_id=bytes(8), secret=b"u" * 32), test=True)


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return replace(FOLDER, path=tmp_path / "kem")


def test_a_key_is_there_after_a_restart(folder: KeyFolder) -> None:
    key_id, public = KemStore(folder, node=NODE).create(NOW_MS)

    again = KemStore(folder, node=NODE)
    private = again.private(key_id)

    assert len(public) == KEM_PUBLIC_BYTES
    assert key_id == kem_key_id(public)
    assert private is not None
    assert private.public_key == KemPublicKey(data=public)
    assert again.private(key_id) is private
    assert again.created_ms() == {key_id: NOW_MS // 1_000 * 1_000}


def test_keys_are_listed_oldest_first(folder: KeyFolder) -> None:
    store = KemStore(folder, node=NODE)
    days = [store.create(NOW_MS + day * 86_400_000)[0] for day in (2, 0, 1)]

    assert list(store.created_ms()) == [days[1], days[2], days[0]]


def test_a_file_that_somebody_has_touched_is_read_again(folder: KeyFolder) -> None:
    store = KemStore(folder, node=NODE)
    key_id, _ = store.create(NOW_MS)
    path = folder.path / f"{key_id.hex()}.key"
    assert list(store.created_ms()) == list(store.created_ms()) == [key_id]

    path.chmod(0o644)
    with pytest.raises(KeyFileError):
        store.created_ms()
    path.chmod(0o600)
    assert list(store.created_ms()) == [key_id]
    path.unlink()
    assert store.created_ms() == {}


def test_a_destroyed_key_is_gone_at_once_and_after_a_restart(folder: KeyFolder) -> None:
    store = KemStore(folder, node=NODE)
    key_id, _ = store.create(NOW_MS)
    kept, _ = store.create(NOW_MS)

    store.destroy(key_id)
    store.destroy(key_id)

    assert store.private(key_id) is None
    assert KemStore(folder, node=NODE).private(key_id) is None
    assert list(store.created_ms()) == [kept]
    assert [path.name for path in folder.path.iterdir()] == [f"{kept.hex()}.key"]


@pytest.mark.parametrize("key_id", [b"", bytes(7), bytes(8), bytes(9), b"/../../x"])
def test_an_unknown_id_is_no_key_and_destroys_nothing(folder: KeyFolder, key_id: bytes) -> None:
    store = KemStore(folder, node=NODE)
    store.create(NOW_MS)

    assert store.private(key_id) is None
    store.destroy(key_id)
    assert len(store.created_ms()) == 1


def test_a_key_under_the_name_of_another_is_refused(folder: KeyFolder) -> None:
    store = KemStore(folder, node=NODE)
    one, _ = store.create(NOW_MS)
    two, _ = store.create(NOW_MS)
    shutil.copy2(folder.path / f"{one.hex()}.key", folder.path / f"{two.hex()}.key")

    with pytest.raises(KeyFileError) as caught:
        KemStore(folder, node=NODE).private(two)

    assert caught.value.refusal is Refusal.ALTERED


def test_a_seed_of_another_length_is_refused(folder: KeyFolder) -> None:
    store = KemStore(folder, node=NODE)
    key_id, _ = store.create(NOW_MS)
    header, _ = folder.get(f"{key_id.hex()}.key", purpose=Purpose.KEM)
    folder.put(
        f"{key_id.hex()}.key",
        bytes(31),
        purpose=Purpose.KEM,
        key_id=key_id,
        name=NODE,
        now=header.created,
        replace=True,
    )

    with pytest.raises(KeyFileError) as caught:
        KemStore(folder, node=NODE).private(key_id)

    assert caught.value.refusal is Refusal.ALTERED


def test_a_damaged_key_is_an_error_and_not_an_absent_one(folder: KeyFolder) -> None:
    key_id, _ = KemStore(folder, node=NODE).create(NOW_MS)
    path = folder.path / f"{key_id.hex()}.key"
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(KeyFileError) as caught:
        KemStore(folder, node=NODE).private(key_id)

    assert caught.value.refusal is Refusal.TRUNCATED


def test_a_folder_that_others_may_enter_is_refused(folder: KeyFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.path.chmod(0o755)

    with pytest.raises(KeyFileError):
        KemStore(folder, node=NODE)
