"""Evidence as nodes make it, from test keys: good, partial, and forged by those who hold keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha384
from typing import Any

from gateway.core.entries import Entry, MessageEntry, ReceiptEntry, ReceiptException, encode_entry
from gateway.core.envelope import header_of
from gateway.core.evidence import Evidence, LoggedEntry
from gateway.core.log_proof import LogProof
from gateway.core.merkle import Hash, hash_leaf, inclusion_proof
from gateway.core.message.instants import time_text
from gateway.core.sealing import ContentKey, seal_content
from tests.unit.audit.making import (
    AGENCY,
    FR,
    FR_US,
    TIME_S,
    US,
    US_FR,
    MadeLog,
    make_log,
    message,
    opening,
    receipt,
    signer,
    statement,
    successor_signer,
)

KEY = ContentKey(bytes(range(32)))
SCHEMA = {"agreement.json": b"{}\n", "common/header.json": b'{"type": "object"}\n'}
INDEX = 5
"""Where the message stands in the sender's log."""


class LogHashes:
    """Hashes of a made log."""

    def __init__(self, made: MadeLog) -> None:
        self._leaves = [hash_leaf(entry) for entry in made.stored]

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        assert level == 0
        return self._leaves[start:end]


def document(**header: Any) -> dict[str, Any]:
    """Return a message as an agency would post it."""
    return {
        "type": "intel.spontaneous/1",
        "header": {
            "message_id": "01a20847-0135-7993-b063-b5d5cb27d3ff",
            "created_at": time_text(TIME_S * 1_000),
            "expires_at": time_text(TIME_S * 1_000 + 3_600_000),
            "from": {"agency": AGENCY[FR]},
            "to": [{"agency": AGENCY[US]}],
            "precedence": "ROUTINE",
            "marking": {"level": "DIFFUSION_RESTREINTE"},
            "conversation": {"id": "01a20847-0135-7993-b063-b5d5cb27d400"},
            **header,
        },
        "payload": {"text": "The quick brown fox. " * 2_000},
    }


def schema_digest(schema: dict[str, bytes]) -> bytes:
    """Return the digest of a type, as the catalogue makes it."""
    lines = "".join(f"{sha384(schema[path]).hexdigest()}  {path}\n" for path in sorted(schema))
    return sha384(lines.encode()).digest()


def logged(made: MadeLog, index: int) -> LoggedEntry:
    """Return an entry of a log with its proof."""
    path = inclusion_proof(leaf_index=index, tree_size=made.size, reader=LogHashes(made))
    return LoggedEntry(entry=made.stored[index], proof=LogProof(index=index, hashes=path, note=made.signed))


def make_evidence(
    *,
    stated: dict[str, Any] | None = None,
    sealed: dict[str, Any] | None = None,
    cosigned: bool = True,
    refused: bool = False,
    answer: Entry | None = None,
    log_size: int = 9,
    sender_keys: int = 1,
    receiver_keys: int = 1,
    cosigner_keys: int = 1,
    generation: int = 1,
) -> Evidence:
    """Return the evidence of a message from the French node to the American one, content disclosed.

    Args:
        stated: What the header in the log is made from; default the message itself.
        sealed: The message that is encrypted.
        cosigned: Whether the American node has cosigned the French log.
        refused: Whether the receipt has an exception for the message.
        answer: Another entry in place of the receipt.
        log_size: Entries of the French log.
        sender_keys: Which keys of the French log have signed it.
        receiver_keys: Which keys of the American log have signed that.
        cosigner_keys: Which keys of the American node have cosigned the French log.
        generation: Which generation both logs are in.
    """
    fr_us, us_fr = (origin if generation == 1 else f"{origin}/{generation}" for origin in (FR_US, US_FR))
    if generation == 1:
        of_sender, of_receiver = signer(FR_US, sender_keys), signer(US_FR, receiver_keys)
    else:
        of_sender, of_receiver = (successor_signer(origin, generation) for origin in (FR_US, US_FR))
    header = header_of(
        document() if stated is None else stated,
        from_node=FR,
        to_node=US,
        type_digest=schema_digest(SCHEMA),
    ).encode()
    text = json.dumps(document() if sealed is None else sealed, ensure_ascii=False).encode()
    ciphertext = seal_content(text, content_key=KEY, header=header)
    entry: MessageEntry = replace(
        message(FR, 0, bundle=1, slot=0),
        header=header,
        ciphertext_digest=sha384(ciphertext).digest(),
        ciphertext_bytes=len(ciphertext),
    )
    others = [message(FR, number, bundle=2 + number, slot=0) for number in range(log_size)]
    entries: list[Entry] = [*opening(FR), *others[:2], entry, *others[2:]]
    vouching = signer(US, cosigner_keys) if cosigned else None
    sender = make_log(fr_us, entries[:log_size], by=of_sender, cosigned_by=vouching)
    found: ReceiptEntry = receipt(sender, 3, min(log_size, 8))
    if refused:
        found = replace(found, exceptions=(ReceiptException(index=INDEX, code=12, rule=7),))
    answers = [*opening(US), found if answer is None else answer]
    receiver = make_log(us_fr, answers, by=of_receiver, cosigner=FR)
    path = None
    if answer is None:
        size = found.start + found.count
        path = tuple(inclusion_proof(leaf_index=INDEX, tree_size=size, reader=LogHashes(sender)))
    is_apart = cosigned and cosigner_keys != receiver_keys
    return Evidence(
        message=logged(sender, INDEX),
        receipt=logged(receiver, 3),
        receipt_path=path,
        receiver_origin=us_fr,
        sender_statement=statement(FR, sender_keys, sender_keys),
        receiver_statement=statement(US, receiver_keys, receiver_keys),
        cosigner_statement=statement(US, cosigner_keys, cosigner_keys) if is_apart else None,
        schema=SCHEMA,
        ciphertext=ciphertext,
        content_key=KEY,
    )


def encoded(entry: Entry) -> bytes:
    """Return an entry's bytes."""
    return encode_entry(entry)


def variants() -> dict[str, Evidence]:
    """Return evidence of every shape that a node hands out."""
    whole = make_evidence()
    return {
        "disclosed": whole,
        "sealed": replace(whole, content_key=None),
        "erased": replace(whole, content_key=None, ciphertext=None),
        "refused": make_evidence(refused=True),
        "without receipt": replace(whole, receipt=None),
        "not cosigned": make_evidence(cosigned=False),
        "rules changed": replace(whole, schema={}),
        "long log": make_evidence(log_size=259),
        "last entry": make_evidence(log_size=6),
        "new keys of the sender": make_evidence(sender_keys=2),
        "new keys of the receiver": make_evidence(receiver_keys=2, cosigner_keys=2),
        "new keys between receipt and cosignature": make_evidence(receiver_keys=2, cosigner_keys=1),
        "new keys between cosignature and receipt": make_evidence(receiver_keys=1, cosigner_keys=2),
        "second generation": make_evidence(generation=2),
        "of an earlier release": replace(whole, receipt_path=None),
        "of an earlier release, not cosigned": replace(make_evidence(cosigned=False), receipt_path=None),
        "a rewritten log and a true receipt": rewritten(),
    }


def forgeries() -> dict[str, Evidence]:
    """Return evidence in which those who hold keys have lied, each well-formed and well-signed."""
    whole = make_evidence()
    other = make_evidence(sealed=document(precedence="FLASH"))
    longer = make_evidence(log_size=12)
    sender = make_log(FR_US, [*opening(FR), message(FR, 1)])
    inland = document(to=[{"agency": AGENCY[FR]}])
    return {
        "the message says another precedence": other,
        "the message has other addressees": make_evidence(sealed=document(to=[{"agency": "US.ICE.HSI"}])),
        "the message has attachments": make_evidence(sealed=document(attachments=[{"size": 1}])),
        "a receipt for another range": make_evidence(answer=receipt(sender, 0, 4)),
        "no receipt": make_evidence(answer=message(US, 1)),
        "a receipt for another log": make_evidence(
            answer=replace(receipt(sender, 0, 4), count=9, origin="fr.gateway.test/exchange/de")
        ),
        "another ciphertext": replace(whole, ciphertext=other.ciphertext),
        "another key": replace(whole, content_key=bytes(32)),
        "another schema": replace(whole, schema={**SCHEMA, "agreement.json": b"[]\n"}),
        "a key without content": replace(whole, ciphertext=None),
        "another index": replace(
            whole,
            message=replace(whole.message, proof=replace(whole.message.proof, index=INDEX + 1)),
        ),
        "another entry": replace(whole, message=replace(whole.message, entry=encoded(message(FR, 1)))),
        "the checkpoint of another state": replace(
            whole,
            message=replace(
                whole.message, proof=replace(whole.message.proof, note=longer.message.proof.note)
            ),
        ),
        "a statement with a flipped signature": replace(whole, sender_statement=flipped(statement(FR))),
        "a second statement with a flipped signature": replace(
            make_evidence(receiver_keys=2, cosigner_keys=1), cosigner_statement=flipped(statement(US))
        ),
        "the sender's keys by the root of the receiver": replace(
            whole, sender_statement=statement(FR, nation="US")
        ),
        "the receiver's keys by the root of the sender": replace(
            whole, receiver_statement=statement(US, nation="FR")
        ),
        "the cosigner's keys by the root of the sender": replace(
            make_evidence(receiver_keys=2, cosigner_keys=1), cosigner_statement=statement(US, nation="FR")
        ),
        "addressees of the sender's nation": replace(
            make_evidence(stated=inland, sealed=inland), receiver_statement=statement(US, nation="FR")
        ),
        "a rewritten log and the path of the true one": replace(rewritten(), receipt_path=whole.receipt_path),
        "a path of another length": replace(whole, receipt_path=(whole.receipt_path or ())[:-1]),
        "a receipt of another generation": replace(
            whole,
            receipt=make_evidence(generation=2).receipt,
            receiver_origin=f"{US_FR}/2",
        ),
    }


def rewritten() -> Evidence:
    """Return a message that was put into a rewritten log, beside the receipt for the one that stood there.

    The sender's node signs it, and somebody who kept the receiver's first cosigner key.
    """
    return replace(make_evidence(log_size=12), receipt=make_evidence(refused=True).receipt, receipt_path=None)


def flipped(note: bytes) -> bytes:
    """Return a note in which one character of its last signature is another one."""
    at = len(note) - 1_000
    return note[:at] + (b"A" if note[at : at + 1] != b"A" else b"B") + note[at + 1 :]
