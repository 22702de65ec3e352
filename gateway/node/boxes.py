"""The content keys of a bundle: in key boxes as they arrived, and taken out of them.

Spec: docs/spec/exchange.md, "Receiving", checks 6 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.core.digest import digest_of
from gateway.core.entries import MessageEntry
from gateway.core.envelope import SUITE
from gateway.core.keybox import BoxBinding, BoxInvalidError, KemPrivateKey, open_box
from gateway.core.receipt import ExceptionCode
from gateway.core.sealing import ContentKey
from gateway.node.pair import Pair

BoxName = tuple[bytes, bytes, bytes]
"""Digest of a box, id of the KEM key that it was sealed for, and id of its bundle."""

Slots = tuple[ContentKey, ...] | ExceptionCode
"""What is in a box, or why it does not open."""


def _name_of(entry: MessageEntry) -> BoxName:
    return entry.box_digest, entry.kem_key_id, entry.bundle_id


class Keys:
    """Content keys of messages whose boxes were opened."""

    def __init__(self, opened: Mapping[BoxName, Slots]) -> None:
        """Take what is in each box that the messages name."""
        self._opened = dict(opened)

    def key_of(self, entry: MessageEntry) -> ContentKey | ExceptionCode:
        """Return the content key of a message, or why there is none: check 7, and 6 for the box."""
        slots = self._slots(entry)
        if isinstance(slots, ExceptionCode):
            return slots
        return slots[entry.slot] if entry.slot < len(slots) else ExceptionCode.BOX_INVALID

    def _slots(self, entry: MessageEntry) -> Slots:
        return self._opened[_name_of(entry)]


class Boxes(Keys):
    """The key boxes of a bundle, each opened at most once, when a message needs it."""

    def __init__(
        self,
        boxes: Sequence[bytes],
        pair: Pair,
        kem_private: Callable[[bytes], KemPrivateKey | None],
        entries: Iterable[MessageEntry],
    ) -> None:
        """Take the boxes as they arrived.

        Args:
            boxes: Sealed boxes.
            pair: Names of the two nodes.
            kem_private: Finds a private KEM key by its id.
            entries: All message entries of the bundle.
        """
        super().__init__({})
        self._boxes = {digest_of(box): box for box in boxes}
        self._pair = pair
        self._kem_private = kem_private
        # The number of keys in a box is bound into it: one more than the highest slot.
        self._counts: dict[bytes, int] = {}
        for entry in entries:
            highest = self._counts.get(entry.box_digest, 0)
            self._counts[entry.box_digest] = max(highest, entry.slot + 1)

    def opened_for(self, entries: Iterable[MessageEntry]) -> dict[BoxName, Slots]:
        """Return what is in the boxes of these messages, for `Keys` somewhere else."""
        return {_name_of(entry): self._slots(entry) for entry in entries}

    def _slots(self, entry: MessageEntry) -> Slots:
        name = _name_of(entry)
        slots = self._opened.get(name)
        if slots is None:
            slots = self._opened[name] = self._open(entry)
        return slots

    def _open(self, entry: MessageEntry) -> Slots:
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
