"""What the entries of one log say, and whether it fits together.

The reader takes the entries one after another and keeps only what later checks need: a
few numbers for each receipt, anchor and collection, nothing for each message. What one
log cannot answer by itself (does the peer's log have this root at that size?) is kept as
a claim for `gateway.audit.crosscheck`.

Spec: docs/spec/log.md, "Entries"; docs/auditing.md, "What is checked".
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from heapq import merge
from operator import itemgetter
from typing import Any, Final

from gateway.audit.acts import MAX_RESTORES, REFILLED, Acts
from gateway.audit.claims import Answers, Claims, Ended
from gateway.audit.forms import HeaderNames, strange_name
from gateway.audit.numbers import Voided
from gateway.audit.problems import Problems
from gateway.audit.succession import Citation, read_citation
from gateway.core.digest import digest_of
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    Kind,
    MessageEntry,
    ReceiptEntry,
    VoidEntry,
    decode_entries,
    encode_entry,
)
from gateway.core.envelope import CREATED, EXPIRES, FROM_NODE, MESSAGE_ID, TO_NODE, batch_header_fields
from gateway.core.generation import first_of, number_of, predecessor_of
from gateway.core.merkle import HASH_BYTES, MAX_TREE_SIZE, Hash
from gateway.core.message.draft import MAX_SEQ
from gateway.core.message.threads import nation_of

_EXCHANGE: Final = frozenset(int(kind) for kind in Kind if kind is not Kind.EVENT)
_AUDIT: Final = frozenset(map(int, (Kind.KEY_STATEMENT, Kind.ANCHOR, Kind.INCIDENT, Kind.EVENT)))
_LOSING: Final = frozenset({REFILLED, "mirror.rolled_back"})
"""Those of them after which the node has lost what it had received."""

_ENDING_EVENTS: Final = frozenset({"message.withdrawn", "message.expired", "queue.cancelled"})
"""Events of messages that ended before they were sent."""

MAX_OTHER_LOGS: Final = 64
"""A node knows its peer's logs and their generations; more would only cost memory."""

MAX_AGENCIES: Final = 10_000
MAX_STATED: Final = 10_000
"""Agreements of one log that are looked for: a node states one at a start with another catalogue."""

_FORK_AT: Final = 2
"""Where a successor names the fork: behind what it cites of both logs before it."""


def tag_of(message_id: bytes) -> int:
    """Return four bytes that stand for the id of a message in this run; 0 stands for none.

    A part of the id would not do: who sends a message draws its id, and could hide one that was never
    posted behind another with the same end, or give all the same end, so that each would be read twice.
    Python keys the hash of bytes anew for each process, with SipHash: what is alike, nobody knows before.
    """
    return hash(message_id) & 0xFFFF_FFFF or 1


class LogContents:
    """Reads the entries of one log in order."""

    def __init__(self, origin: str) -> None:
        """Begin with a log that has no entries.

        Args:
            origin: Decides which kinds of entry belong into the log.
        """
        self.origin = origin
        self.node, _, name = origin.partition("/")
        self.is_exchange = name.startswith("exchange/")
        self.is_audit = name.partition("/")[0] == "audit"
        self.size = 0
        self.kinds: Counter[int] = Counter()
        self.malformed = Problems()
        self.messages = Problems()
        self.receipts = Problems()
        self.anchors = Problems()
        self.is_successor = predecessor_of(origin) is not None
        self.citation: Citation | None = None
        self.anchored: dict[str, Claims] = {}
        self.receipted: dict[str, Claims] = {}
        self.erasures: dict[str, Claims] = {}
        self.restores: dict[str, Claims] = {}
        self.forks: dict[str, Claims] = {}
        # Incidents of restores: where, which event an audit log has for it, and its size.
        self.told: list[tuple[int, str, int]] = []
        self.acts = Acts()
        self.answers: dict[str, Answers] = {}
        self.voided = Voided()
        self.ended = Ended()
        # Logs of which a recovery is told: what they held behind some size was lost.
        self.recovered: set[str] = set()
        # Between which sizes one bundle of messages ended and the next one had not begun; the last
        # one ended at `message_end`.
        self.run_ends = array("Q")
        self.run_starts = array("Q")
        # From which message on which KEM key is used, and which entry announces which first.
        self.sealed_for: list[tuple[int, bytes]] = []
        self.announced: dict[bytes, int] = {}
        # SHA-384 of its agreement entries, and where each stands first.
        self.stated: dict[bytes, int] = {}
        self.message_end = 0
        # Of the id of each message four bytes, by the place of its entry, and 0 for other entries; and of
        # the messages that events of an audit log call accepted and collected.
        self.tags = array("I")
        self.accepted = array("I")
        self.collected = array("I")
        # How many collections an audit log had recorded at each of its anchors of its own exchange logs.
        self.collected_at: dict[str, array[int]] = {}
        # The nation for which an exchange log is written, in small letters.
        self._reader = first_of(origin).rpartition("/")[2]
        self._allowed = _EXCHANGE if self.is_exchange else _AUDIT if self.is_audit else frozenset[int]()
        # The last 8 bytes of the ids of bundles: random ones are never alike.
        self._bundles = array("Q")
        self._box: tuple[bytes, bytes, bytes] | None = None
        self._slot = 0
        self._names = HeaderNames(reader=self._reader)

    @property
    def kept_below(self) -> int:
        """Return the size of the other log below which no restore is told that has lost its messages.

        Where the node lost entries of this log its copy of the other one ended anywhere.
        """
        lost = [0 if event == REFILLED else size for _, event, size in self.told if event in _LOSING]
        return min(lost, default=MAX_TREE_SIZE)

    def read(self, entries: Sequence[bytes]) -> None:
        """Read the next entries."""
        self.tags.frombytes(bytes(self.tags.itemsize * len(entries)))
        found = decode_entries(entries)
        messages = [entry.header for entry in found if type(entry) is MessageEntry]
        fields = batch_header_fields(messages)
        self.read_headers(found, fields)
        headers = iter(fields)
        for index, (data, entry) in enumerate(zip(entries, found, strict=True), self.size):
            if entry is None:
                self.malformed.add(index, "is not an entry of this protocol")
                continue
            # The kind as a plain number: hashing a member of an enumeration takes as long as
            # hashing the leaf.
            kind = data[1]
            self.kinds[kind] += 1
            header = next(headers) if type(entry) is MessageEntry else None
            if kind not in self._allowed:
                self.malformed.add(index, "is of a kind that does not belong into this log")
            elif type(entry) is MessageEntry:
                self._message(index, entry, header)
            else:
                self._other(index, entry)
        self.size += len(entries)

    def read_headers(
        self, entries: Sequence[Entry | None], headers: Sequence[tuple[Any, ...] | None]
    ) -> None:
        """Read the headers of the next entries; for who wants more of them than is wanted here.

        Args:
            entries: The entries, the first one at `size`; None is none.
            headers: Fields of the header of each message among them; None is none.
        """

    def contradiction(self) -> str:
        """Return which two entries name two roots of one log for one size, or "" if none do.

        Sizes may go back after a restore, and roots may not: whatever is said of a size, in
        receipts or anchors, has to be the same.
        """
        for origin in sorted({*self.anchored, *self.receipted}):
            said = [claims[origin] for claims in (self.anchored, self.receipted) if origin in claims]
            last: tuple[int, int, Hash] | None = None
            for claim in merge(*(claims.by_size() for claims in said), key=itemgetter(1)):
                if last is not None and last[1] == claim[1] and last[2] != claim[2]:
                    first, second = sorted((last[0], claim[0]))
                    return f"entries {first} and {second} name two roots of one log for size {claim[1]}"
                last = claim
        return ""

    def repeated_bundle(self) -> int | None:
        """Return the first entry of a bundle whose id an earlier one has, or None."""
        last: int | None = None
        for tag in sorted(self._bundles):
            if tag == last:
                second = self._bundles.index(tag, self._bundles.index(tag) + 1)
                return self.run_starts[second - 1]
            last = tag
        return None

    def _other(self, index: int, entry: Entry) -> None:
        strange = strange_name(entry)
        if strange:
            self.malformed.add(index, strange)
        if index == 0 and self.is_successor:
            self.citation = read_citation(self.origin, entry)
        match entry:
            case ReceiptEntry():
                self._receipt(index, entry)
            case CollectedEntry():
                self._collected(index, entry)
            case AnchorEntry():
                self._anchor(index, entry)
            case IncidentEntry():
                self._incident(index, entry)
            case KemKeyEntry():
                self.announced.setdefault(entry.key_id, index)
            case AgreementEntry() if len(self.stated) < MAX_STATED:
                self.stated.setdefault(digest_of(encode_entry(entry)), index)
            case VoidEntry():
                self._void(index, entry)
            case EventEntry():
                self._event(index, entry)
            case _:
                pass  # key statements are read by `KeyHistory`

    def _anchor(self, index: int, entry: AnchorEntry) -> None:
        if len(self.anchored) == MAX_OTHER_LOGS and entry.origin not in self.anchored:
            self.anchors.add(index, "speaks of one log too many")
            return
        claims = self.anchored.setdefault(entry.origin, Claims())
        self._claim(index, claims, entry.size, entry.root, self.anchors)
        if self.is_audit and entry.origin.startswith(f"{self.node}/exchange/"):
            self.collected_at.setdefault(entry.origin, array("Q")).append(len(self.collected))

    def _void(self, index: int, entry: VoidEntry) -> None:
        if self._may_void(entry):
            self.voided.add(index, entry)
        else:
            self.malformed.add(index, "declares void what is no number of an agency of its nation")

    def _may_void(self, entry: VoidEntry) -> bool:
        """Return whether numbers may be of messages that this log can hold: none of its reader's nation."""
        is_readers = nation_of(entry.agency).lower() == self._reader
        return not is_readers and entry.numbers[0] > 0 and entry.numbers[-1] <= MAX_SEQ

    def _message(self, index: int, entry: MessageEntry, header: tuple[Any, ...] | None) -> None:
        if header is None:
            self.malformed.add(index, "holds a header that is not one")
            return
        self.tags[index] = tag_of(header[MESSAGE_ID])
        if not self._names.are_names(header):
            self.malformed.add(index, "has a header with a name that is none")
        if header[FROM_NODE] != self.node or header[TO_NODE] == self.node:
            self.messages.add(index, "is a message that this log's node did not send")
        elif not self._names.are_between(header):
            self.messages.add(index, "is not from an agency of one nation to agencies of the other")
        if header[EXPIRES] <= header[CREATED]:
            self.messages.add(index, "is a message that expired before it was created")
        if not self.sealed_for or self.sealed_for[-1][1] != entry.kem_key_id:
            self.sealed_for.append((index, entry.kem_key_id))
        box = (entry.bundle_id, entry.box_digest, entry.kem_key_id)
        if self._box is not None and self._box[0] == entry.bundle_id:
            self._slot += 1
        else:
            self._slot = 0
            self._bundles.append(int.from_bytes(entry.bundle_id[8:], "big"))
            if self._box is not None:
                self.run_ends.append(self.message_end)
                self.run_starts.append(index)
        self.message_end = index + 1
        if entry.slot != self._slot or (self._slot and box != self._box):
            self.messages.add(index, "does not stand at the next slot of its key box")
            self._slot = entry.slot
        self._box = box

    def _receipt(self, index: int, entry: ReceiptEntry) -> None:
        if not self._is_known(entry.origin):
            self.receipts.add(index, "speaks of one log too many")
            return
        if entry.origin not in self.receipted:
            self._first_receipt(index, entry.origin)
        answers = self.answers.setdefault(entry.origin, Answers())
        end = entry.start + entry.count
        claims = self.receipted.setdefault(entry.origin, Claims())
        if entry.start < claims.least:
            self.receipts.add(index, "is a second receipt for entries that have one")
        if answers.ranges and answers.ranges[-1] == entry.start:
            answers.ranges[-1] = end
        else:
            answers.ranges.extend((entry.start, end))
        answers.decide(index, entry)
        answers.last_end = max(answers.last_end, end)
        self._claim(index, claims, end, entry.root, self.receipts)

    def _first_receipt(self, index: int, origin: str) -> None:
        """Look at the log that a receipt is for: only one can be answered here.

        What the generation before left unanswered is sent anew, so nothing is said of that any more.
        """
        if origin.partition("/")[0] == self.node:
            self.receipts.add(index, "is a receipt of a node for its own log")
        elif not self._is_answered_here(origin):
            self.receipts.add(index, "is a receipt for another log than the exchange log of its generation")
        elif self.receipted:
            self.receipts.add(index, "is a receipt for a second log")

    def _collected(self, index: int, entry: CollectedEntry) -> None:
        if not self._is_known(entry.origin):
            self.receipts.add(index, "speaks of one log too many")
            return
        answers = self.answers.setdefault(entry.origin, Answers())
        if entry.origin.partition("/")[0] == self.node:
            self.receipts.add(index, "tells collections from the node's own log")
        for item in entry.collections:
            if len(answers.agencies) == MAX_AGENCIES and item.agency not in answers.agencies:
                self.receipts.add(index, "speaks of one agency too many")
                return
            answers.collected.append(item.index)
            answers.collectors.append(answers.agencies.setdefault(item.agency, len(answers.agencies)))

    def _incident(self, index: int, entry: IncidentEntry) -> None:
        if not self.is_exchange:
            return
        match entry.incident:
            case IncidentKind.ERASED:
                said = self.erasures
            case IncidentKind.FORK:
                said = self.forks
                if not self.is_successor or index != _FORK_AT:
                    self.malformed.add(index, "tells of a fork where no log opens that follows another one")
            case IncidentKind.RECOVERY | IncidentKind.PEER_ROLLBACK:
                said = self.restores
                self._restored(index, entry)
            case _:
                return
        if len(said) == MAX_OTHER_LOGS and entry.origin not in said:
            self.anchors.add(index, "speaks of one log too many")
            return
        said.setdefault(entry.origin, Claims()).add(index, entry.size, entry.root)

    def _restored(self, index: int, entry: IncidentEntry) -> None:
        """Let be repeated what a restore makes a node repeat: what it lost, and nothing before that.

        Its database holds its own log, refilled by then, and its copies of the other logs.
        """
        is_own = entry.origin == self.origin
        if entry.incident == IncidentKind.PEER_ROLLBACK:
            event = "peer.rolled_back" if is_own else ""
        elif is_own:
            event = REFILLED
        elif entry.origin.startswith(f"{self.node}/audit"):
            event = "audit.succeeded"
        else:
            event = "mirror.rolled_back" if self._is_answered_here(entry.origin) else ""
        if not event:
            self.malformed.add(
                index, "tells of a restore that is not its node's, nor one that its node can see"
            )
            return
        if len(self.told) < MAX_RESTORES:
            self.told.append((index, event, entry.size))
        if entry.incident == IncidentKind.RECOVERY and len(self.recovered) < MAX_OTHER_LOGS:
            self.recovered.add(entry.origin)
        if event == REFILLED:
            self.voided.lost(index, entry.size)
            for claims in (*self.anchored.values(), *self.receipted.values()):
                claims.put_back_before(index, entry.size)
        elif event == "mirror.rolled_back":
            for said in (self.anchored, self.receipted):
                if entry.origin in said:
                    said[entry.origin].put_back_to(index, entry.size)

    def _is_answered_here(self, origin: str) -> bool:
        """Return whether a log is the one whose messages are answered in this one."""
        node, _, name = origin.partition("/")
        return (
            node != self.node and name.startswith("exchange/") and number_of(origin) == number_of(self.origin)
        )

    def _is_known(self, origin: str) -> bool:
        return origin in self.answers or len(self.answers) < MAX_OTHER_LOGS

    def _claim(self, index: int, claims: Claims, size: int, root: bytes, problems: Problems) -> None:
        if claims.sizes:
            last, last_root = claims.sizes[-1], claims.roots[-HASH_BYTES:]
            if size < claims.least:
                problems.add(index, "names a smaller size of the other log than an entry before it")
            elif size == last and root != last_root:
                problems.add(index, "names another root for the same size than an entry before it")
        claims.add(index, size, root)

    def _event(self, index: int, entry: EventEntry) -> None:
        if entry.event == "message.accepted":
            self.accepted.extend(map(tag_of, entry.objects))
        elif entry.event == "message.collected":
            self.collected.extend(map(tag_of, entry.objects))
        elif entry.event in _ENDING_EVENTS:
            self.ended.add(index, entry)
        else:
            self.acts.add(index, entry)
