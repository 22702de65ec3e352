"""What a node knows, before its peer has answered, of the messages that were here when it started.

A database that was restored from a backup holds as waiting what was sent after the backup. So until the own
log is known to be whole nothing that was here before ends *expired* or *withdrawn*: its agency would post
anew what the peer holds, and the log would declare a number void that is used.

Spec: docs/spec/exchange.md, "Start".
"""

from __future__ import annotations

from gateway.errors import UnavailableError
from gateway.ports import Store


class SendingUnknownError(UnavailableError):
    """Whether the message was sent is not known until the peer has answered."""

    code = "sending-unknown"


class Beginning:
    """Tells of which messages it is certain that they wait. Kept by the runtime."""

    def __init__(self, store: Store) -> None:
        """Begin with nothing known."""
        self._store = store
        self._newest = 0
        # False until our exchange log is known to be whole: until then nothing is signed.
        self.is_settled = False

    async def open(self) -> None:
        """Note what is here: before any message is accepted."""
        self._newest = await self._store.read(lambda tx: tx.outbox.newest_number())

    @property
    def certain_above(self) -> int:
        """Return the number above which a message that waits here was certainly not sent."""
        return 0 if self.is_settled else self._newest

    def verify_certain(self, number: int) -> None:
        """Verify that a message that waits here was not sent.

        Args:
            number: Of the message.

        Raises:
            SendingUnknownError: It was here at the start, and the peer has not answered since.
        """
        if number <= self.certain_above:
            msg = "whether the message was sent is not known until the peer has answered"
            raise SendingUnknownError(msg, retry_after_s=5)
