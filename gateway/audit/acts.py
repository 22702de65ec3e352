"""What the events of an audit log say of restores, erasures, keys and generations.

Kept while the log is read, for comparing it with the exchange logs of its node (`gateway.audit.trail`,
`gateway.audit.books`). Of events that agencies make it keeps nothing: they grow with the traffic.

Spec: docs/spec/log.md, "Audit log".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.audit.claims import Ended
from gateway.core.entries import EventEntry
from gateway.core.generation import MAX_GENERATION
from gateway.core.merkle import HASH_BYTES, Hash
from gateway.core.message.retention import FORESEEN, Ground

REFILLED: Final = "log.recovered"
"""Its details: from which size to which the exchange log was refilled from the peer's mirror."""

RESTORES: Final = frozenset({REFILLED, "mirror.rolled_back", "peer.rolled_back"})
"""Events of restores; their first detail is the size that the incident in the exchange log names."""

MAX_RESTORES: Final = 1_000
"""Restores, sign-offs and generations of a node that are remembered."""

MAX_KEYS: Final = 100_000
"""KEM keys and agreements that are remembered: a node announces a key a day."""

_TOLD_GROUNDS: Final = frozenset(map(int, Ground)) - {*map(int, FORESEEN), int(Ground.RESTORED)}
"""Grounds of erasures that the other nation cannot foresee: the exchange log tells of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The event of a generation that opened.

    Attributes:
        index: Its entry.
        own: Size and root of the own exchange log before it.
        mirror: Size and root of the mirror.
    """

    index: int
    own: tuple[int, Hash]
    mirror: tuple[int, Hash]


@dataclass(slots=True)
class Acts:
    """What the events of one audit log say.

    Attributes:
        restored: Restores: the entry, the event, and the size that it names.
        refilled: From which size to which the exchange log was refilled.
        refilled_at: Which entries say so.
        erased: Messages erased on grounds of which the exchange log tells.
        announced: KEM keys that it says were announced.
        stated: SHA-384 of agreement entries that it says were stated.
        resumed: Generations that opened, by their numbers.
        signed_off: Entries that tell of a sign-off.
        is_overridden: Whether an operator let the node sign without its peer.
    """

    restored: list[tuple[int, str, int]] = field(default_factory=list)
    refilled: list[tuple[int, int]] = field(default_factory=list)
    refilled_at: list[int] = field(default_factory=list)
    erased: Ended = field(default_factory=Ended)
    announced: set[bytes] = field(default_factory=set)
    stated: set[bytes] = field(default_factory=set)
    resumed: dict[int, Resumed] = field(default_factory=dict)
    signed_off: list[int] = field(default_factory=list)
    is_overridden: bool = False

    def add(self, index: int, entry: EventEntry) -> None:
        """Keep what the event at ``index`` says."""
        match entry.event:
            case name if name in RESTORES:
                self._restored(index, entry)
            case "message.erased" if entry.details and entry.details[0] in _TOLD_GROUNDS:
                self.erased.add(index, entry)
            case "kem.announced" if entry.details and len(self.announced) < MAX_KEYS:
                self.announced.update(item for item in entry.details if isinstance(item, bytes))
            case "agreement.stated" if entry.details and len(self.stated) < MAX_KEYS:
                self.stated.update(item for item in entry.details[:1] if isinstance(item, bytes))
            case "pair.resumed":
                self._resumed(index, entry.details)
            case "pair.signed_off" if len(self.signed_off) < MAX_RESTORES:
                self.signed_off.append(index)
            case "recovery.overridden":
                self.is_overridden = True
            case _:
                pass

    def is_refilled(self, index: int) -> bool:
        """Return whether an entry of the exchange log may have come back from the peer's mirror."""
        return any(start <= index < end for start, end in self.refilled)

    def _restored(self, index: int, entry: EventEntry) -> None:
        if not entry.details or len(self.restored) == MAX_RESTORES:
            return
        size, *rest = entry.details
        if not isinstance(size, int):
            return
        self.restored.append((index, entry.event, size))
        if entry.event == REFILLED and len(rest) == 1 and isinstance(rest[0], int):
            self.refilled.append((size, rest[0]))
            self.refilled_at.append(index)

    def _resumed(self, index: int, details: tuple[int | bytes, ...]) -> None:
        match details:
            case (int(number), int(own), bytes(own_root), int(mirror), bytes(mirror_root)):
                pass
            case _:
                return
        if len(own_root) != HASH_BYTES or len(mirror_root) != HASH_BYTES or len(self.resumed) == MAX_RESTORES:
            return
        if 1 < number <= MAX_GENERATION:
            opened = Resumed(index=index, own=(own, Hash(own_root)), mirror=(mirror, Hash(mirror_root)))
            self.resumed.setdefault(number, opened)
