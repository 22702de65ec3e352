"""Opening what a bundle carries: checks 5 to 9 of the receiving side, message by message.

Pure work on bytes, run as one job in a thread. A failure concerns one message and becomes
the code that its receipt will hold; so one poison message cannot stop the log.

Spec: docs/spec/exchange.md, "Receiving", checks 5 to 9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

from gateway.core.bundle import Bundle
from gateway.core.digest import digest_of
from gateway.core.entries import Entry, KemKeyEntry, MessageEntry, decode_entries
from gateway.core.envelope import Header, decode_headers, is_header_of
from gateway.core.keybox import KemPrivateKey, is_usable
from gateway.core.message.examine import broken_rules, departures, is_accepted
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import rule_number
from gateway.core.message.schedule import SKEW_MS, Announced, Schedule
from gateway.core.message.strict_json import (
    JsonRefusedError,
    MessageTooLargeError,
    begin_json,
    finish_json,
)
from gateway.core.message.threads import outline_of
from gateway.core.quick import quick_value
from gateway.core.receipt import ExceptionCode
from gateway.core.sealing import ContentKey, SealError, open_content
from gateway.errors import MalformedError, forget_frames
from gateway.node.boxes import Boxes, Keys
from gateway.node.defects import UnexaminedError, unexamined
from gateway.node.message_rows import Derived, derive
from gateway.node.pair import Pair
from gateway.node.steps import SLICE, given, run_steps
from gateway.node.vault import Vault

_BATCH: Final = 256
"""Entries, or headers, that are decoded in one step: some 130 KB."""

_NO_TIMES: Final[Mapping[int, int]] = MappingProxyType({})
IN_TIME: Final = -1
"""Instead of a time: as of now."""

Decoded = TypeVar("Decoded")


@quick_value
class Opened:
    """A message that opened and passed every check that needs no database.

    Attributes:
        index: Of its entry in the sender's log.
        document: What conversations look at of the message.
        catalogue: By which it was judged.
        derived: What follows from the document.
        ciphertext: As it arrived.
        wrapped_key: Its content key under this node's storage key: the box is not kept.
    """

    index: int
    document: dict[str, Any]
    catalogue: Catalogue
    derived: Derived
    ciphertext: bytes
    wrapped_key: bytes

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


@quick_value
class Unpacked:
    """A bundle taken apart; nothing of its messages was looked at.

    Attributes:
        others: (index, entry) of the entries that are not messages.
        malformed: Indexes of entries that are mirrored without effect.
        sealed: The messages, in the order of the log.
        boxes: Content keys of the messages.
    """

    others: tuple[tuple[int, Entry], ...]
    malformed: tuple[int, ...]
    sealed: list[Sealed]
    boxes: Boxes

    def contents(self, messages: Sequence[Opened | Refused]) -> Contents:
        """Return what the bundle holds, with what became of each message, in the order of the log."""
        return Contents(
            others=self.others,
            malformed=self.malformed,
            messages=tuple(messages),
            kem_key_ids=tuple({item.entry.kem_key_id for item in self.sealed}),
        )


class Opener:
    """Opens bundles of one peer."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        kem_private: Callable[[bytes], KemPrivateKey | None],
        vault: Vault,
    ) -> None:
        """Wire the opener.

        Args:
            pair: Names of the two nodes.
            schedule: Catalogues of this node.
            kem_private: Finds a private KEM key by its id.
            vault: Wraps content keys for storage.
        """
        self._pair = pair
        self._vault = vault
        self._schedule = schedule
        self._kem_private = kem_private
        # Those of the content that cost little stand before those that cost much.
        self._steps = (
            self._check_header,
            self._check_ciphertext,
            self._find_key,
            self._decrypt,
            self._parse,
            self._check_schema,
            self._check_rules,
            self._compare_header,
            self._derive,
            self._wrap,
        )

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
        unpacked = self.unpack(bundle, skip=skip)
        messages = self.check(unpacked.sealed, keys=unpacked.boxes, now_ms=now_ms, announced=announced)
        return unpacked.contents(messages)

    def unpack(self, bundle: Bundle, *, skip: int) -> Unpacked:
        """Take a bundle apart, messages and what is none.

        Args:
            bundle: As received.
            skip: Entries at its beginning that the mirror already holds.

        Raises:
            MalformedError: The number of ciphertexts is not the number of message entries.
        """
        others: list[tuple[int, Entry]] = []
        malformed: list[int] = []
        pending: list[tuple[int, MessageEntry]] = []
        for index, entry in enumerate(_in_batches(decode_entries, bundle.entries), start=bundle.start):
            if isinstance(entry, MessageEntry):
                pending.append((index, entry))
            elif entry is None or (isinstance(entry, KemKeyEntry) and not _announces_key(entry)):
                malformed.append(index)
            else:
                others.append((index, entry))
        if len(pending) != len(bundle.ciphertexts):
            msg = "a bundle carries one ciphertext, or nil, for each of its message entries"
            raise MalformedError(msg)
        first = bundle.start + skip
        sealed = [
            Sealed(index, entry, ciphertext)
            for (index, entry), ciphertext in zip(pending, bundle.ciphertexts, strict=True)
            if index >= first
        ]
        return Unpacked(
            others=tuple(item for item in others if item[0] >= first),
            malformed=tuple(index for index in malformed if index >= first),
            sealed=sealed,
            boxes=Boxes(bundle.boxes, self._pair, self._kem_private, [entry for _, entry in pending]),
        )

    def check(
        self,
        sealed: Sequence[Sealed],
        *,
        keys: Keys,
        now_ms: int,
        announced: Announced,
        judged_ms: Mapping[int, int] = _NO_TIMES,
    ) -> list[Opened | Refused]:
        """Return what became of each message, in the order of the log.

        Args:
            sealed: Messages of one bundle.
            keys: Their content keys.
            now_ms: Clock of this node, UTC milliseconds.
            announced: What the peer's log announced of its catalogue.
            judged_ms: By index, as of when some of them are judged instead, or `IN_TIME`; none of them as of
                later than the end of its time.
        """
        # A header that is of another version or suite is None.
        headers = _in_batches(decode_headers, [item.entry.header for item in sealed])
        sight = _Sight(now_ms=now_ms, announced=announced, keys=keys)
        for item, header in zip(sealed, headers, strict=True):
            item.header, item.sight = header, sight
            if (judged := judged_ms.get(item.index)) is not None and header is not None:
                as_of_ms = now_ms if judged == IN_TIME else judged
                item.sight = replace(sight, now_ms=min(as_of_ms, header.expires_ms))
        # Those of a type one after the other: its schema and rules stay in the processor's
        # cache, which halves what validation costs. The results stand in the order of the log.
        ordered = sorted(sealed, key=lambda item: "" if item.header is None else item.header.type)
        results: dict[int, Opened | Refused] = {}
        for start in range(0, len(ordered), SLICE):
            part = ordered[start : start + SLICE]
            run_steps(part, self._steps, _ExceptedError)
            results.update((item.index, item.result()) for item in part)
        return [results[item.index] for item in sealed]

    # --- the checks of one message, each raising what its exception will be -------------

    def _check_header(self, item: Sealed) -> None:
        """Check 5: addressed to us, not expired, of a type both sides hold."""
        header = item.header
        if header is None:
            raise _ExceptedError(ExceptionCode.UNKNOWN_SUITE)
        ours = header.from_node == self._pair.peer_node and header.to_node == self._pair.node
        nation = f"{self._pair.nation}."
        if not ours or any(not agency.startswith(nation) for agency in header.to_agencies):
            raise _ExceptedError(ExceptionCode.WRONG_RECIPIENT)
        sight = item.sight
        now_ms = sight.now_ms
        if now_ms > header.expires_ms:
            raise _ExceptedError(ExceptionCode.EXPIRED)
        catalogue = self._schedule.accepting(
            header.type, header.type_digest, created_ms=header.created_ms, now_ms=now_ms
        )
        times_ms = (header.created_ms, now_ms, now_ms + SKEW_MS)
        if catalogue is None or not sight.announced.names(header.type, header.type_digest, times_ms):
            raise _ExceptedError(ExceptionCode.TYPE_NOT_AGREED)
        item.catalogue = catalogue

    def _check_ciphertext(self, item: Sealed) -> None:
        """Check 6: the ciphertext is there and is the one that the entry names."""
        entry, ciphertext = item.entry, item.ciphertext
        if ciphertext is None:
            raise _ExceptedError(ExceptionCode.ERASED)
        if len(ciphertext) != entry.ciphertext_bytes or digest_of(ciphertext) != entry.ciphertext_digest:
            raise _ExceptedError(ExceptionCode.DIGEST_MISMATCH)

    def _find_key(self, item: Sealed) -> None:
        """Check 7, and 6 for the box."""
        key = item.sight.keys.key_of(item.entry)
        if isinstance(key, ExceptionCode):
            raise _ExceptedError(key)
        item.content_key = key

    def _decrypt(self, item: Sealed) -> None:
        """Check 8: the content opens with this key under this header."""
        try:
            item.body = open_content(
                given(item.ciphertext), content_key=item.content_key, header=item.entry.header
            )
        except SealError:
            raise _ExceptedError(ExceptionCode.CONTENT_INVALID) from None

    def _parse(self, item: Sealed) -> None:
        """Check 9: JSON, and most of what makes it strict."""
        try:
            item.document, item.is_canonical = begin_json(item.body)
        except JsonRefusedError as error:
            raise _ExceptedError(ExceptionCode.JSON, rule_number(error.violation.rule)) from None
        except MessageTooLargeError:
            raise _ExceptedError(ExceptionCode.CONTENT_INVALID) from None

    def _check_schema(self, item: Sealed) -> None:
        """Check 9: strict JSON, which what its schema accepts is known to be; the schema of its type."""
        body = item.body
        del item.body
        if item.is_canonical and is_accepted(item.document, catalogue=item.catalogue):
            return
        try:
            finish_json(body, item.document, is_canonical=item.is_canonical)
        except JsonRefusedError as error:
            raise _ExceptedError(ExceptionCode.JSON, rule_number(error.violation.rule)) from None
        # Of many violations a receipt names one.
        broken = departures(item.document, catalogue=item.catalogue, most=1)
        if broken:
            raise _ExceptedError(ExceptionCode.SCHEMA, rule_number(broken[0].rule))

    def _check_rules(self, item: Sealed) -> None:
        """Check 9: the rules that need no other message."""
        broken = broken_rules(item.document, catalogue=item.catalogue, now_ms=item.sight.now_ms)
        if broken:
            raise _ExceptedError(ExceptionCode.RULE, rule_number(broken[0].rule))

    def _compare_header(self, item: Sealed) -> None:
        """Check 9: every field of the header equals its counterpart in the message."""
        # A header has one encoding, so equal values are equal bytes. Nodes and type were compared above.
        if not is_header_of(given(item.header), item.document):
            raise _ExceptedError(ExceptionCode.HEADER_MISMATCH)

    def _derive(self, item: Sealed) -> None:
        """Make what the transaction and the rows need."""
        document = item.document
        item.document = outline_of(document)
        item.derived = derive(
            document,
            catalogue=item.catalogue,
            header=given(item.header),
            header_bytes=item.entry.header,
        )

    def _wrap(self, item: Sealed) -> None:
        """Put the content key under the storage key, where it stays until the message is erased."""
        key = item.content_key
        del item.content_key
        item.wrapped_key = self._vault.wrap(key, message_id=item.derived.header.message_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """What the messages of a bundle are checked with."""

    now_ms: int
    announced: Announced
    keys: Keys


class Sealed:
    """One message on its way through the checks; what a check finds, later ones use.

    Attributes:
        sight: What the messages of its bundle are checked with.
        header: Read from its entry; None if it is of another version or suite.
    """

    __slots__ = (
        "body",
        "catalogue",
        "ciphertext",
        "content_key",
        "derived",
        "document",
        "entry",
        "failure",
        "header",
        "index",
        "is_canonical",
        "sight",
        "wrapped_key",
    )

    # Not there before `Opener.check` or the check that finds it: who reads one earlier gets an error.
    sight: _Sight
    header: Header | None
    body: bytes
    catalogue: Catalogue
    content_key: ContentKey
    derived: Derived
    document: dict[str, Any]
    is_canonical: bool
    wrapped_key: bytes

    def __init__(self, index: int, entry: MessageEntry, ciphertext: bytes | None) -> None:
        self.index = index
        self.entry = entry
        self.ciphertext = ciphertext
        self.failure: Exception | None = None

    @property
    def named(self) -> bytes | None:
        """Return the id of the message, 16 bytes, or None if its header could not be read."""
        return None if self.header is None else self.header.message_id

    def result(self) -> Opened | Refused:
        """Return what became of it; a defect of a check is logged here."""
        failure = self.failure
        if failure is None:
            return Opened(
                index=self.index,
                document=self.document,
                catalogue=self.catalogue,
                derived=self.derived,
                ciphertext=given(self.ciphertext),
                wrapped_key=self.wrapped_key,
            )
        # JSON of many small values takes twenty times its length: not for all of a bundle at once.
        self.body, self.document = b"", {}
        code, rule = ExceptionCode.UNEXAMINED, None
        if isinstance(failure, _ExceptedError):
            code, rule = failure.exception, failure.rule
        elif not isinstance(failure, UnexaminedError):
            # No check raises such an error on purpose: it is a defect, and concerns this message alone.
            unexamined(self.named, failure)
        # Its frames hold every message of the bundle, which hold the error.
        forget_frames(failure)
        return Refused(index=self.index, message_id=self.named, code=code, rule=rule)


class _ExceptedError(Exception):
    """One message fails a check; never leaves this module."""

    def __init__(self, exception: ExceptionCode, rule: int | None = None) -> None:
        super().__init__(exception.label)
        self.exception = exception
        self.rule = rule


def _in_batches(
    decode: Callable[[Sequence[bytes]], list[Decoded | None]], items: Sequence[bytes]
) -> list[Decoded | None]:
    """Decode many, so many at once that they do not exceed what is decoded in one step."""
    return [
        decoded for start in range(0, len(items), _BATCH) for decoded in decode(items[start : start + _BATCH])
    ]


def _announces_key(entry: KemKeyEntry) -> bool:
    """Return whether an entry announces a key that can be used.

    One that cannot be has no effect, like any malformed entry: the key before it stays the newest one.
    """
    return is_usable(suite=entry.suite, key_id=entry.key_id, public_key=entry.public_key)
