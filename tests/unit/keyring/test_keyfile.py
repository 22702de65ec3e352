"""A key file opens for the right passphrase and purpose, or says in one sentence why not."""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha384
from pathlib import Path
from typing import Any

import pytest
from cryptography.cobblestone import Cobblestone256Encryptor

from gateway.keyring.keyfile import (
    ARGON2_LANES,
    ARGON2_MEMORY_KIB,
    ARGON2_PASSES,
    FORMAT,
    KeyHeader,
    PassphraseLock,
    Purpose,
    UnlockKey,
    WrappedLock,
    _context,
    create_key_file,
    open_key_file,
    parse,
    read_header,
    render,
)
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import KeyFileError, Refusal
from tests.unit.keyring.helpers import NOW, OTHER_PASSPHRASE, PASSPHRASE, private_file

SECRET = bytes(range(32))
KEY_ID = bytes.fromhex("0011223344556677")
UNLOCK = UnlockKey(key_id=bytes(8), secret=b"u" * 32)
LOCK = PassphraseLock(memory_kib=ARGON2_MEMORY_KIB, passes=ARGON2_PASSES, lanes=ARGON2_LANES, salt=bytes(32))
WRAPPED = KeyHeader(
    purpose=Purpose.LOG,
    key_id=KEY_ID,
    name="fr.gateway.test/audit",
    created=NOW,
    test=False,
    lock=WrappedLock(under=UNLOCK.key_id),
)


def create(
    path: Path,
    opener: Passphrase | UnlockKey = UNLOCK,
    *,
    purpose: Purpose = Purpose.LOG,
    test: bool = False,
) -> Path:
    create_key_file(
        path,
        SECRET,
        purpose=purpose,
        key_id=KEY_ID,
        name="fr.gateway.test/audit",
        created=NOW,
        test=test,
        opener=opener,
    )
    return path


def refusal(
    path: Path,
    opener: Passphrase | UnlockKey = UNLOCK,
    *,
    purpose: Purpose = Purpose.LOG,
    allow_test: bool = False,
) -> Refusal:
    with pytest.raises(KeyFileError) as caught:
        open_key_file(path, purpose=purpose, opener=opener, allow_test=allow_test)
    assert "\n" not in str(caught.value)
    return caught.value.refusal


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change a file's JSON and mend its checksum, as an attacker would."""
    document = json.loads(path.read_bytes())
    del document["checksum"]
    change(document)
    checksum = sha384(json.dumps(document, indent=2).encode() + b"\n").hexdigest()
    content = json.dumps(document | {"checksum": checksum}, indent=2).encode() + b"\n"
    return private_file(path, content)


@pytest.fixture
def by_passphrase(tmp_path: Path) -> Path:
    return create(tmp_path / "unlock.key", PASSPHRASE, purpose=Purpose.UNLOCK)


@pytest.fixture
def wrapped(tmp_path: Path) -> Path:
    return create(tmp_path / "log-audit.key")


def test_a_passphrase_opens_what_it_sealed(by_passphrase: Path) -> None:
    header, secret = open_key_file(by_passphrase, purpose=Purpose.UNLOCK, opener=PASSPHRASE, allow_test=False)

    assert secret == SECRET
    assert header == read_header(by_passphrase)
    assert isinstance(header.lock, PassphraseLock)
    assert (header.lock.memory_kib, header.lock.passes, header.lock.lanes) == (65_536, 3, 4)
    assert by_passphrase.stat().st_mode & 0o777 == 0o600


def test_an_unlock_key_opens_what_it_sealed(wrapped: Path) -> None:
    header, secret = open_key_file(wrapped, purpose=Purpose.LOG, opener=UNLOCK, allow_test=False)

    assert secret == SECRET
    assert header == WRAPPED


def test_a_file_shows_what_it_is_and_not_the_key(wrapped: Path) -> None:
    document = json.loads(wrapped.read_bytes())

    assert document["format"] == FORMAT
    assert (document["purpose"], document["key_id"]) == ("log", KEY_ID.hex())
    assert (document["name"], document["created"]) == ("fr.gateway.test/audit", "2026-03-14T09:26:53Z")
    assert SECRET not in b64decode(document["sealed"])


def test_two_files_of_one_key_share_no_byte_of_the_seal(tmp_path: Path) -> None:
    one, two = (parse(create(tmp_path / name).read_bytes(), path=tmp_path)[1] for name in "ab")

    assert one != two


def test_a_wrong_passphrase_is_said_to_be_wrong(by_passphrase: Path) -> None:
    assert refusal(by_passphrase, OTHER_PASSPHRASE, purpose=Purpose.UNLOCK) is Refusal.WRONG_PASSPHRASE


def test_a_passphrase_does_not_open_a_wrapped_key(wrapped: Path) -> None:
    assert refusal(wrapped, PASSPHRASE) is Refusal.OTHER_FOLDER


def test_an_unlock_key_does_not_open_what_a_passphrase_sealed(by_passphrase: Path) -> None:
    assert refusal(by_passphrase, UNLOCK, purpose=Purpose.UNLOCK) is Refusal.PASSPHRASE_NEEDED


def test_a_key_of_another_folder_is_refused(wrapped: Path) -> None:
    other = UnlockKey(key_id=b"\1" * 8, secret=UNLOCK.secret)

    assert refusal(wrapped, other) is Refusal.OTHER_FOLDER


def test_an_unlock_key_that_only_claims_the_id_opens_nothing(wrapped: Path) -> None:
    assert refusal(wrapped, UnlockKey(key_id=UNLOCK.key_id, secret=b"v" * 32)) is Refusal.ALTERED


def test_each_purpose_is_sealed_under_a_key_of_its_own() -> None:
    keys = {UNLOCK.wrapping_key(purpose) for purpose in Purpose}

    assert len(keys) == len(Purpose)
    assert UNLOCK.secret not in keys


@pytest.mark.parametrize("kept", [0, 1, 100, -200, -3, -2, -1])
def test_a_truncated_file_is_said_to_be_truncated(wrapped: Path, kept: int) -> None:
    private_file(wrapped, wrapped.read_bytes()[:kept])

    assert refusal(wrapped) is Refusal.TRUNCATED


def test_a_file_that_was_extended_is_refused(wrapped: Path) -> None:
    private_file(wrapped, wrapped.read_bytes() + b" \n}\n")

    assert refusal(wrapped) is Refusal.ALTERED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "us.gateway.test/audit"),
        ("created", "2026-03-14T09:26:54Z"),
        ("key_id", "0011223344556678"),
        ("test", True),
    ],
)
def test_a_field_that_was_altered_is_found_by_the_checksum(wrapped: Path, field: str, value: object) -> None:
    document = json.loads(wrapped.read_bytes()) | {field: value}
    private_file(wrapped, json.dumps(document, indent=2).encode() + b"\n")

    assert refusal(wrapped) is Refusal.ALTERED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "us.gateway.test/audit"),
        ("created", "2026-03-14T09:26:54Z"),
        ("key_id", "0011223344556678"),
    ],
)
def test_a_field_that_was_altered_with_care_is_found_by_the_seal(
    wrapped: Path, field: str, value: object
) -> None:
    rewritten(wrapped, lambda document: document.update({field: value}))

    assert refusal(wrapped) is Refusal.ALTERED


def test_a_purpose_that_was_altered_with_care_opens_nothing(wrapped: Path) -> None:
    rewritten(wrapped, lambda document: document.update(purpose="cosigner"))

    assert refusal(wrapped, purpose=Purpose.COSIGNER) is Refusal.ALTERED


def test_a_test_mark_that_was_taken_off_is_found(tmp_path: Path) -> None:
    path = create(tmp_path / "a.key", test=True)
    rewritten(path, lambda document: document.update(test=False))

    assert refusal(path, allow_test=True) is Refusal.ALTERED
    assert refusal(path) is Refusal.ALTERED


def test_the_mark_inside_has_to_be_the_mark_outside(tmp_path: Path) -> None:
    # Sealed with the context of a production key around the inside of a test key.
    encryptor = Cobblestone256Encryptor(UNLOCK.wrapping_key(Purpose.LOG), _context(WRAPPED))
    sealed = encryptor.update(b"TEST" + SECRET) + encryptor.finalize()
    path = private_file(tmp_path / "a.key", render(WRAPPED, sealed))

    assert refusal(path) is Refusal.ALTERED


def test_a_sealed_byte_that_was_altered_with_care_is_found(wrapped: Path) -> None:
    def flip(document: dict[str, Any]) -> None:
        sealed = bytearray(b64decode(document["sealed"]))
        sealed[-1] ^= 1
        document["sealed"] = b64encode(sealed).decode()

    rewritten(wrapped, flip)

    assert refusal(wrapped) is Refusal.ALTERED


def test_a_key_for_another_purpose_is_refused(wrapped: Path) -> None:
    assert refusal(wrapped, purpose=Purpose.COSIGNER) is Refusal.OTHER_PURPOSE


@pytest.mark.parametrize("version", ["entente-key-file/2", "entente-key-file/1.1", "entente-key-file/"])
def test_another_format_version_is_named_as_such(wrapped: Path, version: str) -> None:
    rewritten(wrapped, lambda document: document.update(format=version))

    assert refusal(wrapped) is Refusal.OTHER_VERSION


@pytest.mark.parametrize(
    "content",
    [
        b"{\n}\n",
        b'{"format": "something else"\n}\n',
        b'{"format": 1\n}\n',
    ],
)
def test_another_kind_of_file_is_not_a_key_file(tmp_path: Path, content: bytes) -> None:
    assert refusal(private_file(tmp_path / "a.key", content)) is Refusal.NOT_A_KEY_FILE


@pytest.mark.parametrize(
    "content", [b"[\n}\n", b"not json\n}\n", b'{"a": 1, "a": 2\n}\n', b"{" * 40_000 + b"\n}\n"]
)
def test_what_is_not_strict_json_is_said_to_be_damaged(tmp_path: Path, content: bytes) -> None:
    assert refusal(private_file(tmp_path / "a.key", content)) is Refusal.ALTERED


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(extra=1),
        lambda document: document.pop("name"),
        lambda document: document.update(name=1),
        lambda document: document.update(test=1),
        lambda document: document.update(purpose="root"),
        lambda document: document.update(key_id="00"),
        lambda document: document.update(created="14 March 2026"),
        lambda document: document.update(created="2026-3-14T9:26:53Z"),
        lambda document: document.update(sealed="***"),
        lambda document: document.update(sealed=document["sealed"] + "\n"),
        lambda document: document.update(lock={"kind": "none"}),
        lambda document: document.update(lock=None),
        lambda document: document["lock"].update(under="00" * 7),
        lambda document: document["lock"].update(extra=1),
    ],
)
def test_a_file_has_one_form(wrapped: Path, change: Callable[[dict[str, Any]], object]) -> None:
    rewritten(wrapped, change)

    assert refusal(wrapped) is Refusal.NOT_A_KEY_FILE


def test_other_spaces_are_another_form(wrapped: Path) -> None:
    document = json.loads(wrapped.read_bytes())
    private_file(wrapped, json.dumps(document, indent=4).encode() + b"\n")

    assert refusal(wrapped) is Refusal.NOT_A_KEY_FILE


@pytest.mark.parametrize(
    ("lock", "reason"),
    [
        (replace(LOCK, memory_kib=65_535), Refusal.PARAMETERS_WEAK),
        (replace(LOCK, passes=2), Refusal.PARAMETERS_WEAK),
        (replace(LOCK, lanes=3), Refusal.PARAMETERS_WEAK),
        (replace(LOCK, salt=bytes(31)), Refusal.PARAMETERS_WEAK),
        (replace(LOCK, memory_kib=1_048_577), Refusal.PARAMETERS_LARGE),
        (replace(LOCK, memory_kib=2**50), Refusal.PARAMETERS_LARGE),
        (replace(LOCK, passes=17), Refusal.PARAMETERS_LARGE),
        (replace(LOCK, lanes=17), Refusal.PARAMETERS_LARGE),
        (replace(LOCK, salt=bytes(33)), Refusal.PARAMETERS_LARGE),
    ],
)
def test_parameters_out_of_range_are_refused_before_memory_is_taken(
    tmp_path: Path, lock: PassphraseLock, reason: Refusal
) -> None:
    header = replace(WRAPPED, purpose=Purpose.UNLOCK, lock=lock)
    path = private_file(tmp_path / "a.key", render(header, bytes(72)))

    assert refusal(path, PASSPHRASE, purpose=Purpose.UNLOCK) is reason


def test_a_negative_parameter_is_no_parameter(tmp_path: Path) -> None:
    header = replace(WRAPPED, purpose=Purpose.UNLOCK, lock=replace(LOCK, passes=-1))
    path = private_file(tmp_path / "a.key", render(header, bytes(72)))

    assert refusal(path, PASSPHRASE, purpose=Purpose.UNLOCK) is Refusal.NOT_A_KEY_FILE


def test_production_refuses_a_test_key(tmp_path: Path) -> None:
    path = create(tmp_path / "a.key", test=True)

    assert refusal(path) is Refusal.TEST_KEY
    assert open_key_file(path, purpose=Purpose.LOG, opener=UNLOCK, allow_test=True)[1] == SECRET


def test_two_threads_may_open_at_once(by_passphrase: Path) -> None:
    # Without taking turns this never ends: two Argon2id with lanes wait for each other.
    opened: list[bytes] = []

    def work() -> None:
        _, secret = open_key_file(by_passphrase, purpose=Purpose.UNLOCK, opener=PASSPHRASE, allow_test=False)
        opened.append(secret)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert opened == [SECRET, SECRET]


def test_a_text_about_an_unlock_key_does_not_hold_it() -> None:
    assert "u" * 8 not in repr(UNLOCK).lower().replace("unlockkey", "")
    assert UNLOCK.secret.hex() not in repr(UNLOCK)
