"""The parts of the benchmark and the order in which they run.

Rounds are interleaved: each one runs every load once, so that what the machine's other
users do in a minute touches all loads alike, and the medians of the rounds are compared.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts._bench.helper import Helper
from scripts._bench.loads import Load, LoadError, Stage
from scripts._bench.measure import folder_bytes
from scripts._bench.nodes import Nodes
from scripts._bench.profiling import Profiler
from scripts._bench.records import ciphertext_bytes

BULK: Final = Load(name="bulk", lines=100, connections=8)
SINGLE: Final = Load(name="single", lines=1, connections=128)
OPEN: Final = (
    Load(name="open-200", lines=1, connections=64, rate=200, arrivals="poisson"),
    Load(name="open-1000", lines=1, connections=128, rate=1_000, arrivals="poisson"),
    Load(name="open-3000-bulk", lines=100, connections=16, rate=3_000),
)
WARM_UP: Final = {BULK.name: 500, SINGLE.name: 300}
LEAST: Final = 1_000
MOST: Final = 200_000
SUSTAINABLE: Final = 0.9
"""An open load above this share of the closed-loop rate would only measure its own queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run of the benchmark does.

    Attributes:
        folder: Where homes are made; on a real disk.
        parts: Names of the parts that run.
        rounds: Rounds of the loads.
        seconds: About how long each load posts.
        backlog: Messages of the backlog.
        count: Messages of each closed load; None for as many as ``seconds`` need.
        collect: Whether a consumer reads and acknowledges; without it a load ends when all is received.
        keep: Leave homes and logs where they are.
        profile: Folder for profiles of both nodes under each closed load, or None.
    """

    folder: Path
    parts: Sequence[str]
    rounds: int
    seconds: float
    backlog: int
    count: int | None = None
    collect: bool = True
    keep: bool = False
    profile: Path | None = None


@contextmanager
def fresh_nodes(options: Options) -> Iterator[Nodes]:
    """Make homes of two nodes that have never run; remove them afterwards, unless they are to be kept."""
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="nodes-", dir=options.folder))
    try:
        yield Nodes(folder)
    finally:
        if not options.keep:
            shutil.rmtree(folder)


def run_loads(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Run every load of every round; return the rounds and what the disks hold afterwards."""
    with fresh_nodes(options) as nodes:
        setup = nodes.write_setup(nodes.folder / "setup.json")
        with nodes.running(), Helper("load", str(setup)) as generator:
            if options.collect:
                with Helper("consumer", str(setup)) as consumer:
                    consumer.answer()
                    stage = Stage(nodes, generator, consumer)
                    result = _run_rounds(stage, options, say)
                    result["verified"] = verify(stage)
            else:
                result = _run_rounds(Stage(nodes, generator, None), options, say)
        # The nodes have stopped: the write-ahead logs are folded into the databases.
        messages = sum(item["messages"] for item in result["all"])
        result["disk"] = disk_use(nodes, messages)
        return result


def _run_rounds(stage: Stage, options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    loads = [load for load in (BULK, SINGLE) if load.name in options.parts]
    opens = OPEN if "latency" in options.parts else ()
    everything: list[dict[str, Any]] = []
    rates: dict[str, float] = {}
    for load in (BULK, SINGLE):
        say(f"warming up: {load.name}")
        warmed = stage.run(load, WARM_UP[load.name])
        everything.append(warmed)
        rates[load.name] = warmed[stage.last_step + "_per_s"]
    rounds: list[dict[str, Any]] = []
    for number in range(1, options.rounds + 1):
        results: dict[str, Any] = {}
        for load in loads:
            count = options.count or count_for(rates[load.name], options.seconds)
            say(f"round {number}: {load.name}, {count} messages")
            with Profiler(options.profile, stage.nodes, load.name):
                results[load.name] = stage.run(load, count)
            rates[load.name] = results[load.name][stage.last_step + "_per_s"]
        for load in opens:
            peak = rates[BULK.name if load.lines > 1 else SINGLE.name]
            rate = load.rate or 0.0
            if rate > SUSTAINABLE * peak:
                say(f"round {number}: {load.name} left out, the peak is {peak:.0f}/s")
                continue
            say(f"round {number}: {load.name}")
            results[load.name] = stage.run(load, max(int(rate * options.seconds), 2 * load.lines))
        everything += results.values()
        rounds.append(results)
    return {"rounds": rounds, "all": everything}


def count_for(per_s: float, seconds: float) -> int:
    """Return how many messages a closed load needs to last about so long, in whole hundreds."""
    return int(min(max(per_s * seconds, LEAST), MOST)) // 100 * 100


def verify(stage: Stage) -> dict[str, Any]:
    """Check that what was accepted was collected, all of it and none of it twice.

    The generator's list of what it was promised is compared with the consumer's list of what
    it got; neither comes from the nodes.

    Raises:
        LoadError: It is not so.
    """
    report = stage.collected()
    folder = stage.nodes.folder
    accepted = (folder / "accepted.txt").read_text(encoding="ascii").split()
    collected = (folder / "collected.txt").read_text(encoding="ascii").split()
    lost, strange = set(accepted) - set(collected), set(collected) - set(accepted)
    repeated = len(collected) - len(set(collected)) + report["twice"]
    result = {
        "accepted": len(accepted),
        "collected": len(collected),
        "lost": len(lost),
        "never_accepted": len(strange),
        "twice": repeated,
    }
    if lost or strange or repeated:
        msg = f"accepted is not what was collected: {result}"
        raise LoadError(msg)
    return result


def disk_use(nodes: Nodes, messages: int) -> dict[str, float]:
    """Return bytes on disk a message, of stopped nodes; the empty homes' own few pages included."""
    data = {nation: folder_bytes(node.home / "data") for nation, node in nodes.by_nation.items()}
    ciphertexts = sum(ciphertext_bytes(node.database) for node in nodes.by_nation.values())
    total = sum(data.values())
    result = {f"node_{nation.lower()}": size / messages for nation, size in data.items()}
    result["both_nodes"] = total / messages
    result["ciphertexts"] = ciphertexts / messages
    result["beyond_ciphertexts"] = (total - ciphertexts) / messages
    return result
