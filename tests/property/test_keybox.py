"""Laws of the key box: it opens for its key and its binding, unaltered, and not otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keybox import (
    BoxBinding,
    BoxInvalidError,
    KemPrivateKey,
    KemPublicKey,
    open_box,
    seal_box,
)
from gateway.core.sealing import ContentKey

UNICODE = st.characters(codec="utf-8")
SEEDS = st.binary(min_size=32, max_size=32)
BINDINGS = st.builds(
    BoxBinding,
    suite=st.integers(0, 255),
    sender_origin=st.text(UNICODE, max_size=40),
    receiver_node=st.text(UNICODE, max_size=40),
    kem_key_id=st.just(bytes(8)),
    bundle_id=st.binary(min_size=16, max_size=16),
    count=st.just(0),
)
BOXES = st.lists(SEEDS.map(ContentKey), min_size=1, max_size=20)
PRIVATE = KemPrivateKey.from_seed(b"p" * 32)


def bind(binding: BoxBinding, private: KemPrivateKey, keys: list[ContentKey]) -> BoxBinding:
    return replace(binding, kem_key_id=private.key_id, count=len(keys))


@given(SEEDS, BOXES, BINDINGS)
def test_a_box_opens_to_its_keys(seed: bytes, keys: list[ContentKey], binding: BoxBinding) -> None:
    private = KemPrivateKey.from_seed(seed)
    binding = bind(binding, private, keys)
    public = KemPublicKey.from_bytes(private.public_key.to_bytes())
    box = seal_box(keys, public_key=public, binding=binding)

    assert open_box(box, private_key=KemPrivateKey.from_seed(seed), binding=binding) == tuple(keys)


@given(BOXES, BINDINGS, BINDINGS)
def test_a_box_does_not_open_for_another_binding(
    keys: list[ContentKey], binding: BoxBinding, other: BoxBinding
) -> None:
    binding, other = bind(binding, PRIVATE, keys), bind(other, PRIVATE, keys)
    box = seal_box(keys, public_key=PRIVATE.public_key, binding=binding)

    if other != binding:
        with pytest.raises(BoxInvalidError):
            open_box(box, private_key=PRIVATE, binding=other)


@given(BOXES, BINDINGS, st.data())
def test_an_altered_truncated_or_extended_box_does_not_open(
    keys: list[ContentKey], binding: BoxBinding, data: st.DataObject
) -> None:
    binding = bind(binding, PRIVATE, keys)
    box = seal_box(keys, public_key=PRIVATE.public_key, binding=binding)
    at = data.draw(st.integers(0, len(box) - 1))
    flipped = bytes((box[at] ^ data.draw(st.integers(1, 255)),))
    for other in (
        box[:at] + flipped + box[at + 1 :],
        box[:at],
        box + data.draw(st.binary(min_size=1, max_size=40)),
        box[:at] + box[at + 1 :],
    ):
        with pytest.raises(BoxInvalidError):
            open_box(other, private_key=PRIVATE, binding=binding)
