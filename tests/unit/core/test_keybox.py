"""The key box agrees with the vectors of draft-ietf-hpke-pq and opens for one binding only."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl as rust_openssl
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from gateway.core.encoding import encode
from gateway.core.keybox import (
    BoxBinding,
    BoxInvalidError,
    KemPrivateKey,
    KemPublicKey,
    kem_key_id,
    open_box,
    p384_scalar,
    seal_box,
)
from gateway.core.sealing import ContentKey
from gateway.errors import MalformedError, PeerError

PRIVATE = KemPrivateKey.from_seed(bytes(range(32)))
KEYS = tuple(ContentKey(bytes([number]) * 32) for number in range(5))
BINDING = BoxBinding(
    suite=1,
    sender_origin="fr.gateway.test/exchange/us",
    receiver_node="us.gateway.test",
    kem_key_id=PRIVATE.key_id,
    bundle_id=b"bundle-id-16-byt",
    count=len(KEYS),
)


def hpke_vector() -> dict[str, Any]:
    """Return the vector of MLKEM1024-P384 (0x0051), HKDF-SHA384 (2), AES-256-GCM (2), base mode."""
    text = files("cryptography_vectors").joinpath("HPKE/hpke-pq-test-vectors.json").read_text("utf-8")
    (vector,) = [
        item
        for item in json.loads(text)
        if (item["mode"], item["kem_id"], item["kdf_id"], item["aead_id"]) == (0, 0x51, 2, 2)
    ]
    assert isinstance(vector, dict)
    return vector


def test_a_seed_expands_to_the_key_of_the_official_vector() -> None:
    vector = hpke_vector()
    private = KemPrivateKey.from_seed(bytes.fromhex(vector["skRm"]))

    assert private.public_key.to_bytes().hex() == vector["pkRm"]
    assert private.key_id == private.public_key.key_id == kem_key_id(bytes.fromhex(vector["pkRm"]))


def test_the_key_opens_every_encryption_of_the_official_vector() -> None:
    vector = hpke_vector()
    private = KemPrivateKey.from_seed(bytes.fromhex(vector["skRm"]))
    suite = Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)
    first = vector["encryptions"][0]
    sealed = bytes.fromhex(vector["enc"] + first["ct"])

    # The library opens the first message of a context only; ours has no other either.
    opened = rust_openssl.hpke._decrypt_with_aad(
        suite, sealed, private._key, bytes.fromhex(vector["info"]), bytes.fromhex(first["aad"])
    )
    assert opened.hex() == first["pt"]


def test_a_box_opens_to_its_keys_in_order() -> None:
    box = seal_box(KEYS, public_key=PRIVATE.public_key, binding=BINDING)

    assert len(box) == 1_681 + 32 * len(KEYS)
    assert open_box(box, private_key=PRIVATE, binding=BINDING) == KEYS


def test_boxes_of_the_same_keys_differ() -> None:
    first, second = (seal_box(KEYS, public_key=PRIVATE.public_key, binding=BINDING) for _ in range(2))

    assert first != second


def test_a_full_box_holds_1024_keys() -> None:
    keys = tuple(ContentKey(number.to_bytes(32, "big")) for number in range(1_024))
    binding = replace(BINDING, count=1_024)
    box = seal_box(keys, public_key=PRIVATE.public_key, binding=binding)

    assert open_box(box, private_key=PRIVATE, binding=binding) == keys


def test_the_binding_is_the_info_of_the_specification() -> None:
    assert BINDING.info() == b"entente/keybox/v1\x00" + encode(
        [1, "fr.gateway.test/exchange/us", "us.gateway.test", PRIVATE.key_id, b"bundle-id-16-byt", 5]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"suite": 2},
        {"sender_origin": "fr.gateway.test/exchange/uk"},
        {"receiver_node": "uk.gateway.test"},
        {"kem_key_id": bytes(8)},
        {"bundle_id": bytes(16)},
        {"count": 4},
        {"count": 6},
        {"count": 0},
        {"count": -1},
        {"count": 1_025},
    ],
    ids=str,
)
def test_a_box_does_not_open_for_another_binding(change: dict[str, Any]) -> None:
    box = seal_box(KEYS, public_key=PRIVATE.public_key, binding=BINDING)

    with pytest.raises(BoxInvalidError):
        open_box(box, private_key=PRIVATE, binding=replace(BINDING, **change))


def test_a_box_does_not_open_with_another_key() -> None:
    other = KemPrivateKey.from_seed(bytes(32))
    box = seal_box(KEYS, public_key=PRIVATE.public_key, binding=BINDING)

    for binding in (BINDING, replace(BINDING, kem_key_id=other.key_id)):
        with pytest.raises(BoxInvalidError):
            open_box(box, private_key=other, binding=binding)


def test_an_altered_truncated_or_extended_box_does_not_open() -> None:
    box = seal_box(KEYS, public_key=PRIVATE.public_key, binding=BINDING)
    points = (
        0,
        1,
        700,
        1_567,
        1_568,
        1_569,
        1_600,
        1_664,
        1_665,
        1_700,
        len(box) - 17,
        len(box) - 16,
        len(box) - 1,
    )

    others = [box[:at] + bytes((box[at] ^ 1,)) + box[at + 1 :] for at in points]
    others += [b"", box[:16], box[:1_665], box[:1_681], box[:-32], box[:-1], box + b"\x00", box + bytes(32)]
    for other in others:
        with pytest.raises(BoxInvalidError, match=r"^the key box does not open$"):
            open_box(other, private_key=PRIVATE, binding=BINDING)


@pytest.mark.parametrize(
    ("keys", "change"),
    [
        ((), {"count": 0}),
        (KEYS[:4], {}),
        (KEYS, {"count": 4}),
        (KEYS, {"kem_key_id": bytes(8)}),
        ((ContentKey(bytes(31)),), {"count": 1}),
        ((ContentKey(bytes(33)), ContentKey(bytes(31))), {"count": 2}),
        (KEYS * 205, {"count": 1_025}),
    ],
    ids=["none", "one less", "other count", "other key", "31 bytes", "33 and 31 bytes", "1025 keys"],
)
def test_no_box_is_made_of_what_does_not_belong_together(
    keys: tuple[ContentKey, ...], change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="belong together"):
        seal_box(keys, public_key=PRIVATE.public_key, binding=replace(BINDING, **change))


def test_a_public_key_comes_back_from_its_bytes() -> None:
    data = PRIVATE.public_key.to_bytes()

    assert len(data) == 1_665
    assert KemPublicKey.from_bytes(data) == PRIVATE.public_key
    assert KemPublicKey.from_bytes(data).key_id == PRIVATE.key_id


def test_a_public_key_that_is_none_is_refused() -> None:
    data = PRIVATE.public_key.to_bytes()
    point = data[1_568:]
    others = {
        "empty": b"",
        "short": data[:-1],
        "long": data + b"\x00",
        "ML-KEM key alone": data[:1_568],
        "coefficients out of range": b"\xff" * 1_568 + point,
        "a coefficient equal to the modulus": b"\x01\x0d" + data[2:],
        "point off the curve": data[:-1] + bytes((data[-1] ^ 1,)),
        "hybrid point form": data[:1_568] + bytes((6 + (point[-1] & 1),)) + point[1:],
        "compressed point": data[:1_568] + bytes((2 + (point[-1] & 1),)) + point[1:49] + bytes(48),
        "point at infinity": data[:1_568] + bytes(97),
        "coordinate out of range": data[:1_568] + b"\x04" + b"\xff" * 96,
    }
    for name, other in others.items():
        with pytest.raises(MalformedError):
            pytest.fail(f"{name}: {KemPublicKey.from_bytes(other)}")


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(length: int) -> None:
    with pytest.raises(MalformedError, match="32 bytes"):
        KemPrivateKey.from_seed(bytes(length))


ORDER = int(
    "39402006196394479212279040100143613805079739270465446667946905279627659399113263569398956308152294913554433653942643"
)


@pytest.mark.parametrize("scalar", [0, ORDER, ORDER + 1, 2**384 - 1])
def test_an_expanded_scalar_out_of_range_is_rejected(scalar: int) -> None:
    with pytest.raises(MalformedError, match="private key"):
        p384_scalar(scalar.to_bytes(48, "big"))


@pytest.mark.parametrize("scalar", [1, ORDER - 1])
def test_an_expanded_scalar_in_range_is_taken_as_it_is(scalar: int) -> None:
    assert p384_scalar(scalar.to_bytes(48, "big")) == scalar
    with pytest.raises(MalformedError):
        p384_scalar(scalar.to_bytes(49, "big"))


def test_private_keys_are_not_shown() -> None:
    assert "seed" not in repr(PRIVATE)
    assert not hasattr(PRIVATE, "__dict__")


def test_the_peer_has_to_act_on_an_invalid_box() -> None:
    assert issubclass(BoxInvalidError, PeerError)
    assert BoxInvalidError.code == "box-invalid"
