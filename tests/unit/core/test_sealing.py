"""Content opens with its key and its header, byte for byte, or not at all."""

from __future__ import annotations

import pytest
from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from gateway.core.encoding import encode
from gateway.core.sealing import (
    MAX_CONTENT_BYTES,
    Attachment,
    Content,
    ContentKey,
    KeyWrap,
    SealError,
    StorageKey,
    decode_content,
    encode_content,
    open_content,
    open_sealed,
    padded_length,
    reopen_content,
    seal_content,
)
from gateway.errors import MalformedError, PeerError

KEY = ContentKey(bytes(range(32)))
OTHER_KEY = ContentKey(bytes(32))
STORAGE_KEY = StorageKey(bytes(range(32, 64)))
KEY_WRAP = KeyWrap(STORAGE_KEY)
HEADER = b"\x9f header bytes"
MESSAGE = b'{"type":"intel.spontaneous/1"}'
MANIFEST = (Attachment(name="photo 1.jpg", media_type="image/jpeg", size=123_456, digest=bytes(48)),)


@pytest.mark.parametrize(
    ("length", "padded"),
    [
        (0, 0),
        (1, 1),
        (2, 2),
        (8, 8),
        (9, 10),
        (16, 16),
        (17, 18),
        (100, 104),
        (1_000, 1_024),
        (1_025, 1_088),
        (2_048, 2_048),
        (2_049, 2_176),
        (1_048_576, 1_048_576),
        (1_048_577, 1_081_344),
    ],
)
def test_lengths_fall_into_padme_classes(length: int, padded: int) -> None:
    assert padded_length(length) == padded


def test_padding_costs_at_most_an_eighth_and_classes_are_fixed_points() -> None:
    for length in range(1, 70_000):
        padded = padded_length(length)
        assert length <= padded <= length + length // 8 + 1
        assert padded_length(padded) == padded


def test_content_is_a_length_an_array_and_zeros() -> None:
    body = encode((MESSAGE, (), None))
    data = encode_content(Content(message=MESSAGE))

    assert data == len(body).to_bytes(4, "big") + body + bytes(len(data) - 4 - len(body))
    assert len(data) == padded_length(4 + len(body))
    assert decode_content(data) == Content(message=MESSAGE)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65_535, 65_536])
def test_a_content_without_attachments_is_what_the_encoder_writes(length: int) -> None:
    message = bytes(length)
    data = encode_content(Content(message=message))

    assert data == framed(encode((message, (), None)))
    assert decode_content(data) == Content(message=message)


@pytest.mark.parametrize("length", [0, 1, 30, 255, 256, 300])
def test_whatever_byte_is_altered_around_a_message_it_is_refused_or_the_encoder_wrote_it(length: int) -> None:
    good = encode_content(Content(message=b"m" * length))
    end = 4 + int.from_bytes(good[:4], "big")
    for place in [*range(4, min(12, end)), *range(max(4, end - 3), end)]:
        for value in range(256):
            data = good[:place] + bytes((value,)) + good[place + 1 :]
            try:
                content = decode_content(data)
            except MalformedError:
                continue
            assert encode_content(content) == data


def test_a_manifest_travels_with_the_message() -> None:
    content = Content(message=MESSAGE, manifest=MANIFEST)
    ciphertext = seal_content(MESSAGE, content_key=KEY, header=HEADER, manifest=MANIFEST)

    assert decode_content(encode_content(content)) == content
    assert open_sealed(ciphertext, content_key=KEY, header=HEADER) == content
    assert open_content(ciphertext, content_key=KEY, header=HEADER) == MESSAGE


def framed(body: bytes) -> bytes:
    length = 4 + len(body)
    return len(body).to_bytes(4, "big") + body + bytes(padded_length(length) - length)


GOOD = encode_content(Content(message=MESSAGE * 10))
BAD_CONTENTS = {
    "empty": b"",
    "length only": bytes(4),
    "without padding": GOOD.rstrip(b"\x00"),
    "with more padding": GOOD + b"\x00",
    "with another class of padding": GOOD + bytes(padded_length(len(GOOD) + 1) - len(GOOD)),
    "with padding that is not zero": GOOD[:-1] + b"\x01",
    "with a length beyond the end": b"\xff" + GOOD[1:],
    "with a shorter length": (int.from_bytes(GOOD[:4], "big") - 1).to_bytes(4, "big") + GOOD[4:],
    "above the limit": bytes(MAX_CONTENT_BYTES + 1),
    "no array": framed(encode(MESSAGE)),
    "two fields": framed(encode((MESSAGE, ()))),
    "four fields": framed(encode((MESSAGE, (), None, None))),
    "text for bytes": framed(encode(("{}", (), None))),
    "no manifest": framed(encode((MESSAGE, None, None))),
    "an agency signature": framed(encode((MESSAGE, (), b"signature"))),
    "array in a longer form": framed(b"\xdc\x00\x03" + encode((MESSAGE, (), None))[1:]),
    "trailing byte": framed(encode((MESSAGE, (), None)) + b"\xc0"),
    "65 attachments": framed(encode((MESSAGE, (("a", "a/b", 1, bytes(48)),) * 65, None))),
    "attachment of three fields": framed(encode((MESSAGE, (("a", "a/b", 1),), None))),
    "attachment without name": framed(encode((MESSAGE, (("", "a/b", 1, bytes(48)),), None))),
    "attachment with another type": framed(encode((MESSAGE, (("a", "a b", 1, bytes(48)),), None))),
    "attachment of negative size": framed(encode((MESSAGE, (("a", "a/b", -1, bytes(48)),), None))),
    "attachment with a short digest": framed(encode((MESSAGE, (("a", "a/b", 1, bytes(32)),), None))),
}


@pytest.mark.parametrize("name", BAD_CONTENTS)
def test_content_in_another_form_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        decode_content(BAD_CONTENTS[name])


@pytest.mark.parametrize("name", BAD_CONTENTS)
def test_a_sender_who_holds_the_key_cannot_seal_another_form(name: str) -> None:
    encryptor = Cobblestone256Encryptor(KEY, b"entente/content/v1\x00" + HEADER)
    ciphertext = encryptor.update(BAD_CONTENTS[name]) + encryptor.finalize()

    with pytest.raises(SealError):
        open_content(ciphertext, content_key=KEY, header=HEADER)


def test_a_content_above_the_limit_is_not_made() -> None:
    with pytest.raises(ValueError, match="2097152"):
        encode_content(Content(message=bytes(MAX_CONTENT_BYTES)))


@pytest.mark.parametrize("length", [0, 1, 255, 256, 2_048, 16_383, 16_384, 40_000, 1_048_576])
def test_a_message_comes_back_byte_for_byte(length: int) -> None:
    message = bytes(range(256)) * (length // 256) + bytes(length % 256)
    ciphertext = seal_content(message, content_key=KEY, header=HEADER)
    content = encode_content(Content(message=message))

    assert open_content(ciphertext, content_key=KEY, header=HEADER) == message
    assert reopen_content(ciphertext, content_key=KEY, header=HEADER) == message
    assert len(ciphertext) == 56 + len(content) + 16 * (len(content) // 16_384 + 1)


def test_two_ciphertexts_of_one_message_differ() -> None:
    assert seal_content(MESSAGE, content_key=KEY, header=HEADER) != seal_content(
        MESSAGE, content_key=KEY, header=HEADER
    )


def test_lengths_of_one_class_cannot_be_told_apart() -> None:
    lengths = {len(seal_content(bytes(n), content_key=KEY, header=HEADER)) for n in range(2_049, 2_150)}

    assert len(lengths) == 1


def test_another_key_or_header_opens_nothing() -> None:
    ciphertext = seal_content(MESSAGE, content_key=KEY, header=HEADER)

    for key, header in (
        (OTHER_KEY, HEADER),
        (KEY, b""),
        (KEY, HEADER + b"\x00"),
        (KEY, HEADER[:-1]),
        (KEY, b"\x00" + HEADER),
        (ContentKey(KEY[:31]), HEADER),
        (ContentKey(b""), HEADER),
    ):
        for opened in (open_content, reopen_content):
            with pytest.raises(SealError):
                opened(ciphertext, content_key=key, header=header)


def test_every_flipped_byte_and_every_other_length_is_refused() -> None:
    ciphertext = seal_content(MESSAGE, content_key=KEY, header=HEADER)

    for at in range(len(ciphertext)):
        altered = ciphertext[:at] + bytes((ciphertext[at] ^ 1,)) + ciphertext[at + 1 :]
        for other in (altered, ciphertext[:at]):
            for opened in (open_content, reopen_content):
                with pytest.raises(SealError):
                    opened(other, content_key=KEY, header=HEADER)
    for other in (ciphertext + b"\x00", ciphertext + bytes(16), ciphertext + ciphertext):
        for opened in (open_content, reopen_content):
            with pytest.raises(SealError):
                opened(other, content_key=KEY, header=HEADER)


@pytest.mark.parametrize("name", ["empty", "length only", "no array"])
def test_what_is_no_content_is_not_opened_again(name: str) -> None:
    plaintext = b"" if name == "empty" else BAD_CONTENTS[name].replace(b"\xc4", b"\x00")
    encryptor = Cobblestone256Encryptor(KEY, b"entente/content/v1\x00" + HEADER)
    ciphertext = encryptor.update(plaintext) + encryptor.finalize()

    with pytest.raises(SealError):
        reopen_content(ciphertext, content_key=KEY, header=HEADER)


def test_chunks_cannot_be_dropped_or_swapped() -> None:
    ciphertext = seal_content(bytes(60_000), content_key=KEY, header=HEADER)
    chunk = 16_384 + 16
    head, first, second, rest = (
        ciphertext[:56],
        ciphertext[56 : 56 + chunk],
        ciphertext[56 + chunk : 56 + 2 * chunk],
        ciphertext[56 + 2 * chunk :],
    )

    for other in (
        head + second + first + rest,
        head + first + rest,
        head + first + second,
        head + first,
        head,
    ):
        with pytest.raises(SealError):
            open_content(other, content_key=KEY, header=HEADER)


def test_a_key_that_is_no_key_seals_nothing() -> None:
    for key in (b"", bytes(16), bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32"):
            seal_content(MESSAGE, content_key=ContentKey(key), header=HEADER)
        with pytest.raises(ValueError, match="32"):
            KEY_WRAP.wrap(ContentKey(key), message_id=bytes(16))
        with pytest.raises(ValueError, match="32"):
            KeyWrap(StorageKey(key))


def test_a_wrapped_key_opens_with_its_storage_key_and_message() -> None:
    wrapped = KEY_WRAP.wrap(KEY, message_id=b"m" * 16)

    assert len(wrapped) == 48
    assert wrapped.find(KEY) == -1
    assert KEY_WRAP.unwrap(wrapped, message_id=b"m" * 16) == KEY
    for other in (wrapped[:-1], wrapped + b"\x00", bytes(48), b""):
        with pytest.raises(SealError):
            KEY_WRAP.unwrap(other, message_id=b"m" * 16)
    with pytest.raises(SealError):
        KEY_WRAP.unwrap(wrapped, message_id=b"n" * 16)
    with pytest.raises(SealError):
        KeyWrap(StorageKey(KEY)).unwrap(wrapped, message_id=b"m" * 16)


def test_every_byte_of_the_message_id_is_bound_though_the_nonce_holds_only_some() -> None:
    message_id = bytes(range(16))
    wrapped = KEY_WRAP.wrap(KEY, message_id=message_id)

    for at in range(16):
        other = message_id[:at] + bytes((message_id[at] ^ 1,)) + message_id[at + 1 :]
        with pytest.raises(SealError):
            KEY_WRAP.unwrap(wrapped, message_id=other)


def test_a_message_id_of_another_length_wraps_and_unwraps_nothing() -> None:
    wrapped = KEY_WRAP.wrap(KEY, message_id=bytes(16))

    for message_id in (b"", bytes(12), bytes(15), bytes(17)):
        with pytest.raises(ValueError, match="12"):
            KEY_WRAP.wrap(KEY, message_id=message_id)
        with pytest.raises(SealError):
            KEY_WRAP.unwrap(wrapped, message_id=message_id)


def test_what_is_wrapped_is_a_content_key() -> None:
    cipher = AESGCMSIV(STORAGE_KEY)
    label = b"entente/at-rest/v1\x00" + b"m" * 16
    for key in (bytes(31), bytes(33), b""):
        wrapped = cipher.encrypt(b"m" * 12, key, label)
        with pytest.raises(SealError):
            KEY_WRAP.unwrap(wrapped, message_id=b"m" * 16)


def test_content_and_wrapped_keys_are_not_taken_for_each_other() -> None:
    header = b"m" * 16
    wrapped = KEY_WRAP.wrap(KEY, message_id=header)
    ciphertext = seal_content(KEY, content_key=ContentKey(STORAGE_KEY), header=header)

    with pytest.raises(SealError):
        open_content(wrapped, content_key=ContentKey(STORAGE_KEY), header=header)
    with pytest.raises(SealError):
        KEY_WRAP.unwrap(ciphertext, message_id=header)


def test_one_error_says_nothing_but_that_it_does_not_open() -> None:
    ciphertext = seal_content(MESSAGE, content_key=KEY, header=HEADER)
    texts = set()
    for other, key in ((ciphertext[:10], KEY), (ciphertext, OTHER_KEY), (ciphertext[:-1], KEY)):
        with pytest.raises(SealError) as caught:
            open_content(other, content_key=key, header=HEADER)
        texts.add(str(caught.value))

    assert len(texts) == 1
    assert issubclass(SealError, PeerError)
    assert SealError.code == "content-invalid"
