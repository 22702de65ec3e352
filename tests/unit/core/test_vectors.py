"""What an earlier version wrote is read by this one: tests/vectors/make_core.py made it once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import (
    cosigned_message,
    verify_cosignature,
    verify_log_note,
    verify_text_note,
)
from gateway.core.entries import decode_entry, encode_entry
from gateway.core.keybox import BoxBinding, KemPrivateKey, open_box
from gateway.core.merkle import Hash, hash_leaf, root_of
from gateway.core.note import parse_verifier_key
from gateway.core.sealing import (
    Attachment,
    Content,
    ContentKey,
    KeyWrap,
    StorageKey,
    open_sealed,
    padded_length,
)
from gateway.core.signature import HybridVerifier

FOLDER = Path(__file__).parents[2] / "vectors"
CONTENT = json.loads((FOLDER / "content.json").read_text("utf-8"))
LOG = json.loads((FOLDER / "log.json").read_text("utf-8"))


def raw(vector: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(vector[name])


def verifier(lines: list[str]) -> HybridVerifier:
    first, second = (parse_verifier_key(line) for line in lines)
    return HybridVerifier.from_verifier_keys(first, second)


def test_a_stored_content_opens() -> None:
    vector = CONTENT["content"]
    (name, media_type, size, digest) = vector["manifest"][0]

    assert open_sealed(
        raw(vector, "ciphertext"),
        content_key=ContentKey(raw(vector, "content_key")),
        header=raw(vector, "header"),
    ) == Content(
        message=raw(vector, "message"),
        manifest=(Attachment(name=name, media_type=media_type, size=size, digest=bytes.fromhex(digest)),),
    )


def test_a_stored_key_unwraps() -> None:
    vector = CONTENT["wrapped_key"]

    key_wrap = KeyWrap(StorageKey(raw(vector, "storage_key")))
    wrapped, message_id = raw(vector, "wrapped"), raw(vector, "message_id")

    assert key_wrap.unwrap(wrapped, message_id=message_id) == raw(vector, "content_key")
    # One key for one message has one wrapped form, so other code can be held to it both ways.
    assert key_wrap.wrap(ContentKey(raw(vector, "content_key")), message_id=message_id) == wrapped


def test_a_stored_key_box_opens() -> None:
    vector = CONTENT["key_box"]
    private = KemPrivateKey.from_seed(raw(vector, "kem_seed"))
    binding = BoxBinding(
        suite=vector["suite"],
        sender_origin=vector["sender_origin"],
        receiver_node=vector["receiver_node"],
        kem_key_id=raw(vector, "kem_key_id"),
        bundle_id=raw(vector, "bundle_id"),
        count=len(vector["content_keys"]),
    )

    assert private.public_key.to_bytes() == raw(vector, "kem_public_key")
    assert binding.info() == raw(vector, "info")
    keys = open_box(raw(vector, "box"), private_key=private, binding=binding)
    assert [key.hex() for key in keys] == vector["content_keys"]


def test_padding_classes_have_not_moved() -> None:
    assert [[length, padded_length(length)] for length, _ in CONTENT["padding"]] == CONTENT["padding"]


def test_a_stored_log_verifies() -> None:
    entries = [bytes.fromhex(entry) for entry in LOG["entries"]]
    leaf_hashes = [hash_leaf(entry) for entry in entries]
    log, peer = verifier(LOG["log_keys"]), verifier(LOG["cosigner_keys"])
    checkpoint = Checkpoint(origin=log.name, size=len(entries), root=Hash(raw(LOG, "root")))
    verified = verify_log_note(LOG["note"].encode(), verifier=log)

    assert [encode_entry(decode_entry(entry)) for entry in entries] == entries
    assert [leaf_hash.hex() for leaf_hash in leaf_hashes] == LOG["leaf_hashes"]
    assert root_of(leaf_hashes) == checkpoint.root
    assert (verified.checkpoint, verified.time_s) == (checkpoint, LOG["log_time_s"])
    assert verify_cosignature(LOG["note"].encode(), cosigner=peer) == LOG["cosigner_time_s"]
    assert cosigned_message(checkpoint, name=log.name, time_s=LOG["log_time_s"]) == raw(
        LOG, "log_signed_message"
    )


def test_a_stored_statement_verifies() -> None:
    root = verifier(LOG["statement_keys"])

    assert verify_text_note(LOG["statement"].encode(), verifier=root) == "an example\nof a statement\n"
