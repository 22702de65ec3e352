"""The parts of the benchmark and the order in which they run.

Rounds are interleaved: each one runs every load once, so that what the machine's other
users do in a minute touches all loads alike, and the medians of the rounds are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from scripts._bench.blocks import run_blocks
from scripts._bench.helper import Helper
from scripts._bench.loads import BULK, SINGLE, Load, Stage, count_for
from scripts._bench.measure import folder_bytes
from scripts._bench.nodes import Nodes
from scripts._bench.options import Options, fresh_nodes
from scripts._bench.profiling import Profiler
from scripts._bench.records import ciphertext_bytes
from scripts._bench.verification import verify

OPEN: Final = (
    Load(name="open-5", lines=1, connections=4, rate=5),
    Load(name="open-200", lines=1, connections=64, rate=200, arrivals="poisson"),
    Load(name="open-1000", lines=1, connections=128, rate=1_000, arrivals="poisson"),
    Load(name="open-3000-bulk", lines=100, connections=16, rate=3_000),
)
WARM_UP: Final = {BULK.name: 3_000, SINGLE.name: 1_000}
"""Messages before the first round. They also say how many a load of so many seconds needs, so
they last long enough that filling and draining do not pass for the rate."""

BOTH: Final = replace(BULK, name="both", nations=("FR", "US"))
"""Bulk in both directions at once."""

SUSTAINABLE: Final = 0.9
"""An open load above this share of the closed-loop rate would only measure its own queue."""


LOADS: Final = (BULK.name, SINGLE.name, BOTH.name, "latency")
"""Parts that share nodes, round by round."""

PARTS: Final = ("blocks", *LOADS, "mixes", "backlog", "growth", "distance")
"""What runs unless parts are asked for."""


def run_rounds(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Run what was asked for, round by round; return the rounds and what the disks hold afterwards.

    Raises:
        LoadError: A message was refused, lost or repeated, or nothing moves any more.
        NodeError: A node did not start.
    """
    if not set(LOADS) & set(options.parts):
        return {"rounds": [_blocks(options, say) for _ in range(options.rounds)]}
    with fresh_nodes(options) as nodes:
        setup = nodes.write_setup(nodes.folder / "setup.json")
        with nodes.running(), Helper("load", str(setup)) as generator:
            if options.collect:
                with Helper("consumer", str(setup)) as consumer:
                    consumer.ask(do="begin", nations=receivers(options.parts))
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
    rates: dict[str, float] = {}
    everything: list[dict[str, Any]] = []
    for load in (BULK, SINGLE):
        say(f"warming up: {load.name}")
        warmed = stage.run(load, WARM_UP[load.name])
        everything.append(warmed)
        rates[load.name] = warmed[stage.rate_key]
    rates[BOTH.name] = rates[BULK.name]
    rounds: list[dict[str, Any]] = []
    for number in range(1, options.rounds + 1):
        say_round = partial(_say_round, say, f"round {number} of {options.rounds}")

        results = _closed(stage, options, rates, say_round)
        if "latency" in options.parts:
            results |= _open(stage, options, results, say_round)
        everything += results.values()
        rounds.append(results | _blocks(options, say_round))
    return {"rounds": rounds, "all": everything}


def _say_round(say: Callable[[str], None], name: str, text: str) -> None:
    say(f"{name}: {text}")


def _blocks(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the building blocks, if they were asked for."""
    if "blocks" not in options.parts:
        return {}
    say("building blocks")
    options.folder.mkdir(parents=True, exist_ok=True)
    return {"blocks": run_blocks(folder=options.folder, slices=3 if options.quick else 5)}


def _closed(
    stage: Stage, options: Options, rates: dict[str, float], say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the closed loads of a round; ``rates`` says how much they need and learns from them."""
    results: dict[str, Any] = {}
    for load in (BULK, SINGLE, BOTH):
        if load.name not in options.parts:
            continue
        count = options.count or count_for(rates[load.name], options.closed_seconds)
        say(f"{load.name}, {count} messages")
        with Profiler(options.profile, stage.nodes, load.name):
            results[load.name] = stage.run(load, count)
        rates[load.name] = results[load.name][stage.rate_key]
    return results


def _open(
    stage: Stage, options: Options, closed: dict[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the open loads of a round that the closed ones of the same round leave room for."""
    results: dict[str, Any] = {}
    for load in OPEN:
        like = closed.get(BULK.name if load.lines > 1 else SINGLE.name)
        rate = load.rate or 0.0
        if like is not None and rate > SUSTAINABLE * like[stage.rate_key]:
            say(f"{load.name} left out, the peak is {like[stage.rate_key]:.0f}/s")
            continue
        say(load.name)
        with Profiler(options.profile, stage.nodes, load.name):
            results[load.name] = stage.run(load, max(int(rate * options.seconds), 2 * load.lines))
    return results


def receivers(parts: Sequence[str]) -> list[str]:
    """Return the nations whose agencies receive something."""
    return ["FR", "US"] if BOTH.name in parts else ["US"]


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
