"""One passphrase opens a folder; nothing of another folder gets in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.core.signature import HybridVerifier
from gateway.keyring.keyfile import Purpose, UnlockKey, create_key_file
from gateway.keyring.keyfolder import KeyFolder, hybrid_key_id, hybrid_signer
from gateway.keyring.refusals import KeyFileError, Refusal
from tests.unit.keyring.helpers import NOW, OTHER_PASSPHRASE, PASSPHRASE

UNLOCK = UnlockKey(key_id=b"\1" * 8, secret=b"u" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    path = tmp_path / "keys"
    path.mkdir(mode=0o700)
    return KeyFolder(path=path, unlock=UNLOCK, test=True)


def test_a_folder_opens_again_with_its_passphrase(tmp_path: Path) -> None:
    made = KeyFolder.create(tmp_path / "k", passphrase=PASSPHRASE, name="fr", test=True, now=NOW)
    secret = made.create_symmetric("storage.key", purpose=Purpose.STORAGE, name="fr", now=NOW)

    opened = KeyFolder.open(tmp_path / "k", passphrase=PASSPHRASE, allow_test=True)

    assert opened == made
    assert opened.get("storage.key", purpose=Purpose.STORAGE)[1] == secret
    assert [path.name for path in opened.files()] == ["storage.key", "unlock.key"]


def test_a_folder_has_one_unlock_key(tmp_path: Path) -> None:
    KeyFolder.create(tmp_path / "k", passphrase=PASSPHRASE, name="fr", test=True, now=NOW)

    with pytest.raises(KeyFileError) as caught:
        KeyFolder.create(tmp_path / "k", passphrase=PASSPHRASE, name="fr", test=True, now=NOW)

    assert caught.value.refusal is Refusal.EXISTS


def test_production_refuses_a_test_folder(tmp_path: Path) -> None:
    KeyFolder.create(tmp_path / "k", passphrase=PASSPHRASE, name="fr", test=True, now=NOW)

    with pytest.raises(KeyFileError) as caught:
        KeyFolder.open(tmp_path / "k", passphrase=PASSPHRASE, allow_test=False)

    assert caught.value.refusal is Refusal.TEST_KEY


def test_a_changed_passphrase_opens_the_same_keys_and_the_old_one_none(tmp_path: Path) -> None:
    made = KeyFolder.create(tmp_path / "k", passphrase=PASSPHRASE, name="fr", test=False, now=NOW)
    made.change_passphrase(OTHER_PASSPHRASE, now=NOW)

    assert KeyFolder.open(tmp_path / "k", passphrase=OTHER_PASSPHRASE, allow_test=False) == made
    with pytest.raises(KeyFileError) as caught:
        KeyFolder.open(tmp_path / "k", passphrase=PASSPHRASE, allow_test=False)
    assert caught.value.refusal is Refusal.WRONG_PASSPHRASE


def test_a_change_of_passphrase_removes_what_one_that_was_killed_has_left(tmp_path: Path) -> None:
    """It would open with a passphrase that was never in force, for whoever gets a copy of the folder."""
    made = KeyFolder.create(tmp_path / "k", passphrase=PASSPHRASE, name="fr", test=False, now=NOW)
    before = sorted(made.path.iterdir())
    (made.path / ".unlock.key.00f1d2c3b4a59687.tmp").write_bytes((made.path / "unlock.key").read_bytes())

    made.change_passphrase(OTHER_PASSPHRASE, now=NOW)

    assert sorted(made.path.iterdir()) == before


def test_a_test_key_among_production_keys_is_refused(folder: KeyFolder) -> None:
    folder.create_symmetric("storage.key", purpose=Purpose.STORAGE, name="fr", now=NOW)
    production = KeyFolder(path=folder.path, unlock=folder.unlock, test=False)

    with pytest.raises(KeyFileError) as caught:
        production.get("storage.key", purpose=Purpose.STORAGE)

    assert caught.value.refusal is Refusal.TEST_KEY


def test_a_hybrid_key_signs_under_its_name_and_under_another_on_request(folder: KeyFolder) -> None:
    signer = folder.create_hybrid("log.key", purpose=Purpose.LOG, name="fr.test/audit", now=NOW)
    again = folder.open_hybrid("log.key", purpose=Purpose.LOG)
    renamed = folder.open_hybrid("log.key", purpose=Purpose.LOG, name="fr.test/audit/2")

    assert again.verifier == signer.verifier
    assert renamed.verifier == HybridVerifier(
        name="fr.test/audit/2", ed25519=signer.verifier.ed25519, mldsa87=signer.verifier.mldsa87
    )


def test_two_keys_are_never_the_same(folder: KeyFolder) -> None:
    one = folder.create_hybrid("a.key", purpose=Purpose.LOG, name="fr.test/audit", now=NOW)
    two = folder.create_hybrid("b.key", purpose=Purpose.LOG, name="fr.test/audit", now=NOW)

    assert one.verifier.ed25519 != two.verifier.ed25519
    assert one.verifier.mldsa87 != two.verifier.mldsa87


def test_a_file_under_the_name_of_another_is_refused_by_its_purpose(folder: KeyFolder) -> None:
    folder.create_hybrid("log.key", purpose=Purpose.LOG, name="fr.test/audit", now=NOW)
    shutil.copy2(folder.path / "log.key", folder.path / "cosigner.key")

    with pytest.raises(KeyFileError) as caught:
        folder.open_hybrid("cosigner.key", purpose=Purpose.COSIGNER)

    assert caught.value.refusal is Refusal.OTHER_PURPOSE


@pytest.mark.parametrize("seeds", [bytes(63), bytes(65), b"", bytes(64)])
def test_a_file_that_holds_another_key_than_it_says_is_refused(folder: KeyFolder, seeds: bytes) -> None:
    create_key_file(
        folder.path / "log.key",
        seeds,
        purpose=Purpose.LOG,
        key_id=bytes(8),
        name="fr.test/audit",
        created=NOW,
        test=True,
        opener=UNLOCK,
    )

    with pytest.raises(KeyFileError) as caught:
        folder.open_hybrid("log.key", purpose=Purpose.LOG)

    assert caught.value.refusal is Refusal.ALTERED


def test_a_p384_key_is_read_back(folder: KeyFolder) -> None:
    key = folder.create_p384("tls.key", purpose=Purpose.TLS, name="fr", now=NOW)

    assert folder.open_p384("tls.key", purpose=Purpose.TLS).private_numbers() == key.private_numbers()


def test_what_is_no_p384_key_is_refused(folder: KeyFolder) -> None:
    for file, secret in (("a.key", b"not a key"), ("b.key", b"")):
        folder.put(file, secret, purpose=Purpose.TLS, key_id=bytes(8), name="fr", now=NOW)
        with pytest.raises(KeyFileError) as caught:
            folder.open_p384(file, purpose=Purpose.TLS)
        assert caught.value.refusal is Refusal.ALTERED


def test_a_key_id_depends_on_both_keys() -> None:
    one = hybrid_signer(bytes(64), name="a").verifier
    two = hybrid_signer(bytes(32) + b"\1" * 32, name="a").verifier

    assert one.ed25519 == two.ed25519
    assert hybrid_key_id(one) != hybrid_key_id(two)
