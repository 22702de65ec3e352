"""Makes log.json and content.json: what this implementation writes, for readers in any language.

Keys are fixed; signatures, boxes and ciphertexts are not (ML-DSA is hedged, encapsulation and
salts are random), so a new run writes other bytes that mean the same. The files are kept: a
later version that cannot read them has changed the protocol.

Run: ``.venv/bin/python tests/vectors/make_core.py``
"""

from __future__ import annotations

import json
import sys
from hashlib import sha384
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from gateway.core.checkpoint import Checkpoint  # noqa: E402 - found through the line above
from gateway.core.cosignature import (  # noqa: E402
    cosign,
    cosigned_message,
    sign_checkpoint,
    sign_text_note,
)
from gateway.core.entries import AnchorEntry, MessageEntry, encode_entry  # noqa: E402
from gateway.core.keybox import BoxBinding, KemPrivateKey, seal_box  # noqa: E402
from gateway.core.merkle import hash_leaf, root_of  # noqa: E402
from gateway.core.sealing import (  # noqa: E402
    Attachment,
    ContentKey,
    KeyWrap,
    StorageKey,
    padded_length,
    seal_content,
)
from gateway.core.signature import SoftwareSigner  # noqa: E402

SOURCE = (
    "tests/vectors/make_core.py of this project; read back by tests/unit/core and tests/independent_reader.py"
)
ORIGIN, PEER = "fr.gateway.test/exchange/us", "us.gateway.test"


def seeds(start: int) -> dict[str, Any]:
    """Return two seeds that nobody uses for anything else."""
    return {
        "ed25519_seed": bytes(range(start, start + 32)),
        "mldsa87_seed": bytes(range(start + 32, start + 64)),
    }


def content_vectors() -> dict[str, Any]:
    """Return content, wrapped key and key box, each with all that opens it."""
    key, storage_key, header = ContentKey(b"c" * 32), StorageKey(b"s" * 32), b"\x92\x01\xa1h"
    message = json.dumps(
        {"type": "intel.spontaneous/1", "text": "fret \u00e0 quai"}, ensure_ascii=False
    ).encode()
    attachment = Attachment(
        name="plan.pdf", media_type="application/pdf", size=48_211, digest=sha384(b"plan").digest()
    )
    kem = KemPrivateKey.from_seed(b"k" * 32)
    content_keys = [key, ContentKey(b"d" * 32)]
    binding = BoxBinding(
        suite=1,
        sender_origin=ORIGIN,
        receiver_node=PEER,
        kem_key_id=kem.key_id,
        bundle_id=b"bundle-id-16-byt",
        count=2,
    )
    return {
        "source": SOURCE,
        "padding": [[length, padded_length(length)] for length in (0, 1, 9, 200, 2_049, 16_385, 1_048_577)],
        "content": {
            "content_key": key.hex(),
            "header": header.hex(),
            "message": message.hex(),
            "manifest": [
                [attachment.name, attachment.media_type, attachment.size, attachment.digest.hex()],
            ],
            "ciphertext": seal_content(message, content_key=key, header=header, manifest=(attachment,)).hex(),
        },
        "wrapped_key": {
            "content_key": key.hex(),
            "storage_key": storage_key.hex(),
            "message_id": (b"m" * 16).hex(),
            "wrapped": KeyWrap(storage_key).wrap(key, message_id=b"m" * 16).hex(),
        },
        "key_box": {
            "kem_seed": (b"k" * 32).hex(),
            "kem_public_key": kem.public_key.to_bytes().hex(),
            "kem_key_id": kem.key_id.hex(),
            "suite": 1,
            "sender_origin": ORIGIN,
            "receiver_node": PEER,
            "bundle_id": binding.bundle_id.hex(),
            "info": binding.info().hex(),
            "content_keys": [item.hex() for item in content_keys],
            "box": seal_box(content_keys, public_key=kem.public_key, binding=binding).hex(),
        },
    }


def log_vectors() -> dict[str, Any]:
    """Return a small log with its cosigned note, and a statement."""
    log, peer = SoftwareSigner(name=ORIGIN, **seeds(0)), SoftwareSigner(name=PEER, **seeds(64))
    root_key = SoftwareSigner(name="root.fr.gateway.test", **seeds(128))
    message = MessageEntry(
        header=b"\x92\x01\xa1h",
        kem_key_id=bytes(8),
        bundle_id=bytes(16),
        slot=0,
        box_digest=bytes(48),
        ciphertext_digest=bytes(48),
        ciphertext_bytes=2_120,
    )
    entries = [
        encode_entry(AnchorEntry(origin="fr.gateway.test/audit", size=size, root=bytes(32)))
        for size in range(1, 7)
    ]
    entries.insert(3, encode_entry(message))
    checkpoint = Checkpoint(
        origin=ORIGIN, size=len(entries), root=root_of([hash_leaf(entry) for entry in entries])
    )
    note = cosign(
        sign_checkpoint(checkpoint, signer=log, time_s=1_767_225_600), cosigner=peer, time_s=1_767_225_601
    )
    statement = sign_text_note("an example\nof a statement\n", signer=root_key)
    return {
        "source": SOURCE,
        "entries": [entry.hex() for entry in entries],
        "leaf_hashes": [hash_leaf(entry).hex() for entry in entries],
        "root": checkpoint.root.hex(),
        "log_keys": [key.encode() for key in log.verifier.verifier_keys(cosigner=False)],
        "cosigner_keys": [key.encode() for key in peer.verifier.verifier_keys(cosigner=True)],
        "log_time_s": 1_767_225_600,
        "cosigner_time_s": 1_767_225_601,
        "log_signed_message": cosigned_message(checkpoint, name=ORIGIN, time_s=1_767_225_600).hex(),
        "note": note.decode(),
        "statement_keys": [key.encode() for key in root_key.verifier.statement_keys()],
        "statement": statement.decode(),
    }


def main() -> None:
    """Write both files beside this one."""
    for name, vectors in (("content", content_vectors()), ("log", log_vectors())):
        text = json.dumps(vectors, indent=2, ensure_ascii=False)
        (HERE / f"{name}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
