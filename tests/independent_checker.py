"""A second checker of exported logs, written from the C2SP texts, which shares no code with ours.

It does what an auditor could write in an afternoon: read ``checkpoint``, verify the Ed25519
and the ML-DSA-87 line of the log (and of its cosigner, if its keys are given), recompute the
tree from the entry bundles by the recursive definition of RFC 6962, compare every tile, and
see that no file is absent or superfluous.

Nothing of ``gateway`` is imported: hashes are hashlib's, ML-DSA-87 is dilithium-py's, Ed25519
cryptography's. It holds the whole log in memory and knows nothing of what entries mean.

Run: ``python -I tests/independent_checker.py DIR LOG.vkeys [COSIGNER.vkeys]``, where a vkeys
file holds two lines. Exit status 0 and the checkpoint, or 1 and the reason.
"""

from __future__ import annotations

import hashlib
import re
import sys
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from dilithium_py.ml_dsa import ML_DSA_87

IDENTIFIER = b"entente/ml-dsa-87-cosignature/v1"


class NotAcceptedError(Exception):
    """The log is not what its signers signed."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise NotAcceptedError(what)


def canonical_base64(text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = b""
    require(b64encode(data).decode() == text, "base64")
    return data


# --- C2SP signed-note, tlog-checkpoint, tlog-cosignature ------------------------------------


def split_note(note: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Return the text, and (name, key ID, signature) of each line."""
    try:
        text = note.decode()
    except UnicodeDecodeError:
        text = ""
    require(not re.search(r"[\x00-\x09\x0b-\x1f]", text), "control characters")
    body, separator, tail = text.rpartition("\n\n")
    require(separator and tail.endswith("\n"), "note")
    lines = []
    for line in tail[:-1].split("\n"):
        parts = line.split(" ")
        require(len(parts) == 3 and parts[0] == "\u2014" and parts[1], "signature line")
        blob = canonical_base64(parts[2])
        lines.append((parts[1], blob[:4], blob[4:]))
    return body + "\n", lines


def read_vkey(line: str) -> tuple[str, bytes, bytes]:
    """Return name, key ID and key material (type byte, then the key) of a verifier key."""
    name, key_id, encoded = line.split("+", 2)
    material = canonical_base64(encoded)
    computed = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    require(computed.hex() == key_id, "key ID of a verifier key")
    return name, computed, material


def the_blob(lines: list[tuple[str, bytes, bytes]], name: str, key_id: bytes) -> bytes:
    blobs = [blob for line_name, line_id, blob in lines if (line_name, line_id) == (name, key_id)]
    require(len(blobs) == 1, f"one line of {name}")
    return blobs[0]


def check_ed25519(public_key: bytes, signature: bytes, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        require(condition=False, what="Ed25519 signature")


def check_signer(note: bytes, vkeys: list[str], *, cosigner: bool) -> tuple[str, int, bytes]:
    """Verify both lines of one signer; return origin, size and root."""
    text, lines = split_note(note)
    match = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/]{43}=)\n", text)
    require(match, "checkpoint")
    assert match is not None
    origin, size, root = match[1], int(match[2]), canonical_base64(match[3])
    (name, classical_id, classical), (other_name, post_quantum_id, post_quantum) = map(read_vkey, vkeys)
    require(name == other_name, "one name")
    blob = the_blob(lines, name, classical_id)
    if cosigner:
        require(classical[0] == 0x04, "type of the Ed25519 key")
        time = int.from_bytes(blob[:8], "big")
        check_ed25519(classical[1:], blob[8:], b"cosignature/v1\ntime %d\n" % time + text.encode())
    else:
        require(classical[0] == 0x01 and name == origin, "the log signs under its origin")
        check_ed25519(classical[1:], blob, text.encode())
    require(post_quantum[:1] == b"\xff" and post_quantum[1:].startswith(IDENTIFIER), "type of the ML-DSA key")
    blob = the_blob(lines, name, post_quantum_id)
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name.encode() + blob[:8]
    message += bytes([len(origin)]) + origin.encode() + bytes(8) + size.to_bytes(8, "big") + root
    public_key = post_quantum[1 + len(IDENTIFIER) :]
    require(len(blob) == 8 + 4_627, "length of the ML-DSA-87 signature")
    require(ML_DSA_87.verify(public_key, message, blob[8:]), "ML-DSA-87 signature")
    return origin, size, root


# --- RFC 6962 and C2SP tlog-tiles -----------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def tree_head(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 Section 2.1, over leaf hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + tree_head(hashes[:k]) + tree_head(hashes[k:])).digest()


def file_name(kind: str, index: int, width: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{kind}/{path}" + ("" if width == 256 else f".p/{width}")


def split_bundle(data: bytes, count: int) -> list[bytes]:
    entries = []
    at = 0
    for _ in range(count):
        length = int.from_bytes(data[at : at + 2], "big")
        require(at + 2 + length <= len(data), "entry bundle")
        entries.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    require(at == len(data), "bytes behind an entry bundle")
    return entries


def check_log(
    folder: Path, log_vkeys: list[str], cosigner_vkeys: list[str] | None = None
) -> tuple[int, bytes]:
    """Check a whole exported log; return size and root."""
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    require(not any(path.is_symlink() for path in folder.rglob("*")), "links")
    require("checkpoint" in present, "checkpoint")
    note = (folder / "checkpoint").read_bytes()
    _, size, root = check_signer(note, log_vkeys, cosigner=False)
    if cosigner_vkeys is not None:
        check_signer(note, cosigner_vkeys, cosigner=True)
    expected = {"checkpoint"}
    hashes: list[bytes] = []
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        name = file_name("entries", index, width)
        require(name in present, name)
        expected.add(name)
        hashes += [leaf_hash(entry) for entry in split_bundle((folder / name).read_bytes(), width)]
    require(tree_head(hashes) == root, "root hash")
    level = 0
    while hashes:
        for index in range(-(-len(hashes) // 256)):
            tile = hashes[256 * index : 256 * index + 256]
            name = file_name(str(level), index, len(tile))
            require(name in present and (folder / name).read_bytes() == b"".join(tile), name)
            expected.add(name)
        full = len(hashes) // 256
        hashes = [tree_head(hashes[256 * index : 256 * index + 256]) for index in range(full)]
        level += 1
    require(present == expected, "superfluous files")
    return size, root


def main(arguments: list[str]) -> int:
    folder, *files = map(Path, arguments)
    keys = [file.read_text(encoding="ascii").split() for file in files]
    try:
        size, root = check_log(folder, *keys)
    except NotAcceptedError as error:
        sys.stdout.write(f"not accepted: {error}\n")
        return 1
    sys.stdout.write(f"accepted: size {size}, root {root.hex()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
