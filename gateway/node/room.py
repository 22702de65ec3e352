"""Room on the disk: new messages are refused while there is still some left.

A full disk ends a node: the write that meets it has an outcome that nobody knows. So the
node looks at its file systems once a second and keeps a reserve, for what it has to write
about messages that it accepted already: entries, receipts, signatures.

::

    free            agencies            the peer
    ≥ reserve       accepted            taken in
    < reserve       507 disk-low        taken in
    < reserve / 2   507 disk-low        503, it sends again later

Both begin again a quarter above the mark at which they stopped, so that a disk that hovers
around a mark does not make a node change its mind every second.

Spec: docs/operating.md, "A disk that fills up".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.errors import UnavailableError
from gateway.ports import Disk, DiskSpace

log = structlog.get_logger(__name__)

MIB: Final = 1_048_576
RESERVE_BYTES: Final = 256 * MIB
LARGEST_PART: Final = 8
"""The reserve is never more than this part of a file system, so that small ones can be used."""

RETRY_S: Final = 60


class DiskLowError(UnavailableError):
    """The disk is nearly full: nothing new is taken on before an operator has made room."""

    code = "disk-low"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomLeft:
    """What the last look at the disks has found.

    Attributes:
        free_bytes: Free on the file system that is nearest to its reserve.
        reserve_bytes: Reserve of that one.
    """

    free_bytes: int
    reserve_bytes: int


class Room:
    """Says whether there is room for more; `measure` looks, everything else remembers."""

    def __init__(self, disk: Disk, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        """Begin with the opinion that there is room.

        Args:
            disk: The file systems that the node writes to.
            reserve_bytes: What is kept free of each of them; an eighth of it at most.
        """
        self._disk = disk
        self._reserve_bytes = reserve_bytes
        self.left: RoomLeft | None = None
        self.is_low = False
        self.is_very_low = False

    async def look(self) -> None:
        """Measure without holding up the event loop: a disk in trouble answers late.

        A file system that does not answer changes nothing: the next write tells how it is.
        """
        try:
            spaces = await asyncio.to_thread(self._disk.spaces)
        except OSError as error:
            log.warning("disk.unreadable", error=error.strerror)
            return
        self.judge(spaces)

    def judge(self, spaces: Sequence[DiskSpace]) -> None:
        """Decide by what was measured whether more is taken on."""
        self.left = least_room(spaces, reserve_bytes=self._reserve_bytes)
        free, reserve = self.left.free_bytes, self.left.reserve_bytes
        was_low, was_very_low = self.is_low, self.is_very_low
        self.is_low = free < (reserve * 5 // 4 if was_low else reserve)
        self.is_very_low = free < (reserve * 5 // 8 if was_very_low else reserve // 2)
        if self.is_low and not was_low:
            log.error("disk.low", free_mib=free // MIB, reserve_mib=reserve // MIB)
        if self.is_very_low and not was_very_low:
            log.error("disk.very_low", free_mib=free // MIB, reserve_mib=reserve // MIB)
        if was_low and not self.is_low:
            log.info("disk.enough", free_mib=free // MIB, reserve_mib=reserve // MIB)

    def verify_for_agencies(self) -> None:
        """Refuse a new message of an own agency when room is short.

        Raises:
            DiskLowError: It is.
        """
        if self.is_low:
            msg = "the disk of this node is nearly full; its operator has to make room"
            raise DiskLowError(msg, retry_after_s=RETRY_S)

    def verify_for_peer(self) -> None:
        """Refuse a bundle of the peer when room is very short; the peer keeps it and sends it again.

        Raises:
            DiskLowError: It is.
        """
        if self.is_very_low:
            msg = "the disk of this node is nearly full; its operator has to make room"
            raise DiskLowError(msg, retry_after_s=RETRY_S)


def least_room(spaces: Sequence[DiskSpace], *, reserve_bytes: int) -> RoomLeft:
    """Return what is left on the file system that is nearest to its reserve.

    Args:
        spaces: The file systems, one at least.
        reserve_bytes: What is kept free of each of them; an eighth of it at most.
    """
    found = [
        RoomLeft(
            free_bytes=space.free_bytes,
            reserve_bytes=min(reserve_bytes, space.total_bytes // LARGEST_PART),
        )
        for space in spaces
    ]
    return min(found, key=lambda left: left.free_bytes - left.reserve_bytes)
