"""A second checker of exported logs, written from the C2SP texts, which shares no code with ours.

It does what an auditor could write in an afternoon: read ``checkpoint``, verify the Ed25519
and the ML-DSA-87 line of the log (and of its cosigner, if its keys are given), recompute the
tree from the entry bundles by the recursive definition of RFC 6962, compare every tile, and
see that no file is absent or superfluous. Of the entries it reads the key statements alone: they
say which key was the log's at this size, and which one is its node's as a cosigner. A key that was
replaced may be stolen, so it is not accepted.

Nothing of ``gateway`` is imported: hashes are hashlib's, ML-DSA-87 is dilithium-py's, Ed25519
cryptography's. It holds the whole log in memory and knows nothing of what other entries mean.

Run: ``python -I tests/independent_checker.py DIR LOG.vkeys [COSIGNER.vkeys [ROOT.vkeys [OTHER]]]``,
where a vkeys file holds two lines. With ROOT.vkeys (of the log's own nation) each key statement has to
be signed by that root. Of a nation that has replaced its root the file holds two lines of each, in order,
and none may sign again once a later one has. OTHER is the newest export of a log of the cosigner's own,
checked before: the cosigner's key has to be the one that it states last. Exit status 0 and the checkpoint,
or 1 and the reason.
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
STATEMENT = b"entente/ml-dsa-87-note/v1"


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


# --- key statements: docs/spec/keys.md ------------------------------------------------------


def statements_in(entries: list[bytes]) -> list[bytes]:
    """Return the notes of the key statements: arrays of the number 5 and at least 256 bytes."""
    return [entry[5:] for entry in entries if entry.startswith(b"\x92\x05\xc5")]


def check_stated(note: bytes, word: str, vkeys: list[str]) -> None:
    """See that a statement gives exactly these keys to a log, or to its node as cosigner."""
    lines = [line.split(" ", 1) for line in split_note(note)[0].splitlines()]
    # A later generation of a log, .../2, has the keys of the first one under a name of its own.
    name = re.sub(r"/[0-9]+$", "", read_vkey(vkeys[0])[0])
    stated = [read_vkey(value[0]) for key, *value in lines if key == word]
    keys = [material for stated_name, _, material in stated if stated_name == name]
    require(keys == [read_vkey(key)[2] for key in vkeys], f"the key of {name} was replaced")


def check_root(note: bytes, origin: str, vkeys: list[str]) -> None:
    """Verify both signatures of a nation's root under a statement about the node of a log."""
    text, lines = split_note(note)
    (name, classical_id, classical), (other_name, post_quantum_id, post_quantum) = map(read_vkey, vkeys)
    require(name == other_name and classical[0] == 0x01, "keys of a root")
    require(post_quantum[:1] == b"\xff" and post_quantum[1:].startswith(STATEMENT), "keys of a root")
    head = re.match(r"entente/key-statement/v1\nnation ([A-Z]{2})\nnode ([^\n]+)\n", text)
    require(head, "key statement")
    assert head is not None
    require(
        name == f"entente/root/{head[1].lower()}" and head[2] == origin.partition("/")[0], "whose statement"
    )
    check_ed25519(classical[1:], the_blob(lines, name, classical_id), text.encode())
    signature = the_blob(lines, name, post_quantum_id)
    public_key = post_quantum[1 + len(STATEMENT) :]
    require(len(signature) == 4_627, "length of the ML-DSA-87 signature")
    require(ML_DSA_87.verify(public_key, text.encode(), signature, ctx=STATEMENT), "signature of the root")


def check_roots(note: bytes, origin: str, vkeys: list[str], first: int) -> int:
    """See that one of several roots, from the ``first`` line on, has signed a statement; return its line."""
    for at in range(first, len(vkeys), 2):
        try:
            check_root(note, origin, vkeys[at : at + 2])
        except NotAcceptedError:
            continue
        return at
    msg = "signature of the root"
    raise NotAcceptedError(msg)


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


def read_entries(folder: Path, size: int) -> list[bytes]:
    entries = []
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        data = (folder / file_name("entries", index, width)).read_bytes()
        entries += split_bundle(data, width)
    return entries


def check_cosigner(folder: Path, vkeys: list[str]) -> None:
    """See that a log of the cosigner's own, checked before, states these keys of it last."""
    size = int((folder / "checkpoint").read_text(encoding="utf-8").split("\n")[1])
    stated = statements_in(read_entries(folder, size))
    require(stated, "no key statement of the cosigner")
    check_stated(stated[-1], "cosigner", vkeys)


def check_log(
    folder: Path,
    log_vkeys: list[str],
    cosigner_vkeys: list[str] | None = None,
    root_vkeys: list[str] | None = None,
) -> tuple[int, bytes]:
    """Check a whole exported log; return size and root."""
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    require(not any(path.is_symlink() for path in folder.rglob("*")), "links")
    require("checkpoint" in present, "checkpoint")
    note = (folder / "checkpoint").read_bytes()
    origin, size, root = check_signer(note, log_vkeys, cosigner=False)
    if cosigner_vkeys is not None:
        check_signer(note, cosigner_vkeys, cosigner=True)
    expected = {"checkpoint"}
    for index in range(-(-size // 256)):
        name = file_name("entries", index, min(256, size - 256 * index))
        require(name in present, name)
        expected.add(name)
    entries = read_entries(folder, size)
    hashes = [leaf_hash(entry) for entry in entries]
    require(tree_head(hashes) == root, "root hash")
    stated = statements_in(entries)
    require(stated or not size or "/exchange/" not in origin, "no key statement")
    if stated:  # an audit log of test vectors may hold none
        check_stated(stated[-1], "log", log_vkeys)
    at = 0
    for statement in stated if root_vkeys is not None else ():
        at = check_roots(statement, origin, root_vkeys or [], at)
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
    keys = [file.read_text(encoding="ascii").split() for file in files[:3]]
    try:
        size, root = check_log(folder, *keys)
        for other in files[3:]:
            check_cosigner(other, keys[1])
    except NotAcceptedError as error:
        sys.stdout.write(f"not accepted: {error}\n")
        return 1
    sys.stdout.write(f"accepted: size {size}, root {root.hex()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
