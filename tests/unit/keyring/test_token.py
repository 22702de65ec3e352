"""Half of a signing key in a PKCS#11 token: it is made there, stays there, and is refused in one sentence.

Those that need a token run against SoftHSM: `scripts/test --extra`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from gateway.core.signature import HybridVerifier, SigningAwayError
from gateway.errors import MalformedError
from gateway.keyring.device_thread import thread_of
from gateway.keyring.keyfile import Purpose, UnlockKey, read_header
from gateway.keyring.keyfolder import KeyFolder, hybrid_key_id, hybrid_signer
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.refusals import KeyFileError, Refusal, TokenError, TokenRefusal
from gateway.keyring.rotation import stage_cosigner
from gateway.keyring.token import Token, TokenSettings, look_at_token, refuse_to_try
from gateway.keyring.token_key import TokenHalf, TokenSecret, new_token_id
from gateway.keyring.token_pin import RefusedPin
from tests.soft_hsm import MODULE, PIN, VARIABLE, SoftHsm
from tests.unit.keyring.helpers import NOW, Pair

UNLOCK = UnlockKey(key_id=b"\1" * 8, secret=b"u" * 32)
LABELS = count(1)
STRANGER = hybrid_signer(b"\5" * 64, name="stranger").verifier.ed25519
"""A public key that no token here has."""


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """One device for all: SoftHSM reads where it is once in a process."""
    found = SoftHsm(tmp_path_factory.mktemp("hsm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(found.conf))
        yield found


@pytest.fixture
def label(device: SoftHsm) -> str:
    """A token of this test alone."""
    name = f"token {next(LABELS)}"
    device.make_token(name)
    return name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    return folder


def opened(path: Path, settings: TokenSettings | None) -> KeyFolder:
    """Return the folder as another process would open it."""
    token = None if settings is None else Token(settings, refused=RefusedPin(settings.refused_file, UNLOCK))
    return KeyFolder(path=path, unlock=UNLOCK, test=True, token=token)


def half_of(folder: KeyFolder) -> TokenHalf:
    half = folder.open_hybrid("cosigner.key", purpose=Purpose.COSIGNER).ed25519
    assert isinstance(half, TokenHalf)
    return half


def refusal(half: TokenHalf) -> TokenRefusal:
    with pytest.raises(TokenError) as caught:
        half.prove()
    assert str(caught.value).startswith(caught.value.refusal.value)
    assert PIN not in str(caught.value)
    with pytest.raises(SigningAwayError):
        half.sign(b"message")
    return caught.value.refusal


def make_key(folder: KeyFolder) -> HybridVerifier:
    return folder.create_hybrid("cosigner.key", purpose=Purpose.COSIGNER, name="fr.test", now=NOW).verifier


# --- with a token ----------------------------------------------------------------------


@pytest.mark.hsm
def test_half_of_a_key_is_made_in_the_token_and_signs_with_the_other(
    device: SoftHsm, label: str, path: Path
) -> None:
    settings = device.settings(label)
    made = make_key(opened(path, settings))

    folder = opened(path, settings)
    signer = folder.open_hybrid("cosigner.key", purpose=Purpose.COSIGNER)
    half_of(folder).prove()

    assert signer.verifier == made
    assert made.is_ed25519_valid(signer.sign_ed25519(b"message"), b"message")
    assert made.is_mldsa87_valid(signer.sign_mldsa87(b"message"), b"message")
    assert read_header(path / "cosigner.key").purpose is Purpose.COSIGNER_IN_TOKEN
    _, secret = folder.get("cosigner.key", purpose=Purpose.COSIGNER_IN_TOKEN)
    assert TokenSecret.from_bytes(secret).ed25519 == made.ed25519


@pytest.mark.hsm
def test_the_root_and_other_keys_stay_in_files(device: SoftHsm, label: str, path: Path) -> None:
    folder = opened(path, device.settings(label))
    folder.create_hybrid("root.key", purpose=Purpose.ROOT_STATEMENT, name="fr", now=NOW)

    signer = opened(path, None).open_hybrid("root.key", purpose=Purpose.ROOT_STATEMENT)
    assert signer.verifier.is_ed25519_valid(signer.sign_ed25519(b"m"), b"m")


@pytest.mark.hsm
def test_a_key_in_a_file_goes_on_to_work_beside_a_token(device: SoftHsm, label: str, path: Path) -> None:
    made = make_key(opened(path, None))

    signer = opened(path, device.settings(label)).open_hybrid("cosigner.key", purpose=Purpose.COSIGNER)
    assert signer.verifier == made
    assert made.is_ed25519_valid(signer.sign_ed25519(b"m"), b"m")


@pytest.mark.hsm
def test_a_wrong_pin_is_tried_once_whoever_comes_next(device: SoftHsm, label: str, path: Path) -> None:
    settings = device.settings(label)
    make_key(opened(path, settings))
    # Another process, so that nobody is logged in.
    forget_login()
    settings.pin_file.write_text("0000-0000\n", encoding="utf-8")

    assert refusal(half_of(opened(path, settings))) in {
        TokenRefusal.PIN_WRONG,
        TokenRefusal.PIN_WRONG_BEFORE,
    }
    assert refusal(half_of(opened(path, settings))) is TokenRefusal.PIN_WRONG_BEFORE
    assert settings.refused_file.exists()
    assert b"0000" not in settings.refused_file.read_bytes()

    # Another PIN is tried, and the right one clears the memory.
    settings.pin_file.write_text(f"{PIN}\n", encoding="utf-8")
    half_of(opened(path, settings)).prove()
    assert not settings.refused_file.exists()


@pytest.mark.hsm
def test_a_wrong_pin_is_called_wrong_the_first_time(device: SoftHsm, label: str) -> None:
    settings = device.settings(label)
    settings.pin_file.write_text("0000-0000\n", encoding="utf-8")
    token = Token(settings, refused=RefusedPin(settings.refused_file, UNLOCK))

    with pytest.raises(TokenError) as caught:
        token.generate(new_token_id(), label="key")
    assert caught.value.refusal is TokenRefusal.PIN_WRONG


@pytest.mark.hsm
def test_a_shared_pin_file_is_refused(device: SoftHsm, label: str) -> None:
    settings = device.settings(label)
    settings.pin_file.chmod(0o640)

    with pytest.raises(KeyFileError) as caught:
        look_at_token(settings)
    assert caught.value.refusal is Refusal.SHARED


@pytest.mark.hsm
def test_a_module_that_is_none_and_a_token_that_is_not_there_are_told(
    device: SoftHsm, label: str, path: Path, tmp_path: Path
) -> None:
    settings = device.settings(label)
    make_key(opened(path, settings))
    text = tmp_path / "module.so"
    text.write_text("not a library", encoding="utf-8")

    for changed, wanted in (
        ({"module": tmp_path / "absent.so"}, TokenRefusal.MODULE),
        ({"module": text}, TokenRefusal.MODULE),
        ({"label": "nobody has it"}, TokenRefusal.ABSENT),
    ):
        assert refusal(half_of(opened(path, replace(settings, **changed)))) is wanted
    assert refusal(half_of(opened(path, None))) is TokenRefusal.NOT_CONFIGURED


@pytest.mark.hsm
def test_two_tokens_of_one_label_are_told_apart_by_nobody(device: SoftHsm, label: str, path: Path) -> None:
    settings = device.settings(label)
    make_key(opened(path, settings))
    device.make_token(label)
    forget_login()

    assert refusal(half_of(opened(path, settings))) is TokenRefusal.AMBIGUOUS


@pytest.mark.hsm
def test_a_token_that_was_initialised_anew_does_not_hold_the_key(
    device: SoftHsm, label: str, path: Path
) -> None:
    settings = device.settings(label)
    make_key(opened(path, settings))
    device.destroy_token(label)
    device.make_token(label)
    forget_login()

    assert refusal(half_of(opened(path, settings))) is TokenRefusal.KEY_ABSENT


@pytest.mark.hsm
def test_another_key_under_the_same_id_is_refused(device: SoftHsm, label: str, path: Path) -> None:
    folder = opened(path, device.settings(label))
    make_key(folder)
    _, sealed = folder.get("cosigner.key", purpose=Purpose.COSIGNER_IN_TOKEN)
    stranger = replace(TokenSecret.from_bytes(sealed), ed25519=STRANGER)
    half = TokenHalf(folder.token, stranger, file="cosigner.key")

    with pytest.raises(TokenError) as caught:
        half.prove()
    assert caught.value.refusal is TokenRefusal.KEY_OTHER


@pytest.mark.hsm
def test_a_key_that_can_leave_the_token_is_refused(device: SoftHsm, label: str, path: Path) -> None:
    import pkcs11  # noqa: PLC0415 - a test of those who have it

    settings = device.settings(label)
    folder = opened(path, settings)
    make_key(folder)
    token_id = new_token_id()
    with pkcs11.lib(str(MODULE)).get_token(token_label=label).open(rw=True) as session:
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS,
            {pkcs11.Attribute.EC_PARAMS: bytes.fromhex("06032b6570")},
            local=True,
        )
        public, _ = parameters.generate_keypair(
            mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            id=token_id,
            store=True,
            private_template={pkcs11.Attribute.EXTRACTABLE: True},
        )
        point = public[pkcs11.Attribute.EC_POINT][2:]
    secret = TokenSecret(mldsa87_seed=bytes(32), ed25519=point, token_id=token_id)

    assert refusal(TokenHalf(folder.token, secret, file="cosigner.key")) is TokenRefusal.KEY_CAN_LEAVE


@pytest.mark.hsm
def test_a_token_that_was_pulled_signs_again_when_it_is_back(device: SoftHsm, label: str, path: Path) -> None:
    folder = opened(path, device.settings(label))
    made = make_key(folder)
    half = half_of(folder)
    half.prove()

    with device.pulled():
        refusal(half)
        refusal(half)
    assert made.is_ed25519_valid(half.sign(b"message"), b"message")


@pytest.mark.hsm
def test_a_session_that_the_token_has_ended_is_opened_anew(device: SoftHsm, label: str, path: Path) -> None:
    folder = opened(path, device.settings(label))
    make_key(folder)
    half = half_of(folder)
    half.prove()

    forget_login()

    half.prove()


@pytest.mark.hsm
def test_two_keyrings_of_one_process_share_the_login(device: SoftHsm, label: str, path: Path) -> None:
    settings = device.settings(label)
    first = opened(path, settings)
    make_key(first)
    second = half_of(opened(path, settings))
    second.prove()
    half_of(first).prove()
    second.prove()


@pytest.mark.hsm
def test_a_token_that_does_not_answer_in_time_is_late_and_signs_when_it_answers(
    device: SoftHsm, label: str, path: Path
) -> None:
    make_key(opened(path, device.settings(label)))
    half = half_of(opened(path, device.settings(label, timeout_s=0.1)))
    begun, answer = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        answer.wait(60.0)

    module = thread_of(str(MODULE))
    hanging = threading.Thread(target=lambda: module.call(hang, timeout_s=60.0))
    hanging.start()
    assert begun.wait(60.0)

    assert refusal(half) is TokenRefusal.LATE

    answer.set()
    hanging.join()
    half_of(opened(path, device.settings(label))).prove()


@pytest.mark.hsm
def test_a_rotation_that_was_begun_in_a_lost_token_does_not_go_on_with_its_key(
    device: SoftHsm, label: str, own_pair: Pair
) -> None:
    home = own_pair.fr
    passphrase = read_passphrase_file(home.passphrase)
    folder = KeyFolder.open(home.keys, passphrase=passphrase, allow_test=True, token=device.settings(label))
    staged = stage_cosigner(home, folder, now=NOW)
    assert stage_cosigner(home, folder, now=NOW) == staged

    device.destroy_token(label)
    device.make_token(label)
    with pytest.raises(TokenError) as caught:
        stage_cosigner(home, folder, now=NOW)
    assert caught.value.refusal is TokenRefusal.KEY_ABSENT

    (home.keys / "cosigner-v2.key").unlink()
    assert stage_cosigner(home, folder, now=NOW) != staged


def forget_login() -> None:
    """Let the module lose all its sessions, as a device does that was restarted."""
    import pkcs11  # noqa: PLC0415 - a test of those who have it

    pkcs11.lib(str(MODULE)).reinitialize()


# --- without one -----------------------------------------------------------------------


def test_without_the_library_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    pin_file = tmp_path / "pin"
    pin_file.write_text(PIN, encoding="utf-8")
    pin_file.chmod(0o600)
    settings = TokenSettings(
        module=MODULE, label="t", pin_file=pin_file, refused_file=tmp_path / "r", timeout_s=30.0
    )

    with pytest.raises(TokenError) as caught:
        look_at_token(settings)
    assert caught.value.refusal is TokenRefusal.NO_LIBRARY


def test_no_pin_is_tried_where_it_would_lock_the_token_or_cannot_work() -> None:
    from pkcs11 import TokenFlag  # noqa: PLC0415 - what nodes with a token load

    good = TokenFlag.USER_PIN_INITIALIZED | TokenFlag.LOGIN_REQUIRED
    refuse_to_try(good | TokenFlag.USER_PIN_COUNT_LOW)
    for flags, wanted in (
        (good | TokenFlag.USER_PIN_FINAL_TRY, TokenRefusal.PIN_LAST_TRY),
        (good | TokenFlag.USER_PIN_LOCKED, TokenRefusal.PIN_LOCKED),
        (TokenFlag.LOGIN_REQUIRED, TokenRefusal.PIN_NOT_SET),
    ):
        with pytest.raises(TokenError) as caught:
            refuse_to_try(flags)
        assert caught.value.refusal is wanted


def test_the_memory_of_a_refused_pin_is_about_one_token_one_pin_and_one_node(tmp_path: Path) -> None:
    memory = RefusedPin(tmp_path / "refused", UNLOCK)
    assert not memory.is_remembered(b"1234", serial=b"A")

    memory.remember(b"1234", serial=b"A")

    assert memory.is_remembered(b"1234", serial=b"A")
    assert RefusedPin(tmp_path / "refused", UNLOCK).is_remembered(b"1234", serial=b"A")
    assert not memory.is_remembered(b"1235", serial=b"A")
    assert not memory.is_remembered(b"1234", serial=b"B")
    # Another split of the same bytes.
    assert not memory.is_remembered(b"234", serial=b"A1")
    other = RefusedPin(tmp_path / "refused", replace(UNLOCK, secret=b"v" * 32))
    assert not other.is_remembered(b"1234", serial=b"A")
    memory.forget()
    memory.forget()
    assert not memory.is_remembered(b"1234", serial=b"A")


def test_a_key_with_a_half_in_a_token_says_so_without_one(path: Path) -> None:
    folder = opened(path, None)
    secret = TokenSecret(mldsa87_seed=b"\1" * 32, ed25519=STRANGER, token_id=b"\2" * 16)
    signer = TokenHalf(None, secret, file="cosigner.key")
    verifier = folder._token_signer("cosigner.key", secret.to_bytes(), name="fr.test").verifier
    folder.put(
        "cosigner.key",
        secret.to_bytes(),
        purpose=Purpose.COSIGNER_IN_TOKEN,
        key_id=hybrid_key_id(verifier),
        name="fr.test",
        now=NOW,
    )

    # What others signed with it is verified all the same.
    assert folder.open_hybrid("cosigner.key", purpose=Purpose.COSIGNER).verifier == verifier
    assert refusal(half_of(folder)) is TokenRefusal.NOT_CONFIGURED
    assert signer.public_key == verifier.ed25519
    with pytest.raises(KeyFileError) as caught:
        folder.open_hybrid("cosigner.key", purpose=Purpose.LOG)
    assert caught.value.refusal is Refusal.OTHER_PURPOSE


@pytest.mark.parametrize("length", [0, 64, 79, 81])
def test_a_secret_of_another_length_is_no_key_with_a_half_in_a_token(length: int) -> None:
    with pytest.raises(MalformedError):
        TokenSecret.from_bytes(bytes(length))
