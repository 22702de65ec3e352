"""Laws of content: what is sealed opens, and what is altered does not."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.sealing import (
    Attachment,
    Content,
    ContentKey,
    KeyWrap,
    SealError,
    StorageKey,
    decode_content,
    encode_content,
    open_sealed,
    padded_length,
    reopen_content,
    seal_content,
)
from gateway.errors import MalformedError

UNICODE = st.characters(codec="utf-8")
KEYS = st.binary(min_size=32, max_size=32).map(ContentKey)
STORAGE_KEYS = st.binary(min_size=32, max_size=32).map(StorageKey)
ATTACHMENTS = st.builds(
    Attachment,
    name=st.text(UNICODE, min_size=1, max_size=60),
    media_type=st.from_regex(r"[a-z0-9.+-]{1,20}/[a-z0-9.+-]{1,20}", fullmatch=True),
    size=st.integers(0, 2**53 - 1),
    digest=st.binary(min_size=48, max_size=48),
)
CONTENTS = st.builds(
    Content,
    message=st.binary(max_size=3_000),
    manifest=st.lists(ATTACHMENTS, max_size=4).map(tuple),
)


@given(CONTENTS, KEYS, st.binary(max_size=400))
def test_what_is_sealed_opens(content: Content, key: ContentKey, header: bytes) -> None:
    ciphertext = seal_content(content.message, content_key=key, header=header, manifest=content.manifest)

    assert open_sealed(ciphertext, content_key=key, header=header) == content
    assert reopen_content(ciphertext, content_key=key, header=header) == content.message
    assert len(ciphertext) == len(encode_content(content)) + 72


@given(CONTENTS, KEYS, KEYS, st.binary(max_size=40), st.binary(max_size=40))
def test_nothing_else_opens_it(
    content: Content, key: ContentKey, other_key: ContentKey, header: bytes, other_header: bytes
) -> None:
    assume((key, header) != (other_key, other_header))
    ciphertext = seal_content(content.message, content_key=key, header=header)

    with pytest.raises(SealError):
        open_sealed(ciphertext, content_key=other_key, header=other_header)


@given(CONTENTS, KEYS, st.binary(max_size=40), st.data())
def test_an_altered_ciphertext_does_not_open(
    content: Content, key: ContentKey, header: bytes, data: st.DataObject
) -> None:
    ciphertext = seal_content(content.message, content_key=key, header=header)
    at = data.draw(st.integers(0, len(ciphertext) - 1))
    flipped = bytes((ciphertext[at] ^ data.draw(st.integers(1, 255)),))
    others = (
        ciphertext[:at] + flipped + ciphertext[at + 1 :],
        ciphertext[:at],
        ciphertext[:at] + ciphertext[at + 1 :],
        ciphertext + data.draw(st.binary(min_size=1, max_size=20)),
    )
    for other in others:
        with pytest.raises(SealError):
            open_sealed(other, content_key=key, header=header)


@given(CONTENTS)
def test_content_is_read_back(content: Content) -> None:
    data = encode_content(content)

    assert decode_content(data) == content
    assert padded_length(len(data)) == len(data)


@given(CONTENTS, st.data())
def test_altered_content_is_refused_or_is_another_one(content: Content, data: st.DataObject) -> None:
    encoded = encode_content(content)
    at = data.draw(st.integers(0, len(encoded) - 1))
    flipped = bytes((encoded[at] ^ data.draw(st.integers(1, 255)),))
    for other in (
        encoded[:at] + flipped + encoded[at + 1 :],
        encoded[:at],
        encoded + bytes(data.draw(st.integers(1, 100))),
    ):
        try:
            read = decode_content(other)
        except MalformedError:
            continue
        assert read != content
        assert encode_content(read) == other


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_padding_keeps_order_and_costs_an_eighth_at_most(first: int, second: int) -> None:
    low, high = sorted((first, second))

    assert padded_length(low) <= padded_length(high)
    assert high <= padded_length(high) <= high + high // 8 + 1


@given(KEYS, STORAGE_KEYS, st.binary(min_size=16, max_size=16), st.data())
def test_a_wrapped_key_opens_for_its_message_only(
    key: ContentKey, storage_key: StorageKey, message_id: bytes, data: st.DataObject
) -> None:
    key_wrap = KeyWrap(storage_key)
    wrapped = key_wrap.wrap(key, message_id=message_id)
    assert key_wrap.unwrap(wrapped, message_id=message_id) == key

    other_id = data.draw(st.binary(min_size=16, max_size=16))
    at = data.draw(st.integers(0, len(wrapped) - 1))
    altered = wrapped[:at] + bytes((wrapped[at] ^ 1,)) + wrapped[at + 1 :]
    with pytest.raises(SealError):
        key_wrap.unwrap(altered, message_id=message_id)
    if other_id != message_id:
        with pytest.raises(SealError):
            key_wrap.unwrap(wrapped, message_id=other_id)
