"""A whole message, made by this project, is read by a program that shares no code with it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import subprocess
import sys
import zlib
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import cosign, sign_checkpoint
from gateway.core.entries import AnchorEntry, MessageEntry, encode_entry
from gateway.core.envelope import Header
from gateway.core.keybox import BoxBinding, KemPrivateKey, seal_box
from gateway.core.merkle import hash_leaf, root_of
from gateway.core.sealing import ContentKey, seal_content
from gateway.core.signature import SoftwareSigner
from gateway.core.states import Precedence

READER = Path(__file__).parents[2] / "independent_reader.py"
ORIGIN, SENDER, RECEIVER = "fr.gateway.test/exchange/us", "fr.gateway.test", "us.gateway.test"
KEM_SEED = bytes(range(32))
SLOT, COUNT, INDEX = 2, 4, 1


def load_reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("independent_reader", READER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reader = load_reader()


def make_case(message: bytes) -> dict[str, Any]:
    """Take a message through content, key box, entry, tree, signature and cosignature."""
    log = SoftwareSigner(name=ORIGIN, ed25519_seed=b"1" * 32, mldsa87_seed=b"2" * 32)
    peer = SoftwareSigner(name=RECEIVER, ed25519_seed=b"3" * 32, mldsa87_seed=b"4" * 32)
    kem = KemPrivateKey.from_seed(KEM_SEED)
    content_keys = [ContentKey(bytes([number + 1]) * 32) for number in range(COUNT)]
    header = Header(
        message_id=bytes(16),
        created_ms=1_767_225_600_000,
        expires_ms=1_767_312_000_000,
        from_node=SENDER,
        to_node=RECEIVER,
        from_agency="FR-DNRED",
        to_agencies=("US-CBP",),
        type="intel.spontaneous/1",
        type_digest=bytes(48),
        precedence=Precedence.IMMEDIATE,
        marking_level=1,
        conversation_id=bytes(16),
        attachments_bytes=0,
    ).encode()
    box = seal_box(
        content_keys,
        public_key=kem.public_key,
        binding=BoxBinding(
            suite=1,
            sender_origin=ORIGIN,
            receiver_node=RECEIVER,
            kem_key_id=kem.key_id,
            bundle_id=b"b" * 16,
            count=COUNT,
        ),
    )
    ciphertext = seal_content(message, content_key=content_keys[SLOT], header=header)
    entry = encode_entry(
        MessageEntry(
            header=header,
            kem_key_id=kem.key_id,
            bundle_id=b"b" * 16,
            slot=SLOT,
            box_digest=hashlib.sha384(box).digest(),
            ciphertext_digest=hashlib.sha384(ciphertext).digest(),
            ciphertext_bytes=len(ciphertext),
        )
    )
    anchors = [
        encode_entry(AnchorEntry(origin="us.gateway.test/exchange/fr", size=size, root=bytes(32)))
        for size in range(1, 11)
    ]
    entries = [anchors[0], entry, *anchors[1:]]
    root = root_of([hash_leaf(item) for item in entries])
    note = sign_checkpoint(
        Checkpoint(origin=ORIGIN, size=len(entries), root=root), signer=log, time_s=1_767_225_600
    )
    return {
        "entries": entries,
        "index": INDEX,
        "note": cosign(note, cosigner=peer, time_s=1_767_225_601),
        "log_keys": [key.encode() for key in log.verifier.verifier_keys(cosigner=False)],
        "cosigner_keys": [key.encode() for key in peer.verifier.verifier_keys(cosigner=True)],
        "box": box,
        "ciphertext": ciphertext,
        "receiver_node": RECEIVER,
        "kem_seed": KEM_SEED,
        "box_count": COUNT,
    }


MESSAGE = json.dumps({"type": "intel.spontaneous/1", "text": "fret suspect \u00e0 quai " * 100}).encode()
CASE = make_case(MESSAGE)


def run(case: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        return [plain(item) for item in value] if isinstance(value, list) else value

    return subprocess.run(
        [sys.executable, "-I", str(READER)],
        input=json.dumps({name: plain(value) for name, value in case.items()}).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_the_reader_prints_the_message_byte_for_byte() -> None:
    result = run(CASE)

    assert (result.returncode, result.stdout, result.stderr) == (0, MESSAGE, b"")


def test_an_auditor_with_one_disclosed_key_reads_this_message_and_needs_no_private_key() -> None:
    disclosed = {name: value for name, value in CASE.items() if name != "kem_seed"}

    assert reader.read(**disclosed, content_key=bytes([SLOT + 1]) * 32) == MESSAGE
    with pytest.raises(reader.NotVerifiedError, match="commitment"):
        reader.read(**disclosed, content_key=bytes([SLOT + 2]) * 32)


def test_the_reader_exits_with_a_reason() -> None:
    result = run(CASE | {"kem_seed": bytes(32)})

    assert (result.returncode, result.stdout) == (1, b"")
    assert b"NOT VERIFIED: key box" in result.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda case: {"entries": case["entries"][:-1]}, "root of the entries"),
        (lambda case: {"entries": list(reversed(case["entries"]))}, "root of the entries"),
        (lambda _: {"index": 0}, None),
        (lambda case: {"note": case["note"].replace(b"\n11\n", b"\n12\n", 1)}, "Ed25519"),
        (lambda case: {"cosigner_keys": case["log_keys"][:1] + case["cosigner_keys"][1:]}, "one name"),
        (lambda case: {"box": case["box"][:-1] + bytes([case["box"][-1] ^ 1])}, "digest of the key box"),
        (lambda case: {"ciphertext": case["ciphertext"] + b"\x00"}, "digest of the ciphertext"),
        (lambda _: {"receiver_node": "uk.gateway.test"}, "key box"),
        (lambda _: {"box_count": COUNT + 1}, "key box"),
    ],
)
def test_the_reader_refuses_what_is_altered(change: Any, reason: str | None) -> None:
    with pytest.raises((reader.NotVerifiedError, ValueError), match=reason):
        reader.read(**(CASE | change(CASE)))


@pytest.mark.parametrize("length", [0, 1, 16_000, 16_384, 50_000])
def test_the_reader_opens_contents_of_every_number_of_chunks(length: int) -> None:
    message, key = bytes(length), ContentKey(bytes(32))

    assert reader.open_content(seal_content(message, content_key=key, header=b"h"), key, b"h") == message


def test_the_readers_hpke_opens_the_official_vector() -> None:
    text = files("cryptography_vectors").joinpath("HPKE/hpke-pq-test-vectors.json").read_text("utf-8")
    (vector,) = [item for item in json.loads(text) if (item["kem_id"], item["kdf_id"]) == (0x51, 2)]
    first = vector["encryptions"][0]
    enc, seed = bytes.fromhex(vector["enc"]), bytes.fromhex(vector["skRm"])

    assert reader.hpke_decapsulate(enc, seed).hex() == vector["shared_secret"]
    opened = reader.hpke_open(
        enc + bytes.fromhex(first["ct"]), seed, bytes.fromhex(vector["info"]), bytes.fromhex(first["aad"])
    )
    assert opened.hex() == first["pt"]


def test_the_readers_chunked_encryption_agrees_with_the_official_vectors() -> None:
    """The vectors use SHA-256 where Cobblestone uses SHA-512; all else is the same."""
    text = files("cryptography_vectors").joinpath("chunked-encryption/vectors.json").read_text("utf-8")
    vectors = [item for item in json.loads(text)["vectors"] if "AES" in item["aead"]]
    for vector in vectors:
        ciphertext = base64.b64decode(vector["ciphertext"] or "")  # null is the empty one
        if vector.get("compressed"):
            ciphertext = zlib.decompress(ciphertext)
        try:
            payload = reader.chunked_decrypt(
                ciphertext,
                bytes.fromhex(vector["key"]),
                vector["context"].encode(),
                hash_name="sha256",
                aead=vector["aead"].encode(),
            )
        except reader.NotVerifiedError:
            assert vector["expect"] == "failure", vector["comment"]
        else:
            assert vector["expect"] == "success", vector["comment"]
            assert hashlib.sha256(payload).hexdigest() == vector["payload_sha256"]
    assert len(vectors) == 68
