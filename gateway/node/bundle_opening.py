"""Where bundles are opened: in a thread, or at the crew.

What is done is the same everywhere (`gateway.node.opening`); key boxes are opened by the node
itself, which alone has the private keys.

Spec: docs/spec/exchange.md, "Receiving", checks 5 to 9.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from gateway.core.bundle import Bundle
from gateway.core.message.schedule import Announced, Schedule
from gateway.node.boxes import BoxName, Slots
from gateway.node.crew import Crew, pieces
from gateway.node.hand import Checked, Parcel, check_messages
from gateway.node.opening import Contents, Opened, Opener, Refused, Sealed, Unpacked
from gateway.node.steps import given
from gateway.node.workers import Workers

FEW: Final = 16
FEW_BYTES: Final = 65_536
"""Messages, and bytes of them, that are opened where their bundle's note is verified. More would keep
signatures waiting; so few cost as much as waking another thread, and do not stand behind large bundles."""


class BundleOpening:
    """Where bundles are opened: in a thread, or at the crew."""

    def __init__(
        self,
        opener: Opener,
        *,
        schedule: Schedule,
        workers: Workers,
        crew: Crew,
        announced: Callable[[], Announced],
    ) -> None:
        """Wire it.

        Args:
            opener: Opens.
            schedule: Catalogues of this node.
            workers: The thread for bundles.
            crew: Processes for them; it may have none.
            announced: Says what the peer has announced of its catalogue.
        """
        self._opener = opener
        self._schedule = schedule
        self._workers = workers
        self._crew = crew
        self._announced = announced

    def open_few(self, bundle: Bundle, *, now_ms: int) -> Contents | None:
        """Return the contents of a bundle that holds few messages or none, opened where this is called.

        Raises:
            MalformedError: As `open`.
        """
        ciphertexts = bundle.ciphertexts
        if len(ciphertexts) > FEW or sum(len(item or b"") for item in ciphertexts) > FEW_BYTES:
            return None
        return self._open_here(bundle, skip=0, now_ms=now_ms)

    async def open(self, bundle: Bundle, *, skip: int, now_ms: int) -> Contents:
        """Return the contents of a bundle whose root was checked.

        Raises:
            MalformedError: The number of ciphertexts is not the number of message entries.
            UnavailableError: The node is stopping, or a member of the crew was lost over it.
        """
        if not self._crew.takes(len(bundle.ciphertexts)):
            return await self._workers.compute(self._open_here, bundle, skip=skip, now_ms=now_ms)
        unpacked, boxes = await self._workers.compute(self._unpack, bundle, skip=skip)
        parcels = [
            Parcel(
                messages=[
                    (item.index, bundle.entries[item.index - bundle.start], item.ciphertext) for item in piece
                ],
                boxes=boxes,
                now_ms=now_ms,
            )
            for piece in pieces(unpacked.sealed, lambda item: len(item.ciphertext or b""))
        ]
        results = await asyncio.gather(*(self._crew.do(check_messages, parcel) for parcel in parcels))
        checked = [item for result in results for item in result]
        return unpacked.contents(
            [self._opened(item, found) for item, found in zip(unpacked.sealed, checked, strict=True)]
        )

    async def open_late(
        self, bundle: Bundle, *, skip: int, judged_ms: Mapping[int, int], now_ms: int
    ) -> dict[int, Opened | Refused]:
        """Return some messages of a bundle, by index, as of other times than now.

        Args:
            bundle: As received.
            skip: Entries at its beginning that the mirror holds.
            judged_ms: Which, and as of when; see `Opener.check`.
            now_ms: Clock of this node, UTC milliseconds.

        Raises:
            UnavailableError: The node is stopping.
        """

        def look() -> list[Opened | Refused]:
            unpacked = self._opener.unpack(bundle, skip=skip)
            return self._opener.check(
                [item for item in unpacked.sealed if item.index in judged_ms],
                keys=unpacked.boxes,
                now_ms=now_ms,
                announced=self._announced(),
                judged_ms=judged_ms,
            )

        return {item.index: item for item in await self._workers.compute(look)}

    def _open_here(self, bundle: Bundle, *, skip: int, now_ms: int) -> Contents:
        return self._opener.open(bundle, skip=skip, now_ms=now_ms, announced=self._announced())

    def _unpack(self, bundle: Bundle, *, skip: int) -> tuple[Unpacked, dict[BoxName, Slots]]:
        unpacked = self._opener.unpack(bundle, skip=skip)
        return unpacked, unpacked.boxes.opened_for(item.entry for item in unpacked.sealed)

    def _opened(self, item: Sealed, found: Checked) -> Opened | Refused:
        if isinstance(found, Refused):
            return found
        document, derived, wrapped_key = found
        header = derived.header
        return Opened(
            index=item.index,
            document=document,
            catalogue=given(self._schedule.holding(header.type, header.type_digest)),
            derived=derived,
            ciphertext=given(item.ciphertext),
            wrapped_key=wrapped_key,
        )
