"""One process of a node's crew: ``python -m gateway.member``, which only a node starts.

It speaks with the node through its standard input and output, and ends when the node closes
them or is no more. What it has to tell an operator goes into the node's log.
"""

from __future__ import annotations

import os
import signal
from typing import BinaryIO

from gateway.logs import configure_logs
from gateway.node.hand import Hand, Outfit, serve
from gateway.system import SystemEntropy, tune_collector


def main() -> None:
    """Serve the node that started this process."""
    # Sent to a whole group of processes, these are for the node: it lets its crew end when it has drained.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    incoming, outgoing = _own_pipes()
    try:
        serve(_hand, incoming, outgoing)
    except BrokenPipeError:
        return  # the node is no more, and nobody waits for the answer


def _hand(outfit: Outfit) -> Hand:
    configure_logs(outfit.log_level, node=outfit.pair.node)
    hand = Hand(outfit, SystemEntropy())
    tune_collector()
    return hand


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the two pipes to the node; whatever prints does not write into them from now on."""
    outgoing = os.fdopen(os.dup(1), "wb")
    incoming = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return incoming, outgoing


if __name__ == "__main__":
    main()
