"""The front door: whether a node takes on what an agency posts, before anybody looks at it.

Three things can close it, each with words of its own: a disk that is nearly full, maintenance,
and the agency's quota. None of these refusals is an event of the audit log: they say nothing
about a message, nobody has read one, and a log that grew with them would fill the disk that
is nearly full. They are counted, for the metrics.

Spec: docs/spec/exchange.md, "Admission"; docs/operating.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.errors import GatewayError, UnavailableError
from gateway.node.admission import Admission, Checked
from gateway.node.gate import Gate
from gateway.node.maintenance import Maintenance
from gateway.node.posts import Principal, Submission
from gateway.node.quotas import Quotas
from gateway.node.room import Room
from gateway.node.second_stage import Outcome


class FrontDoor:
    """Lets posts through to admission."""

    def __init__(
        self,
        *,
        admission: Admission,
        gate: Gate,
        room: Room,
        maintenance: Maintenance,
        quotas: Quotas,
    ) -> None:
        """Stand before ``admission``.

        Args:
            admission: Decides about messages.
            gate: Opens once maintenance and quotas are known of.
            room: Room on the disk.
            maintenance: Whether the node takes anything new on.
            quotas: How much an agency may send.
        """
        self._admission = admission
        self._gate = gate
        self._room = room
        self._maintenance = maintenance
        self._quotas = quotas
        self.turned_away: Counter[str] = Counter()

    async def submit(self, principal: Principal, submissions: Sequence[Submission]) -> list[Outcome]:
        """Decide about posts of one agency, each on its own; results are in order.

        Raises:
            DiskLowError: The disk is nearly full; nothing of this call was looked at.
            MaintenanceError: The node takes nothing new on; the same.
            GatewayError: As `gateway.node.admission.Admission.submit`.
        """
        await self._gate.passed()
        try:
            self._maintenance.verify_over()
            self._room.verify_for_agencies()
        except UnavailableError as error:
            self.turned_away[error.code] += len(submissions)
            raise
        granted, refusal = self._quotas.take(principal.agency, len(submissions))
        outcomes: list[Outcome] = []
        if granted:
            outcomes = await self._admission.submit(principal, submissions[:granted])
        if refusal is not None:
            beyond: list[GatewayError] = [refusal] * (len(submissions) - granted)
            self.turned_away[refusal.code] += len(beyond)
            outcomes = [*outcomes, *beyond]
        return outcomes

    async def check(self, principal: Principal, body: bytes, *, strict: bool) -> Checked:
        """Say what posting would say of the message itself, and keep nothing."""
        return await self._admission.check(principal, body, strict=strict)
