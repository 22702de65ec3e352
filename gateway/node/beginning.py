"""Of which waiting messages a node knows that they were not sent.

A database that was restored from a backup holds as waiting what was sent after the backup. So until the own
log is known to be whole nothing that was here before ends *expired* or *withdrawn*: its agency would post
anew what the peer holds, and the log would declare a number void that is used. What is erased meanwhile is
gone at once, but its number is not void before the log is whole.

The same holds, until a receipt speaks of it, for what was on its way when a generation of the log ended.

Spec: docs/spec/exchange.md, "Start" and "Frozen pair".
"""

from __future__ import annotations

from typing import Final

from gateway.errors import UnavailableError
from gateway.ports import MessageRow, Step, Store

_ALL: Final = 2**62
"""Above the number of every message."""


class SendingUnknownError(UnavailableError):
    """Whether the message has arrived is not known until the peer has answered."""

    code = "sending-unknown"


class Beginning:
    """Tells of which messages it is certain that they wait. Kept by the runtime."""

    def __init__(self, store: Store) -> None:
        """Begin with nothing known."""
        self._store = store
        # Until it is noted what is here, of nothing.
        self._newest = _ALL
        # False until our exchange log is known to be whole: until then nothing is signed.
        self.is_settled = False

    async def open(self) -> None:
        """Note what is here: before any message is accepted."""
        self._newest = await self._store.read(lambda tx: tx.outbox.newest_number())

    @property
    def certain_above(self) -> int:
        """Return the number above which a message that waits here was certainly not sent."""
        return 0 if self.is_settled else self._newest

    async def settle(self) -> None:
        """Note that our log is whole: what was erased here in doubt, and is not in it, was never sent.

        A crash before the write leaves the doubt, and the next start settles it.
        """
        # First, so that what is erased from here on is in no doubt.
        self.is_settled = True
        await self._store.write(Step.RECOVERED, lambda tx: tx.outbox.settle_erased())

    def verify_certain(self, row: MessageRow) -> None:
        """Verify that a message that waits here was not sent.

        Raises:
            SendingUnknownError: It was here at the start or was sent in an earlier generation of the log,
                and the peer has not answered since.
        """
        if row.number <= self.certain_above or row.is_unanswered:
            msg = "whether the message has arrived is not known until the peer has answered"
            raise SendingUnknownError(msg, retry_after_s=5)
