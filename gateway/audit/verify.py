"""Verifying one log: everything is recomputed from the bytes of its entries.

In this order, because each step decides what the next may believe:

1. **signatures** - the checkpoint bears both signatures of the log, under trusted keys;
   origin, size and root are taken from there and from nowhere else;
2. **cosignature** - both of the peer's, if the peer has signed at all; by other logs it is judged
   whether that was its key then (`gateway.audit.cosigners`);
3. **files** - the folder holds the files of a log of this size and no other;
4. **tree** - the entries lead to the signed root;
5. **tiles** - every stored hash is the one that follows from the entries;
6. **key statement**, **national root** - the keys that signed are those that the log states for
   its size, and the nation's root has said so;
7. **entries**, **messages**, **receipts**, **anchors**, **numbers** - what the entries say is in the
   specified form and does not contradict itself.

Memory does not grow with the log: one bundle of entries is held at a time, and a few
numbers for each receipt, anchor and bundle of messages.

Spec: docs/auditing.md, "What is checked".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from gateway.audit.contents import LogContents
from gateway.audit.cosigners import HeldLog, labels, read_cosignatures
from gateway.audit.folder import LogFolder, shown
from gateway.audit.keyhistory import KeyHistory
from gateway.audit.log import AuditedLog
from gateway.audit.numbers import check_numbers
from gateway.audit.problems import Problems
from gateway.audit.report import Check, LogReport
from gateway.audit.stack import Tile, TileStack
from gateway.audit.trust import Trust
from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.cosignature import VerifiedNote, signing_key, verify_log_note
from gateway.core.entries import Kind
from gateway.core.merkle import hash_leaf
from gateway.core.message.wording import counted
from gateway.core.note import parse_note
from gateway.core.signature import HybridVerifier
from gateway.core.tiles import TILE_WIDTH
from gateway.errors import GatewayError, SignatureInvalidError

Progress = Callable[[int, int], None]
"""Told (entries checked, entries in all)."""

_PROGRESS_EVERY: Final = 16 * TILE_WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A report, and what comparing logs with each other needs.

    Attributes:
        report: What was found out.
        log: The log, if its checkpoint could be believed.
        contents: What its entries say, if all of them could be read.
        keys: Which keys are right for which of its sizes; likewise.
    """

    report: LogReport
    log: AuditedLog | None = None
    contents: LogContents | None = None
    keys: KeyHistory | None = None

    @property
    def held(self) -> HeldLog | None:
        """Return the log for comparing it with others, or None if it is not what was signed."""
        checkpoint = self.report.checkpoint
        if not (self.report.is_as_signed and self.log and self.contents and self.keys and checkpoint):
            return None
        return HeldLog(
            log=self.log,
            contents=self.contents,
            keys=self.keys,
            checkpoint=checkpoint,
            signed_s=self.report.signed_s or 0,
        )


class EntryReader(Protocol):
    """Reads the entries of one log in order, a bundle at a time."""

    def read(self, entries: Sequence[bytes]) -> None:
        """Read the next entries."""
        ...


R = TypeVar("R", bound=EntryReader)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeVerification(Generic[R]):
    """A report on signatures and tree, who has read the entries, if all could be, and their keys."""

    report: LogReport
    reader: R | None = None
    keys: KeyHistory | None = None


def verify_folder(path: Path, *, trust: Trust, progress: Progress = lambda _done, _all: None) -> LogReport:
    """Verify an exported log.

    Args:
        path: The folder. Whatever lies in it, the answer is a report.
        trust: Keys that the auditor trusts.
        progress: Told now and then how far the work is.
    """
    return verify_log(
        LogFolder(path), title=shown(path.resolve().name), trust=trust, progress=progress
    ).report


def verify_log(
    log: AuditedLog,
    *,
    title: str,
    trust: Trust,
    reader: Callable[[str], LogContents] = LogContents,
    progress: Progress = lambda _done, _all: None,
) -> Verification:
    """Verify a log, wherever it lies.

    Args:
        log: The log.
        title: What to call it as long as its origin is not believed.
        trust: Keys that the auditor trusts.
        reader: Makes, for an origin, what reads the entries, if more is wanted of them.
        progress: Told now and then how far the work is.
    """
    found = verify_tree(log, title=title, trust=trust, reader=reader, progress=progress)
    contents = found.reader
    if contents is None or found.keys is None:
        return Verification(report=found.report)
    checks = (*found.report.checks, *_content_checks(contents))
    if contents.is_exchange:
        checks = (*checks, check_numbers(log, contents.size, contents.voided))
    return Verification(
        report=replace(found.report, checks=checks, kinds=_kinds(contents)),
        log=log,
        contents=contents,
        keys=found.keys,
    )


def verify_tree(
    log: AuditedLog,
    *,
    title: str,
    trust: Trust,
    reader: Callable[[str], R],
    progress: Progress = lambda _done, _all: None,
) -> TreeVerification[R]:
    """Verify signatures, files, tree and tiles of a log, and hand its entries to somebody.

    That the keys are those of the log's size is part of it: a key that was replaced, and may be
    stolen, signs nothing any more.

    Args:
        log: The log.
        title: What to call it as long as its origin is not believed.
        trust: Keys that the auditor trusts.
        reader: Makes, for an origin, what reads the entries in order. What it has read is
            worth something only if the report says so.
        progress: Told now and then how far the work is.
    """
    try:
        verified, signer = verify_note(log.note(), trust)
    except GatewayError as error:
        return TreeVerification(report=_unbelieved(title, str(error)))
    checkpoint = verified.checkpoint
    checks = [Check.held("signatures", f"Ed25519 and ML-DSA-87 of {checkpoint.origin}")]
    cosignatures, check = read_cosignatures(verified, trust)
    checks.append(check)
    report = LogReport(
        title=checkpoint.origin,
        checkpoint=checkpoint,
        signed_s=verified.time_s,
        cosignatures=cosignatures,
        kinds={},
        checks=tuple(checks),
    )
    contents, keys = reader(checkpoint.origin), KeyHistory(checkpoint.origin)
    reading = _Reading(checkpoint)
    try:
        files = log.check_names(checkpoint.size)
        reading.read(log, (keys, contents), progress)
    except GatewayError as error:
        # Nothing after a file that cannot be read says anything about this log.
        checks.append(Check.failed("files", str(error)))
        checks.append(Check.not_checked("tree", "not all entries could be read"))
        return TreeVerification(report=replace(report, checks=tuple(checks)))
    if files:
        checks.append(Check.held("files", f"{files}, none absent, none superfluous"))
    checks += reading.checks()
    checks += keys.checks(signer, trust)
    return TreeVerification(report=replace(report, checks=tuple(checks)), reader=contents, keys=keys)


class _Reading:
    """Recomputes the tree of a log and compares what is stored of it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._stack = TileStack()
        self._tiles = 0
        self._wrong_tiles = 0
        self._first_wrong = ""

    def read(self, log: AuditedLog, readers: Sequence[EntryReader], progress: Progress) -> None:
        size = self._checkpoint.size
        for start in range(0, size, TILE_WIDTH):
            entries = log.entries(start, min(start + TILE_WIDTH, size))
            for tile in self._stack.push([hash_leaf(entry) for entry in entries]):
                self._compare(tile, log)
            for reader in readers:
                reader.read(entries)
            if start % _PROGRESS_EVERY == 0:
                progress(start, size)
        for tile in self._stack.partial():
            self._compare(tile, log)
        progress(size, size)

    def checks(self) -> list[Check]:
        size = self._checkpoint.size
        if self._stack.edge().root() == self._checkpoint.root:
            tree = Check.held("tree", f"{counted(size, 'entry leads', 'entries lead')} to the signed root")
        else:
            tree = Check.failed("tree", "the entries do not lead to the signed root")
        if self._wrong_tiles:
            text = f"{self._wrong_tiles} do not follow from the entries, first {self._first_wrong}"
            return [tree, Check.failed("tiles", text)]
        return [tree, Check.held("tiles", f"{self._tiles}, all as they follow from the entries")]

    def _compare(self, tile: Tile, log: AuditedLog) -> None:
        file = tile.file
        if file.level is None or file.level < log.stored_from:
            return
        self._tiles += 1
        if tuple(log.hashes(file.level, file.start, file.end)) != tile.hashes:
            self._wrong_tiles += 1
            self._first_wrong = self._first_wrong or file.path


def verify_note(note: bytes, trust: Trust) -> tuple[VerifiedNote, HybridVerifier]:
    """Verify a note with whichever trusted key of its log has signed it."""
    origin = parse_checkpoint(parse_note(note).text).origin
    keys = trust.log_keys(origin)
    if not keys:
        # The origin is one that any log of this protocol could have: letters, digits, slashes.
        msg = f"no trusted keys for the log {origin}"
        raise SignatureInvalidError(msg)
    lines = {(line.name, line.key_id) for line in parse_note(note).signatures}
    if not any(lines & labels(key, cosigner=False) for key in keys):
        # Most often the keys were changed since the auditor got his.
        msg = f"no line is by a trusted key of {origin}: other keys have signed, or newer ones than you have"
        raise SignatureInvalidError(msg)
    signer = signing_key(note, keys)
    return verify_log_note(note, verifier=signer), signer


def _content_checks(contents: LogContents) -> list[Check]:
    answers = sum(len(claims) for claims in contents.receipted.values())
    anchors = sum(len(claims) for claims in contents.anchored.values())
    return [
        _entries_check(contents),
        *_citation_checks(contents),
        _messages_check(contents),
        _check("receipts", contents.receipts, f"{answers}, no range twice"),
        _anchors_check(contents, anchors),
    ]


def _messages_check(contents: LogContents) -> Check:
    repeated = contents.repeated_bundle()
    if repeated is not None:
        contents.messages.add(repeated, "begins a key box under the id of an earlier one")
    held = f"{contents.kinds[Kind.MESSAGE]}, each at its place in its key box"
    return _check("messages", contents.messages, held)


def _anchors_check(contents: LogContents, anchors: int) -> Check:
    name = "anchors"
    if contents.anchors.count:
        return Check.failed(name, contents.anchors.text())
    contradiction = contents.contradiction()
    return (
        Check.failed(name, contradiction)
        if contradiction
        else Check.held(name, f"{anchors}, none contradicts another")
    )


def _entries_check(contents: LogContents) -> Check:
    if not (contents.is_exchange or contents.is_audit):
        return Check.failed("entries", "the origin names neither an exchange log nor an audit log")
    return _check("entries", contents.malformed, f"{contents.size}, all canonical and of known kinds")


def _citation_checks(contents: LogContents) -> list[Check]:
    """Return whether a successor begins by saying what it follows; nothing for a first generation."""
    if not contents.is_successor or not contents.size:
        return []
    cited = contents.citation
    if cited is None:
        return [Check.failed("succession", "entry 0 does not cite the log that this one follows")]
    return [Check.held("succession", f"entry 0 cites {cited.stored.origin} at {cited.stored.size} entries")]


def _kinds(contents: LogContents) -> Mapping[str, int]:
    return {Kind(kind).name.lower().replace("_", "-"): n for kind, n in sorted(contents.kinds.items())}


def _unbelieved(title: str, why: str) -> LogReport:
    return LogReport(
        title=title,
        checkpoint=None,
        signed_s=None,
        cosignatures=(),
        kinds={},
        checks=(
            Check.failed("signatures", why),
            Check.not_checked("tree", "nothing says which root is right"),
        ),
    )


def _check(name: str, problems: Problems, held: str) -> Check:
    return Check.failed(name, problems.text()) if problems.count else Check.held(name, held)
