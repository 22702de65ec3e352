"""The two nodes of a pair and the names of their logs.

Spec: docs/spec/log.md, "Origins".
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.generation import origin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """This node and its peer.

    Attributes:
        nation: Nation of this node, ``FR`` or ``US``.
        node: Name of this node, such as ``fr.gateway.test``.
        peer_nation: Nation of the peer.
        peer_node: Name of the peer.
        generation: Of both exchange logs: 1 until people had to resume the pair.
    """

    nation: str
    node: str
    peer_nation: str
    peer_node: str
    generation: int = 1

    @property
    def exchange_origin(self) -> str:
        """Return the origin of the log that this node writes and the peer mirrors."""
        return origin_of(self.first_exchange_origin, self.generation)

    @property
    def peer_origin(self) -> str:
        """Return the origin of the peer's log that this node mirrors."""
        return origin_of(self.first_peer_origin, self.generation)

    @property
    def first_exchange_origin(self) -> str:
        """Return the origin of the first generation of the log that this node writes."""
        return f"{self.node}/exchange/{self.peer_nation.lower()}"

    @property
    def first_peer_origin(self) -> str:
        """Return the origin of the first generation of the peer's log."""
        return f"{self.peer_node}/exchange/{self.nation.lower()}"

    @property
    def audit_origin(self) -> str:
        """Return the origin of this node's private audit log, in its first generation."""
        return f"{self.node}/audit"

    @property
    def peer_audit_origin(self) -> str:
        """Return the origin of the peer's audit log, whose checkpoints this node cosigns: the first one."""
        return f"{self.peer_node}/audit"
