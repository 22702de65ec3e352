"""Opening what a bundle carries: checks 5 to 9 of the receiving side, message by message.

Pure work on bytes, run as one job in a thread. A failure concerns one message and becomes
the code that its receipt will hold; so one poison message cannot stop the log.

Spec: docs/spec/exchange.md, "Receiving", checks 5 to 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.core.bundle import Bundle
from gateway.core.digest import digest_of
from gateway.core.entries import Entry, KemKeyEntry, MessageEntry, decode_entry
from gateway.core.envelope import SUITE, Header, decode_header, header_of
from gateway.core.keybox import BoxBinding, BoxInvalidError, KemPrivateKey, KemPublicKey, open_box
from gateway.core.message.examine import examine
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import rule_number
from gateway.core.message.schedule import SKEW_MS, Announced, Schedule
from gateway.core.message.violation import RULE_JSON, RULE_SCHEMA
from gateway.core.quick import quick_value
from gateway.core.receipt import ExceptionCode
from gateway.core.sealing import ContentKey, SealError, open_content
from gateway.errors import MalformedError
from gateway.node.defects import UnexaminedError, contained
from gateway.node.message_rows import Derived, derive
from gateway.node.pair import Pair


@quick_value
class Opened:
    """A message that opened and passed every check that needs no database.

    Attributes:
        index: Of its entry in the sender's log.
        document: The message.
        catalogue: By which it was judged.
        derived: What follows from the document.
        ciphertext: As it arrived.
        content_key: Opens it.
    """

    index: int
    document: dict[str, Any]
    catalogue: Catalogue
    derived: Derived
    ciphertext: bytes
    content_key: ContentKey

    @property
    def message_id(self) -> bytes:
        """Return the id of the message, 16 bytes."""
        return self.derived.header.message_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A message that did not.

    Attributes:
        index: Of its entry in the sender's log.
        message_id: 16 bytes, or None if the header could not be read.
        code: For the receipt.
        rule: Number of the first broken rule, or None.
    """

    index: int
    message_id: bytes | None
    code: ExceptionCode
    rule: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a bundle holds, in the order of its entries.

    Attributes:
        others: (index, entry) of the entries that are not messages.
        malformed: Indexes of entries that are mirrored without effect.
        messages: One result for each message entry.
        kem_key_ids: Keys that boxes of this bundle were sealed for.
    """

    others: tuple[tuple[int, Entry], ...]
    malformed: tuple[int, ...]
    messages: tuple[Opened | Refused, ...]
    kem_key_ids: tuple[bytes, ...]


class Opener:
    """Opens bundles of one peer."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        kem_private: Callable[[bytes], KemPrivateKey | None],
    ) -> None:
        """Wire the opener.

        Args:
            pair: Names of the two nodes.
            schedule: Catalogues of this node.
            kem_private: Finds a private KEM key by its id.
        """
        self._pair = pair
        self._schedule = schedule
        self._kem_private = kem_private

    def open(self, bundle: Bundle, *, skip: int, now_ms: int, announced: Announced) -> Contents:
        """Return the contents of a bundle whose root was checked.

        Args:
            bundle: As received.
            skip: Entries at its beginning that the mirror already holds.
            now_ms: Clock of this node, UTC milliseconds.
            announced: What the peer's log announced of its catalogue.

        Raises:
            MalformedError: The number of ciphertexts is not the number of message entries.
        """
        others: list[tuple[int, Entry]] = []
        malformed: list[int] = []
        pending: list[tuple[int, MessageEntry]] = []
        for index, data in enumerate(bundle.entries, start=bundle.start):
            try:
                entry = decode_entry(data)
            except MalformedError:
                malformed.append(index)
                continue
            if isinstance(entry, MessageEntry):
                pending.append((index, entry))
            elif isinstance(entry, KemKeyEntry) and not _is_usable(entry):
                malformed.append(index)
            else:
                others.append((index, entry))
        if len(pending) != len(bundle.ciphertexts):
            msg = "a bundle carries one ciphertext, or nil, for each of its message entries"
            raise MalformedError(msg)
        first = bundle.start + skip
        boxes = _Boxes(bundle.boxes, self._pair, self._kem_private, pending)
        sealed = [
            (index, entry, _read_header(entry), ciphertext)
            for (index, entry), ciphertext in zip(pending, bundle.ciphertexts, strict=True)
            if index >= first
        ]
        # Those of a type one after the other: its schema and rules stay in the processor's
        # cache, which halves what validation costs. The results stand in the order of the log.
        sealed.sort(key=lambda item: "" if item[2] is None else item[2].type)
        messages = [
            self._open_one(index, entry, header, ciphertext, boxes, now_ms, announced)
            for index, entry, header, ciphertext in sealed
        ]
        messages.sort(key=lambda message: message.index)
        return Contents(
            others=tuple(item for item in others if item[0] >= first),
            malformed=tuple(index for index in malformed if index >= first),
            messages=tuple(messages),
            kem_key_ids=tuple({entry.kem_key_id for index, entry in pending if index >= first}),
        )

    def _open_one(
        self,
        index: int,
        entry: MessageEntry,
        header: Header | None,
        ciphertext: bytes | None,
        boxes: _Boxes,
        now_ms: int,
        announced: Announced,
    ) -> Opened | Refused:
        if header is None:
            return Refused(index=index, message_id=None, code=ExceptionCode.UNKNOWN_SUITE)
        try:
            catalogue = self._check_header(header, now_ms, announced)
            checked = _check_ciphertext(entry, ciphertext)
            key = boxes.key_of(entry)
            body = _decrypt(checked, key, entry)
            document, derived = contained(
                header.message_id,
                partial(self._check_message, body, header, entry.header, catalogue, now_ms),
                _ExceptedError,
            )
        except UnexaminedError:
            return Refused(index=index, message_id=header.message_id, code=ExceptionCode.UNEXAMINED)
        except _ExceptedError as error:
            return Refused(index=index, message_id=header.message_id, code=error.exception, rule=error.rule)
        return Opened(
            index=index,
            document=document,
            catalogue=catalogue,
            derived=derived,
            ciphertext=checked,
            content_key=key,
        )

    def _check_header(self, header: Header, now_ms: int, announced: Announced) -> Catalogue:
        """Check 5: addressed to us, not expired, of a type both sides hold; return the catalogue."""
        ours = header.from_node == self._pair.peer_node and header.to_node == self._pair.node
        nation = f"{self._pair.nation}."
        if not ours or any(not agency.startswith(nation) for agency in header.to_agencies):
            raise _ExceptedError(ExceptionCode.WRONG_RECIPIENT)
        if now_ms > header.expires_ms:
            raise _ExceptedError(ExceptionCode.EXPIRED)
        catalogue = self._schedule.accepting(
            header.type, header.type_digest, created_ms=header.created_ms, now_ms=now_ms
        )
        times_ms = (header.created_ms, now_ms, now_ms + SKEW_MS)
        if catalogue is None or not announced.names(header.type, header.type_digest, times_ms):
            raise _ExceptedError(ExceptionCode.TYPE_NOT_AGREED)
        return catalogue

    def _check_message(
        self, body: bytes, header: Header, header_bytes: bytes, catalogue: Catalogue, now_ms: int
    ) -> tuple[dict[str, Any], Derived]:
        """Check 9: JSON, schema, rules; every header field equals its counterpart."""
        examination = examine(body, catalogue=catalogue, now_ms=now_ms)
        if examination.violations:
            rule = examination.violations[0].rule
            codes = {RULE_JSON: ExceptionCode.JSON, RULE_SCHEMA: ExceptionCode.SCHEMA}
            raise _ExceptedError(codes.get(rule, ExceptionCode.RULE), rule_number(rule))
        document = examination.document
        if document is None:
            raise _ExceptedError(ExceptionCode.JSON)
        counterpart = header_of(
            document,
            from_node=self._pair.peer_node,
            to_node=self._pair.node,
            type_digest=header.type_digest,
        )
        # A header has one encoding, so equal values are equal bytes.
        if counterpart != header:
            raise _ExceptedError(ExceptionCode.HEADER_MISMATCH)
        return document, derive(document, catalogue=catalogue, header=header, header_bytes=header_bytes)


class _ExceptedError(Exception):
    """One message fails a check; never leaves this module."""

    def __init__(self, exception: ExceptionCode, rule: int | None = None) -> None:
        super().__init__(exception.label)
        self.exception = exception
        self.rule = rule


def _is_usable(entry: KemKeyEntry) -> bool:
    """Return whether content keys can be sealed for an announced key.

    One that cannot be used has no effect, like any malformed entry: the key before it stays
    the newest one.
    """
    try:
        public_key = KemPublicKey.from_bytes(entry.public_key)
    except MalformedError:
        return False
    return entry.suite == SUITE and entry.key_id == public_key.key_id


def _read_header(entry: MessageEntry) -> Header | None:
    """Return the header of a message entry, or None if it is none of this version and suite."""
    try:
        return decode_header(entry.header)
    except MalformedError:
        return None


def _check_ciphertext(entry: MessageEntry, ciphertext: bytes | None) -> bytes:
    """Check 6: the ciphertext is there and is the one that the entry names."""
    if ciphertext is None:
        raise _ExceptedError(ExceptionCode.ERASED)
    digest = digest_of(ciphertext)
    if len(ciphertext) != entry.ciphertext_bytes or digest != entry.ciphertext_digest:
        raise _ExceptedError(ExceptionCode.DIGEST_MISMATCH)
    return ciphertext


def _decrypt(ciphertext: bytes, key: ContentKey, entry: MessageEntry) -> bytes:
    """Check 8: the content opens with this key under this header."""
    try:
        return open_content(ciphertext, content_key=key, header=entry.header)
    except SealError:
        raise _ExceptedError(ExceptionCode.CONTENT_INVALID) from None


class _Boxes:
    """The key boxes of a bundle, each opened at most once."""

    def __init__(
        self,
        boxes: Sequence[bytes],
        pair: Pair,
        kem_private: Callable[[bytes], KemPrivateKey | None],
        pending: Sequence[tuple[int, MessageEntry]],
    ) -> None:
        self._boxes = {digest_of(box): box for box in boxes}
        self._pair = pair
        self._kem_private = kem_private
        self._opened: dict[tuple[bytes, bytes, bytes], tuple[ContentKey, ...] | ExceptionCode] = {}
        # The number of keys in a box is bound into it: one more than the highest slot.
        self._counts: dict[bytes, int] = {}
        for _, entry in pending:
            highest = self._counts.get(entry.box_digest, 0)
            self._counts[entry.box_digest] = max(highest, entry.slot + 1)

    def key_of(self, entry: MessageEntry) -> ContentKey:
        """Return the content key of a message: check 7, and 6 for the box."""
        name = (entry.box_digest, entry.kem_key_id, entry.bundle_id)
        if name not in self._opened:
            self._opened[name] = self._open(entry)
        keys = self._opened[name]
        if isinstance(keys, ExceptionCode):
            raise _ExceptedError(keys)
        if entry.slot >= len(keys):
            raise _ExceptedError(ExceptionCode.BOX_INVALID)
        return keys[entry.slot]

    def _open(self, entry: MessageEntry) -> tuple[ContentKey, ...] | ExceptionCode:
        box = self._boxes.get(entry.box_digest)
        if box is None:
            # Not sent again because this node had cosigned it before a restore, or another
            # box altogether: what the entry names is not here.
            return ExceptionCode.DIGEST_MISMATCH if self._boxes else ExceptionCode.CONTENT_LOST
        private_key = self._kem_private(entry.kem_key_id)
        if private_key is None:
            return ExceptionCode.KEM_KEY_GONE
        binding = BoxBinding(
            suite=SUITE,
            sender_origin=self._pair.peer_origin,
            receiver_node=self._pair.node,
            kem_key_id=entry.kem_key_id,
            bundle_id=entry.bundle_id,
            count=self._counts[entry.box_digest],
        )
        try:
            return open_box(box, private_key=private_key, binding=binding)
        except BoxInvalidError:
            return ExceptionCode.BOX_INVALID
