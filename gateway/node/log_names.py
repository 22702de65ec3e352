"""The names by which people call the logs of a node.

``audit`` is its audit log, ``exchange/us`` the log that it writes for the peer, ``mirror/us``
its copy of what the peer writes. Successor generations add their number: ``exchange/us/2``.

Spec: docs/spec/log.md, "Origins"; docs/auditing.md, "Exporting".
"""

from __future__ import annotations

from gateway.node.pair import Pair


def name_of(origin: str, pair: Pair) -> str:
    """Return the name of a log of this node, or the origin itself if it has none."""
    for start, name in _starts(pair):
        if origin == start or origin.startswith(f"{start}/"):
            return name + origin[len(start) :]
    return origin


def origin_of(name: str, pair: Pair) -> str | None:
    """Return the origin of the log with this name, whether or not it exists yet; None for no name."""
    for start, known in _starts(pair):
        if name == known or (name.startswith(f"{known}/") and name != f"{known}/"):
            return start + name[len(known) :]
    return None


def _starts(pair: Pair) -> tuple[tuple[str, str], ...]:
    peer = pair.peer_nation.lower()
    return (
        (pair.audit_origin, "audit"),
        (pair.first_exchange_origin, f"exchange/{peer}"),
        (pair.first_peer_origin, f"mirror/{peer}"),
    )
