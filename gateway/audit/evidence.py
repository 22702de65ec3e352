"""Verifying the evidence of one message, from its file and keys that the auditor trusts.

It trusts nothing that the file says about itself. Keys come from outside: either the verifier
keys themselves, or those of the national roots, which vouch for the statements in the file.
Size and root come from signed checkpoints, times from signatures.

Spec: docs/spec/evidence.md; docs/auditing.md, "Evidence of one message".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha384
from typing import Any, Final
from uuid import UUID

from gateway.audit.cosigners import CosignerPeriods, labels
from gateway.audit.report import Check, Outcome, first_failure, time_text, verdict
from gateway.audit.statement import read_statement
from gateway.audit.trust import Trust
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import signing_key, verify_cosignature, verify_log_note
from gateway.core.entries import MessageEntry, ReceiptEntry, decode_entry
from gateway.core.envelope import Header, decode_header, header_of
from gateway.core.evidence import Evidence, LoggedEntry, parse_evidence, stated_keys
from gateway.core.merkle import Hash, hash_leaf, verify_inclusion
from gateway.core.message.instants import time_text as ms_text
from gateway.core.message.strict_json import JsonRefusedError, parse_json
from gateway.core.note import parse_note
from gateway.core.receipt import exception_label
from gateway.core.sealing import ContentKey, open_content
from gateway.core.signature import HybridVerifier
from gateway.errors import GatewayError, MalformedError, SignatureInvalidError

_UNKNOWN: Final = "evidence of a message"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReport:
    """What was found out about one file of evidence.

    Attributes:
        title: The message, once its entry could be read.
        facts: What is proven, name and value, in order.
        checks: Everything that was looked at, in order.
        message: The message itself, if its content is disclosed and everything held.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    message: bytes | None

    @property
    def reason(self) -> str | None:
        """Return the first thing that failed, or None."""
        return first_failure(self.checks)

    @property
    def is_verified(self) -> bool:
        """Return whether everything that the file claims could be proven."""
        return self.reason is None

    @property
    def headline(self) -> str:
        """Return the verdict in one line, with what is proven."""
        if not self.is_verified:
            return f"NOT VERIFIED {self.title}: {self.reason}"
        held = {check.name for check in self.checks if check.outcome is Outcome.HELD}
        proven = [name for name in ("origin", "delivery", "acceptance", "content") if name in held]
        return f"VERIFIED {self.title}: {', '.join(proven)}"

    def as_json(self) -> dict[str, Any]:
        """Return the report for ``--json``."""
        return {
            "evidence": self.title,
            "verdict": verdict(is_verified=self.is_verified),
            "reason": self.reason,
            "facts": dict(self.facts),
            "checks": [check.as_json() for check in self.checks],
        }


def verify_evidence(data: bytes, *, trust: Trust) -> EvidenceReport:
    """Verify a file of evidence.

    Args:
        data: The file. Whatever it is, the answer is a report.
        trust: Keys that the auditor trusts: verifier keys of the logs and cosigners, or of the
            national roots.
    """
    try:
        evidence = parse_evidence(data)
        checking = _Checking(evidence, trust)
    except GatewayError as error:
        failed = Check.failed("file", str(error))
        return EvidenceReport(title=_UNKNOWN, facts=(), checks=(failed,), message=None)
    return checking.report()


class _Checking:
    """The checks of one file; each sees what those before it have established."""

    def __init__(self, evidence: Evidence, trust: Trust) -> None:
        self._evidence = evidence
        self._trust = trust
        self._origin = evidence.message.origin
        self._checks: list[Check] = []
        self._facts: list[tuple[str, str]] = []
        entry = decode_entry(evidence.message.entry)
        if not isinstance(entry, MessageEntry):
            msg = "the entry is not that of a message"
            raise MalformedError(msg)
        self._entry = entry
        self._header = decode_header(entry.header)
        self._message: bytes | None = None
        # Once they are proven: the receipt, and whether it, or a cosignature, is about this very entry.
        self._answer: ReceiptEntry | None = None
        self._is_tied = False
        self._no_receipt: GatewayError | None = None
        self._held("file", "in the one form that evidence has")

    def report(self) -> EvidenceReport:
        header = self._header
        message_id = UUID(bytes=header.message_id)
        self._facts += [
            ("message", str(message_id)),
            ("type", header.type),
            ("from", f"{header.from_agency} at {header.from_node}"),
            ("to", f"{', '.join(header.to_agencies)} at {header.to_node}"),
            ("created", _moment(header.created_ms)),
        ]
        self._try("statements", self._statements)
        self._try("origin", self._prove_origin)
        self._read_receipt()
        self._try("delivery", self._prove_delivery)
        self._try("acceptance", self._prove_acceptance)
        self._try("schema", self._compare_schema)
        self._try("content", self._open_content)
        failed = first_failure(tuple(self._checks)) is not None
        return EvidenceReport(
            title=f"evidence of {message_id}",
            facts=tuple((name, _shown(value)) for name, value in self._facts),
            checks=tuple(self._checks),
            message=None if failed else self._message,
        )

    def _statements(self) -> None:
        """Let the trusted roots vouch for the keys in the file."""
        evidence = self._evidence
        vouched: list[str] = []
        unknown: list[str] = []
        replaced: list[str] = []
        sender, receiver = self._header.from_node, self._header.to_node
        senders, addressees = (self._header.from_agency,), self._header.to_agencies
        of_cosigner = evidence.cosigner_statement
        # What each statement vouches for: where the receiver has two, one names its log's keys and
        # the other those of its cosignature.
        stated = [
            (evidence.sender_statement, self._origin, sender, senders, True, True),
            (
                evidence.receiver_statement,
                evidence.receiver_origin,
                receiver,
                addressees,
                True,
                of_cosigner is None,
            ),
        ]
        if of_cosigner is not None:
            stated.append((of_cosigner, evidence.receiver_origin, receiver, addressees, False, True))
        nations: set[str] = set()
        for note, origin, node, agencies, for_log, for_cosigner in stated:
            statement = read_statement(note)
            if statement.node != node or origin.partition("/")[0] != node:
                msg = "a key statement is about another node than the message"
                raise MalformedError(msg)
            nations.add(statement.nation)
            if not statement.speaks_for(agencies):
                msg = "a key statement is of another nation than the agencies of its node"
                raise MalformedError(msg)
            roots = statement.roots(self._trust)
            if not roots:
                unknown.append(node)
                continue
            if statement.verify(roots):
                replaced.append(node)
            log, cosigner = stated_keys(note, origin)
            if for_log:
                logs = _with(self._trust.logs, log, self._trust.log_keys(origin))
                self._trust = replace(self._trust, logs=logs)
            if for_cosigner:
                cosigners = _with(self._trust.cosigners, cosigner, self._trust.cosigner_keys(node))
                self._trust = replace(self._trust, cosigners=cosigners)
            vouched.append(node)
        if len(nations) == 1:
            msg = "one nation vouches for both nodes"
            raise MalformedError(msg)
        if unknown:
            nodes = ", ".join(dict.fromkeys(unknown))
            self._not_checked("statements", f"of {nodes}: the key of the root is not trusted")
        else:
            nodes = ", ".join(dict.fromkeys(vouched))
            later = "".join(f"; of {node} by a root that was replaced" for node in dict.fromkeys(replaced))
            self._held("statements", f"of {nodes}, signed by the national roots{later}")

    def _prove_origin(self) -> None:
        checkpoint, time_s = self._logged(self._evidence.message)
        if self._header.from_node != checkpoint.origin.partition("/")[0]:
            msg = "the message names another node than the log's as its sender"
            raise MalformedError(msg)
        index = self._evidence.message.proof.index
        self._facts.append(("logged", f"{checkpoint.origin}, index {index} of {checkpoint.size}"))
        self._facts.append(("signed", time_text(time_s)))
        self._held("origin", f"entry {index} of {checkpoint.origin}, signed by {self._header.from_node}")

    def _read_receipt(self) -> None:
        """Look at the receipt before delivery, which it may bear out; what is wrong with it is told later."""
        if self._evidence.receipt is not None:
            try:
                self._verify_receipt(self._evidence.receipt)
            except GatewayError as error:
                self._no_receipt = error

    def _verify_receipt(self, receipt: LoggedEntry) -> None:
        """Verify the receipt, and by its path that the state that it names holds this very entry."""
        checkpoint, _ = self._logged(receipt)
        entry = decode_entry(receipt.entry)
        index = self._evidence.message.proof.index
        if (
            not isinstance(entry, ReceiptEntry)
            or checkpoint.origin.partition("/")[0] != self._header.to_node
            or checkpoint.origin != self._evidence.receiver_origin
            or entry.origin != self._origin
            or not entry.start <= index < entry.start + entry.count
        ):
            msg = "the receipt is not one for this message"
            raise MalformedError(msg)
        path = self._evidence.receipt_path
        if path is not None:
            verify_inclusion(
                leaf_hash=hash_leaf(self._evidence.message.entry),
                leaf_index=index,
                tree_size=entry.start + entry.count,
                proof=path,
                root_hash=Hash(entry.root),
            )
        self._answer, self._is_tied = entry, path is not None

    def _prove_delivery(self) -> None:
        node = self._header.to_node
        note = self._evidence.message.proof.note
        stated = self._evidence.receiver_keys[1]
        if not labels(stated, cosigner=True) & {
            (line.name, line.key_id) for line in parse_note(note).signatures
        }:
            self._not_checked("delivery", f"{node} has not cosigned this state of the log")
            return
        if stated not in self._trust.cosigner_keys(node):
            msg = f"no trusted keys for the cosigner {node}, or others than those in the file"
            raise SignatureInvalidError(msg)
        time_s = verify_cosignature(note, cosigner=stated)
        delivered = time_text(time_s)
        if self._is_replaced(stated):
            # Whoever has the old key can have signed, under any time: the receipt has to say it.
            if self._answer is None or not self._is_tied:
                what = f"{node} has replaced the key of its cosignature, and no receipt bears it out"
                self._not_checked("delivery", what)
                return
            delivered = _moment(self._answer.decided_ms)
        # A cosigner holds one entry at an index: its receipt for that is about this very one.
        self._is_tied = True
        self._facts.append(("delivered", f"not later than {delivered}"))
        self._held("delivery", f"{node} holds every entry and ciphertext up to it")

    def _is_replaced(self, cosigner: HybridVerifier) -> bool:
        """Return whether a later key of the receiver as cosigner is trusted, or stated in the file."""
        notes = (self._evidence.receiver_statement, self._evidence.cosigner_statement)
        stated = [read_statement(note) for note in notes if note is not None]
        return CosignerPeriods((), self._trust, stated=stated).is_replaced(cosigner)

    def _prove_acceptance(self) -> None:
        if self._no_receipt is not None:
            raise self._no_receipt
        entry, receiver = self._answer, self._header.to_node
        if entry is None:
            self._not_checked("acceptance", "the file holds no receipt")
            return
        if not self._is_tied:
            self._not_checked("acceptance", "nothing in the file shows that the receipt is about this entry")
            return
        index = self._evidence.message.proof.index
        refused = next((item for item in entry.exceptions if item.index == index), None)
        decided = _moment(entry.decided_ms)
        if refused is None:
            self._facts.append(("received", decided))
            self._held("acceptance", f"received by {receiver}, without exception")
            return
        rule = "" if refused.rule is None else f", rule {refused.rule}"
        self._facts.append(("refused", f"{decided}, {exception_label(refused.code)}{rule}"))
        self._held("acceptance", f"decided by {receiver}: refused, {exception_label(refused.code)}{rule}")

    def _compare_schema(self) -> None:
        schema = self._evidence.schema
        if not schema:
            self._not_checked("schema", "not in the file: the rules have changed since")
            return
        lines = "".join(f"{sha384(schema[path]).hexdigest()}  {path}\n" for path in sorted(schema))
        if sha384(lines.encode()).digest() != self._header.type_digest:
            msg = "its digest is not the one that the entry names"
            raise MalformedError(msg)
        self._held("schema", f"{len(schema)} files, as the entry names them")

    def _open_content(self) -> None:
        """Compare the ciphertext with its digest, and open it if the key is there."""
        ciphertext, key = self._evidence.ciphertext, self._evidence.content_key
        if ciphertext is None:
            if key is not None:
                msg = "there is a content key but no ciphertext"
                raise MalformedError(msg)
            self._not_checked("content", "erased, or not in the file; the rest is proven without it")
            return
        entry = self._entry
        if (sha384(ciphertext).digest(), len(ciphertext)) != (
            entry.ciphertext_digest,
            entry.ciphertext_bytes,
        ):
            msg = "the ciphertext is not the one that the entry names"
            raise MalformedError(msg)
        self._held("ciphertext", "the one that the entry names")
        if key is None:
            self._not_checked("content", "not disclosed")
            return
        self._message = open_content(ciphertext, content_key=ContentKey(key), header=entry.header)
        if _header_in(self._message, self._header) != self._header:
            msg = "the message does not say what its header says"
            raise MalformedError(msg)
        self._held("content", f"{len(self._message)} bytes, opened with the disclosed key")

    def _logged(self, item: LoggedEntry) -> tuple[Checkpoint, int]:
        """Verify that an entry is in its log under signatures of trusted keys."""
        origin = item.origin
        keys = self._trust.log_keys(origin)
        if not keys:
            msg = f"no trusted keys for the log {origin}"
            raise SignatureInvalidError(msg)
        verified = verify_log_note(item.proof.note, verifier=signing_key(item.proof.note, keys))
        checkpoint = verified.checkpoint
        verify_inclusion(
            leaf_hash=hash_leaf(item.entry),
            leaf_index=item.proof.index,
            tree_size=checkpoint.size,
            proof=item.proof.hashes,
            root_hash=checkpoint.root,
        )
        return checkpoint, verified.time_s

    def _try(self, name: str, check: Callable[[], None]) -> None:
        try:
            check()
        except GatewayError as error:
            self._checks.append(Check.failed(name, str(error)))

    def _held(self, name: str, detail: str) -> None:
        self._checks.append(Check.held(name, _shown(detail)))

    def _not_checked(self, name: str, detail: str) -> None:
        self._checks.append(Check.not_checked(name, _shown(detail)))


def _with(
    known: Mapping[str, HybridVerifier], vouched: HybridVerifier, trusted: tuple[HybridVerifier, ...]
) -> dict[str, HybridVerifier]:
    """Return trusted keys with those that a root vouches for.

    Raises:
        SignatureInvalidError: The auditor trusts other keys of the same name.
    """
    if trusted and vouched not in trusted:
        msg = f"the statement in the file names other keys of {vouched.name} than the trusted ones"
        raise SignatureInvalidError(msg)
    return dict(known) if trusted else {**known, vouched.name: vouched}


def _header_in(message: bytes, header: Header) -> Header:
    """Return the header that a message itself states.

    Raises:
        MalformedError: It is no message that a node could have accepted.
    """
    try:
        return header_of(
            parse_json(message),
            from_node=header.from_node,
            to_node=header.to_node,
            type_digest=header.type_digest,
        )
    except (JsonRefusedError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        msg = "the content is not a message"
        raise MalformedError(msg) from error


def _moment(milliseconds: int) -> str:
    try:
        return ms_text(milliseconds)
    except (OverflowError, OSError, ValueError):
        return f"millisecond {milliseconds}"


def _shown(text: str) -> str:
    """Return a text from an entry so that a terminal can show it."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
