"""What a long log costs: starting with it, and appending to it, against the same with an empty one.

Two pairs of nodes on one machine: the logs of one are a few hundred entries long, those of the
other have millions (`scripts._bench.longlog`). Both are started in turn, and then both get the
same load in turn, a slice each, while the other pair idles; so what the machine's other users
do touches both alike. Appending is told by the CPU time of both nodes of a pair a message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from statistics import median
from typing import Any, Final

from scripts._bench.helper import Helper
from scripts._bench.loads import BULK, Stage
from scripts._bench.longlog import grow_logs
from scripts._bench.measure import cpu_time, memory_bytes
from scripts._bench.nodes import NodeProcess, Nodes
from scripts._bench.options import Options, fresh_nodes
from scripts._bench.verification import verify

SHORT: Final = "short"
LONG: Final = "long"
WARM_UP: Final = 1_000


def run_growth(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure both pairs; return what starting and appending cost with either log.

    Raises:
        LoadError: A message was refused, lost or repeated.
    """
    with fresh_nodes(options) as short, short.running(), fresh_nodes(options) as long:
        # The short pair holds its ports while those of the long one are chosen.
        with long.running(), _stage(long) as stage:
            stage.run(replace(BULK, name="warm-up"), WARM_UP)
            verify(stage)
        say(f"long log: {options.log_entries} entries are made")
        began = time.monotonic()
        size = grow_logs(long["FR"].home, long["US"].home, options.log_entries)
        made_s = time.monotonic() - began
        short.stop()
        pairs = {SHORT: short, LONG: long}
        say("long log: nodes are started")
        starts = _starts(pairs, options.slices)
        say("long log: messages are appended to both")
        appended = _append(pairs, options)
        return {
            "entries": size,
            "made_s": made_s,
            "start_s": {name: median(item["ready_s"] for item in found) for name, found in starts.items()},
            "start_cpu_s": {name: median(item["cpu_s"] for item in found) for name, found in starts.items()},
            "append_us": {name: median(item["cpu_us"]) for name, item in appended.items()},
            "append_slices_us": {name: item["cpu_us"] for name, item in appended.items()},
            "memory_peak_bytes": {name: item["memory"] for name, item in appended.items()},
            "log_bytes_per_entry": long["FR"].database.stat().st_size / size,
            "verified": {name: item["verified"] for name, item in appended.items()},
        }


def _starts(pairs: Mapping[str, Nodes], times: int) -> dict[str, list[dict[str, float]]]:
    """Restart the sending node of each pair so many times, in turn; its peer stays."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pairs}
    for nodes in pairs.values():
        nodes.start()
        nodes["FR"].stop()
    for _ in range(times):
        for name, nodes in pairs.items():
            found[name].append(_start(nodes["FR"]))
            nodes["FR"].stop()
    for nodes in pairs.values():
        nodes.stop()
    return found


def _start(node: NodeProcess) -> dict[str, float]:
    """Start a node; return what passed from the call until it answered, and until it was ready."""
    began = time.monotonic()
    node.start()
    node.await_port()
    answers_s = time.monotonic() - began
    node.await_ready()
    return {
        "answers_s": answers_s,
        "ready_s": time.monotonic() - began,
        "cpu_s": cpu_time(node.pid).total,
    }


def _append(pairs: Mapping[str, Nodes], options: Options) -> dict[str, dict[str, Any]]:
    """Put slices of the same load on both pairs in turn; return CPU a message by slice."""
    with ExitStack() as stack:
        stages: dict[str, Stage] = {}
        for name, nodes in pairs.items():
            stack.enter_context(nodes.running())
            stages[name] = stack.enter_context(_stage(nodes))
            stages[name].run(replace(BULK, name="warm-up"), WARM_UP)
        slices: dict[str, list[float]] = {name: [] for name in pairs}
        for _ in range(options.slices):
            for name, stage in stages.items():
                found = stage.run(replace(BULK, name=f"append-{name}"), options.slice_messages)
                slices[name].append(found["cpu_us_per_message"]["both_nodes"])
        return {
            name: {
                "cpu_us": slices[name],
                "memory": {n: memory_bytes(node.pid, "VmHWM") for n, node in pairs[name].by_nation.items()},
                "verified": verify(stage),
            }
            for name, stage in stages.items()
        }


@contextmanager
def _stage(nodes: Nodes) -> Iterator[Stage]:
    """Run generator and consumer for a pair."""
    setup = nodes.write_setup(nodes.folder / "setup.json")
    # What earlier helpers posted was collected by their consumer.
    (nodes.folder / "accepted.txt").unlink(missing_ok=True)
    with Helper("load", str(setup)) as generator, Helper("consumer", str(setup)) as consumer:
        consumer.ask(do="begin", nations=["US"])
        yield Stage(nodes, generator, consumer)
