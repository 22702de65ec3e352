"""What a node's audit log has to know of what its exchange log, or the partner's, says of it.

A node writes into its audit log in the transaction that does what is recorded: it restores a log, mirrors a
bundle, erases content. So a restore that only its exchange log tells was none, and a message that its
receiver calls *erased* was not erased if the audit log of its sender does not say so. One of the two is
untrue then; which one, no log shows.

That holds as far as nothing of the audit log is lost. What a backup lacked of it nobody has, and then
nothing is held against anybody. A successor says so, if a mark or the peer knew of it; else the event
`log.recovered` is all that tells: what happened between the backup and that event may be in no log.

Spec: docs/spec/log.md, "Audit log"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

from gateway.audit.claims import Answers
from gateway.audit.contents import LogContents
from gateway.audit.cosigners import HeldLog
from gateway.audit.reader import LogReader, read_header
from gateway.audit.report import Check
from gateway.core.entries import EventEntry, Kind, decode_entry, kind_of
from gateway.core.generation import number_of
from gateway.core.message.wording import counted
from gateway.core.receipt import ExceptionCode
from gateway.core.tiles import TILE_WIDTH
from gateway.errors import GatewayError, MalformedError

_ERASED: Final = "message.erased"
_SUCCEEDED: Final = "audit.succeeded"
_LOST: Final = frozenset({"log.recovered", "mirror.rolled_back"})

_ACTS: Final = "events of what is in"
_CALLED: Final = "called erased in"
"""How checks are called, before the name of the log."""

MAX_SET: Final = 200_000
"""Messages that are looked up at once; of more a part at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """The audit logs of one node that are at hand.

    Attributes:
        logs: Its generations, the oldest first.
        is_whole: Whether they hold all that was ever written into them, up to where they end.
    """

    logs: Sequence[HeldLog]
    is_whole: bool

    @property
    def name(self) -> str:
        """Return what to call it."""
        return self.logs[-1].contents.origin

    def reach(self, origin: str) -> int:
        """Return how far its node had appended or mirrored a log when it ends."""
        claims = (log.contents.anchored.get(origin) for log in self.logs)
        return max((max(said.sizes, default=0) for said in claims if said is not None), default=0)

    def covers(self, origin: str, index: int) -> bool:
        """Return whether it goes on beyond the moment at which its node appended or mirrored an entry."""
        return self.reach(origin) > index

    def covers_whole(self, origin: str, index: int) -> bool:
        """Return whether nothing of that time can be lost: a backup that was put back held it."""
        if not self.is_whole or not self.covers(origin, index):
            return False
        put_back = [(log, at) for log in self.logs for at in log.contents.acts.refilled_at[:1]]
        if not put_back:
            return True
        log, at = put_back[0]
        said = log.contents.anchored.get(origin)
        return said is not None and said.sizes_before(at) > index

    def is_refilled(self, index: int) -> bool:
        """Return whether an entry of its node's exchange log came back from the peer's mirror."""
        return any(log.contents.acts.is_refilled(index) for log in self.logs)


def trail_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
    """Check what an exchange log says of its node's restores, and of erasures by the other node.

    Args:
        speaker: The log.
        known: The fullest copy of each log at hand, by origin.
    """
    own = trail_of(speaker.contents.node, known)
    checks = [_check_restores(speaker, own)]
    if speaker.contents.is_exchange and own is not None:
        checks.append(_guarded(_ACTS, speaker, lambda: _check_acts(speaker, known, own)))
    for origin, answers in sorted(speaker.contents.answers.items()):
        subject = known.get(origin)
        if subject is None:
            continue
        sender = subject.contents.node
        said = [log.contents.erasures.get(origin) for log in known.values() if log.contents.node == sender]
        told = {size for claims in said if claims is not None for size in claims.sizes}
        compare = partial(_check_erased, speaker, answers, subject, trail_of(sender, known), told)
        checks.append(_guarded(_CALLED, speaker, compare))
    return [check for check in checks if check is not None]


def trail_of(node: str, known: Mapping[str, HeldLog]) -> Trail | None:
    """Return the audit logs of a node that are at hand, or None."""
    own = [log for log in known.values() if log.contents.node == node]
    logs = sorted(
        (log for log in own if log.contents.is_audit), key=lambda log: number_of(log.contents.origin)
    )
    if not logs:
        return None
    told = {origin for log in own for origin in log.contents.recovered}
    losses = (log.contents.citation is None or log.contents.citation.is_loss for log in logs[1:])
    is_first = not logs[0].contents.is_successor
    is_whole = is_first and not any(losses) and not any(origin.startswith(f"{node}/audit") for origin in told)
    return Trail(logs=logs, is_whole=is_whole)


def whole_below(audit: LogContents, own: Sequence[LogContents]) -> int | None:
    """Return the size below which nothing of an audit log was lost, or None if that is not known."""
    cited = [log.citation.stored for log in own if log.is_audit and log.citation is not None]
    sizes = [stored.size for stored in cited if stored.origin == audit.origin]
    if sizes:
        return min(sizes)
    return None if any(audit.origin in log.recovered for log in own) else audit.size


def _check_restores(speaker: HeldLog, trail: Trail | None) -> Check | None:
    """Check that the audit log of a node knows of each restore that its exchange log tells.

    Returns:
        The check, or None if none is told.
    """
    told = [item for item in speaker.contents.told if item[1] != _SUCCEEDED]
    if not told:
        return None
    name, restores = f"restores told in {speaker.contents.origin}", counted(len(told), "restore", "restores")
    if trail is None:
        return Check.not_checked(name, f"{restores}: the audit log of its node is not at hand")
    restored = (item for log in trail.logs for item in log.contents.acts.restored)
    known = Counter((event, size) for _, event, size in restored)
    unknown = 0
    for index, event, size in told:
        if known[event, size]:
            known[event, size] -= 1
        elif (
            trail.is_whole
            and trail.covers(speaker.contents.origin, index)
            # What came back from the peer's mirror may have an event that was lost with the rest.
            and not trail.is_refilled(index)
        ):
            detail = f"entry {index} tells of a restore of which {trail.name} has no event {event}"
            return Check.failed(name, detail)
        else:
            unknown += 1
    if unknown:
        return Check.not_checked(name, f"{restores}, {unknown} of them in no audit log at hand")
    detail = f"{restores}, each an event of {trail.name}"
    return Check.held(name, detail)


def _check_erased(
    speaker: HeldLog, answers: Answers, subject: HeldLog, trail: Trail | None, told: Collection[int]
) -> Check | None:
    """Check that the sender has erased what the receiver says that it got without content.

    Args:
        speaker: The receiver's log.
        answers: What it says of the sender's.
        subject: The sender's log.
        trail: The sender's audit logs.
        told: Sizes of the sender's log right behind messages that exchange logs call erased (incident 5).

    Returns:
        The check, or None if nothing is said to be erased.

    Raises:
        GatewayError: A log cannot be read any more.
    """
    items = zip(answers.excepted, answers.codes, answers.said_at, strict=True)
    size = subject.checkpoint.size
    said = {index: at for index, code, at in items if code == ExceptionCode.ERASED and index < size}
    if not said:
        return None
    name, messages = f"{_CALLED} {speaker.contents.origin}", counted(len(said), "message", "messages")
    reader = LogReader(subject.log, size)
    headers = {index: read_header(reader.entry(index)) for index in said if index + 1 not in told}
    ids = {header.message_id: index for index, header in headers.items() if header is not None}
    for log in () if trail is None else trail.logs:
        for message_id in _erased(log, ids):
            ids.pop(message_id, None)
    # What a restored database has never heard of it can only ship without content.
    lost_from = min((of for _, event, of in subject.contents.told if event == "log.recovered"), default=size)
    for index in sorted(ids.values()):
        if trail and trail.covers_whole(speaker.contents.origin, said[index]) and index < lost_from:
            what = f"calls message {index} of {subject.contents.origin} erased"
            detail = f"entry {said[index]} {what}, of which {trail.name} has no event {_ERASED}"
            return Check.failed(name, detail)
    if ids:
        detail = (
            f"{messages} of {subject.contents.origin}, {len(ids)} of them in no log of the sender at hand"
        )
        return Check.not_checked(name, detail)
    detail = f"{messages}, as the sender's logs say of {subject.contents.origin}"
    return Check.held(name, detail)


def _check_acts(speaker: HeldLog, known: Mapping[str, HeldLog], trail: Trail) -> Check:
    """Check that an audit log knows of the posts and collections that its exchange log tells.

    Raises:
        GatewayError: A log cannot be read any more.
    """
    contents = speaker.contents
    name = f"{_ACTS} {contents.origin}"
    if not trail.is_whole or not trail.covers(contents.origin, contents.size - 1):
        return Check.not_checked(name, f"what is at hand of {trail.name} does not hold all of that time")
    if any(event in _LOST for _, event, _ in contents.told):
        return Check.not_checked(name, "its node was restored: events that were lost are in no log")
    absent = absent_tag([contents.tags], [log.contents.accepted for log in trail.logs])
    if absent is not None:
        what = f"entry {contents.tags.index(absent)} is a message"
        return Check.failed(name, f"{what} of which {trail.name} has no event message.accepted")
    unrecorded = _unrecorded(contents, trail)
    if unrecorded:
        return Check.failed(name, unrecorded)
    collections = 0
    for origin, answers in sorted(contents.answers.items()):
        subject = known.get(origin)
        if subject is None:
            continue
        tags, size = subject.contents.tags, subject.contents.size
        said = array("I", (tags[index] for index in answers.collected if index < size))
        absent = absent_tag([said], [log.contents.collected for log in trail.logs])
        if absent is not None:
            what = f"tells that entry {tags.index(absent)} of {origin} was collected"
            return Check.failed(name, f"{what}, of which {trail.name} has no event message.collected")
        collections += len(said)
    told = (
        counted(contents.kinds[int(Kind.MESSAGE)], "message", "messages"),
        counted(collections, "collection", "collections"),
    )
    return Check.held(name, f"{' and '.join(told)}, each an event of {trail.name}")


def _unrecorded(contents: LogContents, trail: Trail) -> str:
    """Return which KEM key or agreement of an exchange log has no event in the audit log, or "".

    Nodes of 0.1.0 recorded none, and anchored nothing: what stands before both began binds nobody.
    """
    acts = [log.contents.acts for log in trail.logs]
    anchored = [log.contents.anchored.get(contents.origin) for log in trail.logs]
    since = [claims.sizes[0] for claims in anchored if claims is not None]
    for said, recorded, what, event in (
        (contents.announced, {key for item in acts for key in item.announced}, "KEM key", "kem.announced"),
        (contents.stated, {key for item in acts for key in item.stated}, "agreement", "agreement.stated"),
    ):
        first = min([*since, *(at for key, at in said.items() if key in recorded)])
        for key, at in said.items():
            if key not in recorded and at >= first:
                return f"entry {at} is a {what} of which {trail.name} has no event {event}"
    return ""


def absent_tag(wanted: Sequence[array[int]], recorded: Sequence[array[int]]) -> int | None:
    """Return a tag that is wanted and nowhere recorded, or None; 0 is none.

    Sets are large, so a part of all is held as sets at a time.
    """
    parts = max(sum(map(len, wanted)), sum(map(len, recorded))) // MAX_SET + 1
    for some, there in zip(_parted(wanted, parts), _parted(recorded, parts), strict=True):
        absent = set(some).difference(there, (0,))
        if absent:
            return min(absent)
    return None


def _parted(tags: Sequence[array[int]], parts: int) -> list[array[int]]:
    """Return tags in so many parts, equal ones in the same part."""
    found = [array("I") for _ in range(parts)]
    take = [part.append for part in found]
    for tag in chain.from_iterable(tags):
        take[tag % parts](tag)
    return found


def _guarded(what: str, speaker: HeldLog, compare: Callable[[], Check | None]) -> Check | None:
    try:
        return compare()
    except GatewayError as error:
        return Check.failed(f"{what} {speaker.contents.origin}", f"cannot be compared: {error}")


def _erased(log: HeldLog, ids: Collection[bytes]) -> set[bytes]:
    """Return which of these messages an audit log calls erased."""
    found: set[bytes] = set()
    size = log.checkpoint.size
    for start in range(0, size if ids else 0, TILE_WIDTH):
        for data in log.log.entries(start, min(start + TILE_WIDTH, size)):
            if kind_of(data) != Kind.EVENT or _ERASED.encode() not in data:
                continue
            try:
                entry = decode_entry(data)
            except MalformedError:
                continue  # what is no entry says nothing
            if isinstance(entry, EventEntry) and entry.event == _ERASED:
                found.update(entry.objects)
    return found.intersection(ids)
