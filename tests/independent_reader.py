"""A second reader of the protocol, which shares no code with the first one.

It reads what an auditor is given: a log's entries and its signed note, the key box, the
ciphertext, the verifier keys, and either the receiver's KEM seed or the disclosed content
key. It verifies both signatures of the log and of the peer, recomputes the tree, opens the
key box and the content, and prints the message.

Nothing of ``gateway`` is imported. The tree is pymerkle's, ML-DSA-87 is dilithium-py's; HPKE,
Cobblestone-256, the note format and the padding are written here from their specifications
over single operations (Ed25519, ML-KEM-1024, ECDH, AES-GCM) of ``cryptography``. It is meant
to be compared with the specification line by line; it is slow and not hardened.

Run: ``python -I tests/independent_reader.py < case.json``; exit status 0 and the message, or 1
and the reason. The fields of the case are those that `read` takes, bytes as base64.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from base64 import b64decode
from typing import Any

import msgpack
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dilithium_py.ml_dsa import ML_DSA_87
from pymerkle import InmemoryTree

MLDSA_IDENTIFIER = b"entente/ml-dsa-87-cosignature/v1"
CHUNK = 16_384
TAG = 16


class NotVerifiedError(Exception):
    """Something does not hold."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise NotVerifiedError(what)


# --- notes --------------------------------------------------------------------------------


def read_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    """Return the text and the lines (name, key ID, blob) of a note."""
    text, _, tail = note.rpartition(b"\n\n")
    lines = []
    for line in tail.decode().removesuffix("\n").split("\n"):
        dash, name, encoded = line.split(" ")
        require(dash == "\u2014", "note line")
        material = b64decode(encoded, validate=True)
        lines.append((name, material[:4], material[4:]))
    return text + b"\n", lines


def the_line(lines: list[tuple[str, bytes, bytes]], name: str, material: bytes) -> bytes:
    """Return the blob of the one line that a verifier key (type, identifier, key) belongs to."""
    key_id = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    blobs = [blob for line_name, line_id, blob in lines if (line_name, line_id) == (name, key_id)]
    require(len(blobs) == 1, f"exactly one line of {name}")
    return blobs[0]


def verify_pair(note: bytes, verifier_keys: list[str]) -> tuple[str, int, bytes]:
    """Verify the Ed25519 and the ML-DSA-87 line of one name; return origin, size and root."""
    text, lines = read_note(note)
    origin, size, root_text = text.decode().removesuffix("\n").split("\n")
    root = b64decode(root_text, validate=True)
    (name, classical), (same_name, post_quantum) = (
        (key.split("+", 2)[0], b64decode(key.split("+", 2)[2])) for key in verifier_keys
    )
    require(name == same_name, "one name")
    blob = the_line(lines, name, classical)
    if classical[0] == 4:
        seconds = int.from_bytes(blob[:8], "big")
        blob, signed = blob[8:], b"cosignature/v1\ntime %d\n" % seconds + text
    else:
        require(classical[0] == 1, "type of the Ed25519 key")
        require(name == origin, "a log signs under its origin")
        signed = text
    try:
        Ed25519PublicKey.from_public_bytes(classical[1:]).verify(blob, signed)
    except InvalidSignature:
        require(condition=False, what="Ed25519 signature")
    require(post_quantum.startswith(b"\xff" + MLDSA_IDENTIFIER), "type of the ML-DSA-87 key")
    blob = the_line(lines, name, post_quantum)
    message = (
        b"subtree/v1\n\x00"
        + bytes([len(name)])
        + name.encode()
        + blob[:8]
        + bytes([len(origin)])
        + origin.encode()
        + (0).to_bytes(8, "big")
        + int(size).to_bytes(8, "big")
        + root
    )
    require(
        ML_DSA_87.verify(post_quantum[1 + len(MLDSA_IDENTIFIER) :], message, blob[8:]), "ML-DSA-87 signature"
    )
    return origin, int(size), root


# --- HPKE, base mode: MLKEM1024-P384, HKDF-SHA384, AES-256-GCM -------------------------------

SUITE_ID = b"HPKE" + bytes.fromhex("005100020002")


def hkdf_extract(salt: bytes, data: bytes) -> bytes:
    return hmac.digest(salt or bytes(48), data, "sha384")


def hkdf_expand(key: bytes, info: bytes, length: int, hash_name: str) -> bytes:
    block, output, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(key, block + info + bytes([counter]), hash_name)
        output += block
        counter += 1
    return output[:length]


def labeled_extract(salt: bytes, label: bytes, data: bytes) -> bytes:
    return hkdf_extract(salt, b"HPKE-v1" + SUITE_ID + label + data)


def labeled_expand(key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    info = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + info
    return hkdf_expand(key, info, length, "sha384")


def hpke_decapsulate(enc: bytes, seed: bytes) -> bytes:
    """Return the shared secret of draft-irtf-cfrg-concrete-hybrid-kems, MLKEM1024-P384."""
    expanded = hashlib.shake_256(seed).digest(64 + 48)
    p384 = ec.derive_private_key(int.from_bytes(expanded[64:], "big"), ec.SECP384R1())
    own_point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    peer_point = enc[1568:]
    first = MLKEM1024PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(enc[:1568])
    second = p384.exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), peer_point)
    )
    return hashlib.sha3_256(first + second + peer_point + own_point + b"MLKEM1024-P384").digest()


def hpke_open(box: bytes, seed: bytes, info: bytes, aad: bytes = b"") -> bytes:
    """Open the first message of an HPKE context."""
    context = b"\x00" + labeled_extract(b"", b"psk_id_hash", b"") + labeled_extract(b"", b"info_hash", info)
    secret = labeled_extract(hpke_decapsulate(box[:1665], seed), b"secret", b"")
    key = labeled_expand(secret, b"key", context, 32)
    nonce = labeled_expand(secret, b"base_nonce", context, 12)
    try:
        return AESGCM(key).decrypt(nonce, box[1665:], aad)
    except InvalidTag:
        what = "key box"
        raise NotVerifiedError(what) from None


# --- Cobblestone-256: C2SP chunked-encryption with SHA-512 and AES-256-GCM ---------------------


def chunked_decrypt(
    ciphertext: bytes,
    key: bytes,
    context: bytes,
    *,
    hash_name: str = "sha512",
    aead: bytes = b"AEAD_AES_256_GCM",
) -> bytes:
    """Open a ciphertext: 24 bytes of salt, 32 of commitment, chunks."""
    require(len(ciphertext) >= 56 + TAG, "length of the ciphertext")
    salt, commitment = ciphertext[:24], ciphertext[24:56]
    info = b"c2sp.org/chunked-encryption@v1+" + aead + b"\x00" + salt + context
    derived = hkdf_expand(key, info, len(key) + 12 + 32, hash_name)
    chunk_key, base_nonce = derived[: len(key)], derived[len(key) : len(key) + 12]
    require(hmac.compare_digest(commitment, derived[len(key) + 12 :]), "commitment of the ciphertext")
    plaintext, at, number = b"", 56, 0
    while True:
        chunk = ciphertext[at : at + CHUNK + TAG]
        nonce = (int.from_bytes(base_nonce, "big") ^ number).to_bytes(12, "big")
        try:
            plaintext += AESGCM(chunk_key).decrypt(nonce, chunk, None)
        except (InvalidTag, ValueError):
            what = "ciphertext"
            raise NotVerifiedError(what) from None
        at, number = at + CHUNK + TAG, number + 1
        if len(chunk) < CHUNK + TAG:
            require(at >= len(ciphertext), "end of the ciphertext")
            return plaintext


def open_content(ciphertext: bytes, key: bytes, header: bytes) -> bytes:
    """Return the message of a ciphertext."""
    content = chunked_decrypt(ciphertext, key, b"entente/content/v1\x00" + header)
    end = 4 + int.from_bytes(content[:4], "big")
    require(not any(content[end:]), "padding")
    message, _manifest, reserved = msgpack.unpackb(content[4:end])
    require(reserved is None, "reserved field")
    require(isinstance(message, bytes), "message")
    return bytes(message)


# --- the whole chain ---------------------------------------------------------------------------


def read(
    *,
    entries: list[bytes],
    index: int,
    note: bytes,
    log_keys: list[str],
    cosigner_keys: list[str],
    box: bytes,
    ciphertext: bytes,
    receiver_node: str,
    kem_seed: bytes | None = None,
    content_key: bytes | None = None,
    box_count: int = 1,
) -> bytes:
    """Return the message of the entry at ``index`` after every check that an auditor can make."""
    origin, size, root = verify_pair(note, log_keys)
    require(verify_pair(note, cosigner_keys) == (origin, size, root), "one checkpoint")
    tree = InmemoryTree(algorithm="sha256")
    for item in entries:
        tree.append_entry(item)
    require((len(entries), tree.get_root()) == (size, root), "root of the entries")
    entry = entries[index]
    kind, header, key_id, bundle_id, slot, box_digest, digest, length = msgpack.unpackb(entry)
    require(kind == 1, "a message entry")
    require(hashlib.sha384(box).digest() == box_digest, "digest of the key box")
    require(
        (hashlib.sha384(ciphertext).digest(), len(ciphertext)) == (digest, length), "digest of the ciphertext"
    )
    if content_key is None:
        require(kem_seed, "a key")
        fields = [1, origin, receiver_node, key_id, bundle_id, box_count]
        keys = hpke_open(box, kem_seed or b"", b"entente/keybox/v1\x00" + msgpack.packb(fields))
        require(len(keys) == 32 * box_count, "number of keys")
        content_key = keys[32 * slot : 32 * slot + 32]
    return open_content(ciphertext, content_key, header)


def main() -> int:
    """Read a case from standard input."""
    case: dict[str, Any] = json.load(sys.stdin)
    case["entries"] = [b64decode(entry) for entry in case["entries"]]
    for name in ("note", "box", "ciphertext", "kem_seed", "content_key"):
        if name in case:
            case[name] = b64decode(case[name])
    try:
        message = read(**case)
    except NotVerifiedError as error:
        sys.stderr.write(f"NOT VERIFIED: {error}\n")
        return 1
    loaded = [name for name in sys.modules if name.split(".", maxsplit=1)[0] == "gateway"]
    if loaded:
        sys.stderr.write("this reader must not share code with the project\n")
        return 2
    sys.stdout.buffer.write(message)
    return 0


if __name__ == "__main__":
    sys.exit(main())
