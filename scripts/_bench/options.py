"""What a run of the benchmark is asked to do, and the nodes that it does it with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts._bench.nodes import Nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run of the benchmark does.

    Attributes:
        folder: Where homes are made; on a real disk.
        parts: Names of the parts that run.
        rounds: Rounds of the loads.
        seconds: About how long each open load posts, and what is compared in turn.
        closed_seconds: The same of a closed load. Filling and draining take half a second of it, which is
            to be little.
        backlog: Messages of the backlog.
        accepted: How many of them are posted to the node; the others are made, as it would have written them.
        log_entries: Entries of the long log.
        slices: Slices of each side where two are compared in turn.
        slice_messages: Messages of such a slice.
        count: Messages of each closed load; None for as many as ``seconds`` need.
        collect: Whether a consumer reads and acknowledges; without it a load ends when all is received.
        keep: Leave homes and logs where they are.
        quick: Whether it is a quick run.
        profile: Folder for profiles of both nodes under each load, or None.
        bound: Whether each node gets half of the cores for itself.
        crew: Processes of the crew of each node.
    """

    folder: Path
    parts: Sequence[str]
    rounds: int
    seconds: float
    closed_seconds: float
    backlog: int
    accepted: int = 100_000
    log_entries: int = 10_000_000
    slices: int = 5
    slice_messages: int = 4_000
    count: int | None = None
    collect: bool = True
    keep: bool = False
    quick: bool = False
    profile: Path | None = None
    bound: bool = False
    crew: int = 0


@contextmanager
def fresh_nodes(
    options: Options,
    *,
    addresses: Mapping[str, str] | None = None,
    namespaces: Mapping[str, int] | None = None,
) -> Iterator[Nodes]:
    """Make homes of two nodes that have never run; remove them afterwards, unless they are to be kept.

    Args:
        options: Where, and on which cores.
        addresses: Where each nation's peer port listens; on the loopback interface if None.
        namespaces: Network namespace of each nation's node, an open file; this process's own if None.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="nodes-", dir=options.folder))
    try:
        yield Nodes(
            folder, bound=options.bound, crew=options.crew, addresses=addresses, namespaces=namespaces
        )
    finally:
        if not options.keep:
            shutil.rmtree(folder)
