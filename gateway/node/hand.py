"""What a member of the crew does, and the forms in which work goes there and comes back.

A member has the catalogue, the storage key and what the peer has announced: enough to examine
posts and to check messages whose key boxes the node has opened. It has no private key, no
database and no connection. Results come back without what the node has already.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from gateway.core.entries import MessageEntry, decode_entries
from gateway.core.message.reference_lists import NO_LISTS
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Announced, Schedule
from gateway.core.message.warning import ValueWarning
from gateway.core.quick import quick_value
from gateway.core.sealing import StorageKey
from gateway.node.boxes import BoxName, Keys, Slots
from gateway.node.crew import LENGTH, View
from gateway.node.message_rows import Derived
from gateway.node.opening import Opener, Refused, Sealed
from gateway.node.pair import Pair
from gateway.node.posts import Posted, Principal
from gateway.node.preparation import Preparation
from gateway.node.refusal import RefusedError
from gateway.node.vault import Vault
from gateway.ports import Entropy, PostName


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """What a member is given when it starts.

    Attributes:
        pair: Names of the two nodes.
        catalogue: Files of the catalogue in force, as the node has read them.
        following: Files of the one that follows, or None.
        change_ms: When that takes effect, UTC milliseconds.
        storage_key: Under which content keys are wrapped.
        log_level: Least level of a line in the operator's log.
    """

    pair: Pair
    catalogue: Mapping[str, bytes]
    following: Mapping[str, bytes] | None
    change_ms: int
    storage_key: StorageKey
    log_level: str

    @classmethod
    def of(cls, pair: Pair, schedule: Schedule, *, storage_key: StorageKey, log_level: str) -> Outfit:
        """Return the outfit for the crew of a node."""
        following = schedule.following
        return cls(
            pair=pair,
            catalogue=dict(schedule.catalogue.files),
            following=None if following is None else dict(following.files),
            change_ms=schedule.change_ms,
            storage_key=storage_key,
            log_level=log_level,
        )


class Hand:
    """What the tasks of a member work with."""

    def __init__(self, outfit: Outfit, entropy: Entropy) -> None:
        """Read the catalogue, which takes a second."""
        following = None if outfit.following is None else Catalogue.from_files(outfit.following)
        schedule = Schedule(
            catalogue=Catalogue.from_files(outfit.catalogue),
            following=following,
            change_ms=outfit.change_ms,
        )
        vault = Vault(outfit.storage_key)
        self.announced = Announced()
        self.preparation = Preparation(
            pair=outfit.pair,
            schedule=schedule,
            vault=vault,
            entropy=entropy,
            peer=lambda: self.announced,
            lists=NO_LISTS,
        )
        self.opener = Opener(pair=outfit.pair, schedule=schedule, kem_private=lambda _: None, vault=vault)

    def see(self, view: View) -> None:
        """Go by these lists and announcements from now on."""
        self.preparation.lists, self.announced = view


def serve(make: Callable[[Outfit], Hand], incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Do what the node asks until it closes the pipe, or is no more.

    Args:
        make: Takes the outfit, which comes first.
        incoming: Standard input.
        outgoing: What was standard output when the process started.
    """
    hand: Hand | None = None
    while (frame := _next_frame(incoming)) is not None:
        answer: tuple[bool, object] = (True, None)
        if hand is None:
            hand = make(frame)
        elif callable(frame[0]):
            task, argument = frame
            try:
                answer = True, task(hand, argument)
            except Exception as error:  # noqa: BLE001 - the node raises it where the task was asked for
                answer = False, error
        else:
            hand.see(frame)
        data = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        outgoing.write(LENGTH.pack(len(data)))
        outgoing.write(data)
        outgoing.flush()


def _next_frame(incoming: BinaryIO) -> Any | None:
    """Return what the node asks; None if it has closed the pipe, or was killed in the middle of a frame."""
    length = incoming.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(length)
    data = incoming.read(size)
    return None if len(data) < size else pickle.loads(data)  # noqa: S301 - from the node itself


# --- posts -------------------------------------------------------------------------------


@quick_value
class Posts:
    """Posts of one agency: body, idempotency key, and time of arrival of each."""

    principal: Principal
    posts: list[tuple[bytes, str | None, int]]


@quick_value
class Made:
    """A candidate without what the node knows: who posted it, by which catalogue, and its body.

    Attributes:
        message: As in `Candidate`; None as well if it is the body as it was posted.
        as_posted: Whether that is so.
    """

    name: PostName
    document: dict[str, Any]
    derived: Derived
    message: bytes | None
    as_posted: bool
    warnings: tuple[ValueWarning, ...]
    sealed: tuple[bytes, bytes] | None


Examined = tuple[bytes, Made | Exception | None]
"""Digest of a body, and what became of it: None if the node has to do it, with another message."""


def examine_posts(hand: Hand, given_posts: Posts) -> list[Examined]:
    """Take posts through the first stage of admission. A task of a member."""
    items = [
        Posted(given_posts.principal, body, key, now_ms=now_ms, strict=False)
        for body, key, now_ms in given_posts.posts
    ]
    hand.preparation.examine(items, sealing=True)
    return [(item.digest, _made(item)) for item in items]


def _made(item: Posted) -> Made | Exception | None:
    candidate, failure = item.candidate, item.failure
    if isinstance(failure, RefusedError) and failure.may_leave_out:
        # How much of it the call is told, the node knows.
        return failure.first()
    if failure is not None or candidate is None:
        return failure
    as_posted = candidate.message is item.body
    return Made(
        name=candidate.name,
        document=candidate.document,
        derived=candidate.derived,
        message=None if as_posted else candidate.message,
        as_posted=as_posted,
        warnings=candidate.warnings,
        sealed=candidate.sealed,
    )


# --- messages of a bundle ------------------------------------------------------------------


@quick_value
class Parcel:
    """Messages of one bundle: index, entry and ciphertext of each, and what is in their boxes."""

    messages: list[tuple[int, bytes, bytes | None]]
    boxes: dict[BoxName, Slots]
    now_ms: int


Checked = tuple[dict[str, Any], Derived, bytes] | Refused
"""Document, what follows from it, and wrapped key of a message; or why it is refused."""


def check_messages(hand: Hand, parcel: Parcel) -> list[Checked]:
    """Check messages of a bundle. A task of a member."""
    entries = decode_entries([entry for _, entry, _ in parcel.messages])
    sealed = [
        Sealed(index, entry, ciphertext)
        for (index, _, ciphertext), entry in zip(parcel.messages, entries, strict=True)
        if isinstance(entry, MessageEntry)
    ]
    checked = hand.opener.check(
        sealed, keys=Keys(parcel.boxes), now_ms=parcel.now_ms, announced=hand.announced
    )
    return [
        item if isinstance(item, Refused) else (item.document, item.derived, item.wrapped_key)
        for item in checked
    ]
