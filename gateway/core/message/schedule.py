"""Which catalogue governs a message, and which versions the two nations agree on.

A node has one catalogue in force and may have a second one that takes effect at an agreed
time. A sender writes each message under the catalogue in force when it accepts it, and the
header names the digest of its type. The receiver judges by the catalogue that has this
digest: the old one for messages that were created before the change, however late they
arrive; the new one from the change on, less what two clocks may differ. So a planned change
loses nothing that is on its way.

What the peer holds is what its log announced: each agreement entry names types, digests and
from when on.

Spec: docs/spec/messages.md, "Agreement between nodes".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from gateway.core.entries import AgreementEntry
from gateway.core.message.instants import MINUTE_MS
from gateway.core.message.registry import Catalogue

SKEW_MS: Final = 5 * MINUTE_MS
"""By which two clocks may differ; beyond that, messages are refused anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The catalogues of a node.

    Attributes:
        catalogue: In force until the change, or for good.
        following: In force from the change on, or None.
        change_ms: When that is, UTC milliseconds; of no meaning without a following one.
    """

    catalogue: Catalogue
    following: Catalogue | None = None
    change_ms: int = 0

    def at(self, now_ms: int) -> Catalogue:
        """Return the catalogue in force."""
        if self.following is not None and now_ms >= self.change_ms:
            return self.following
        return self.catalogue

    def planned(self, now_ms: int) -> Catalogue | None:
        """Return the catalogue that is not in force yet, or None."""
        return self.following if now_ms < self.change_ms else None

    def holding(self, type_id: str, digest: bytes) -> Catalogue | None:
        """Return the catalogue whose type has this digest, the older first, or None."""
        for catalogue in (self.catalogue, self.following):
            found = None if catalogue is None else catalogue.find(type_id)
            if found is not None and found.digest == digest:
                return catalogue
        return None

    def accepting(self, type_id: str, digest: bytes, *, created_ms: int, now_ms: int) -> Catalogue | None:
        """Return the catalogue by which a received message is judged, or None if there is none.

        Args:
            type_id: Its type.
            digest: Digest of that type under which the sender wrote it.
            created_ms: Its creation, UTC milliseconds.
            now_ms: Clock of the receiver.
        """
        found = self.holding(type_id, digest)
        if found is None or self.following is None or self._is_same(type_id):
            return found
        if found is self.catalogue:
            return found if created_ms < self.change_ms + SKEW_MS else None
        return found if now_ms >= self.change_ms - SKEW_MS else None

    def _is_same(self, type_id: str) -> bool:
        """Return whether a type is the same before and after the change."""
        following = None if self.following is None else self.following.find(type_id)
        found = self.catalogue.find(type_id)
        return found is not None and following is not None and found.digest == following.digest


@dataclass(frozen=True, kw_only=True)
class Announced:
    """The agreement entries of one log, in the order of the log."""

    entries: tuple[AgreementEntry, ...] = ()

    @cached_property
    def _states(self) -> tuple[tuple[int, Mapping[str, bytes]], ...]:
        """When each entry takes effect, and its digests by type id."""
        return tuple((entry.effective_ms, MappingProxyType(dict(entry.types))) for entry in self.entries)

    def at(self, now_ms: int) -> Mapping[str, bytes] | None:
        """Return digests by type id that hold at a time, or None if nothing was announced.

        The last entry that has taken effect counts: so a plan that was given up is taken back
        by naming the present types once more.
        """
        for effective_ms, state in reversed(self._states):
            if effective_ms <= now_ms:
                return state
        return self._states[0][1] if self._states else None

    def plans(self, now_ms: int) -> list[tuple[int, Mapping[str, bytes]]]:
        """Return (time, digests by type id) of every change that is still to come, in order of time."""
        times = sorted({entry.effective_ms for entry in self.entries if entry.effective_ms > now_ms})
        states = [(time, self.at(time) or {}) for time in times]
        present = [(now_ms, self.at(now_ms) or {}), *states]
        return [after for before, after in pairwise(present) if before[1] != after[1]]

    def course(self, now_ms: int) -> Course:
        """Return what holds now and each change that is to come; empty if nothing was announced."""
        present = self.at(now_ms)
        return [] if present is None else [(now_ms, present), *self.plans(now_ms)]

    def names(self, type_id: str, digest: bytes, times_ms: Sequence[int]) -> bool:
        """Return whether a version was in force at one of these times, or nothing is known."""
        # Asked for every message. Hardly ever does it have to be asked for more than one time.
        for time in times_ms:
            state = self.at(time)
            if state is None or state.get(type_id) == digest:
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One type, as both nodes have it.

    Attributes:
        type: Type id.
        own: Digest here, or None if this node has no such type.
        peer: Digest that the peer announced, or None.
    """

    type: str
    own: bytes | None
    peer: bytes | None

    @property
    def is_agreed(self) -> bool:
        """Return whether messages of this type flow."""
        return self.own is not None and self.own == self.peer


def compare(catalogue: Catalogue, peer: Mapping[str, bytes]) -> list[Standing]:
    """Return every type that either node has, in the order of ids."""
    own = digests_of(catalogue)
    return [
        Standing(type=type_id, own=own.get(type_id), peer=peer.get(type_id))
        for type_id in sorted({*own, *peer})
    ]


Course = Sequence[tuple[int, Mapping[str, bytes]]]
"""(Time, digests by type id) in the order of times: what holds now, and each change that is to come."""


def first_difference(own: Course, peer: Course) -> tuple[int, tuple[str, ...]] | None:
    """Return when two nodes will differ in types in which they do not now, and in which; None if never."""
    present = _differing(own[0][1], peer[0][1])
    for time_ms in sorted({time for time, _ in (*own[1:], *peer[1:])}):
        found = _differing(_at(own, time_ms), _at(peer, time_ms)) - present
        if found:
            return time_ms, tuple(sorted(found))
    return None


def _differing(own: Mapping[str, bytes], peer: Mapping[str, bytes]) -> set[str]:
    return {type_id for type_id in {*own, *peer} if own.get(type_id) != peer.get(type_id)}


def _at(course: Course, time_ms: int) -> Mapping[str, bytes]:
    return [digests for time, digests in course if time <= time_ms][-1]


def digests_of(catalogue: Catalogue) -> dict[str, bytes]:
    """Return the digests of all types by type id, in the order of ids."""
    return {type_id: catalogue.types[type_id].digest for type_id in sorted(catalogue.types)}
