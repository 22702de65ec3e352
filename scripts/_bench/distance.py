"""Bulk between nodes that are far apart: 90 ms there and back, against the same without the wait.

Both nodes are in network namespaces of their own, joined by the wire of `scripts._bench.lab`, which
holds each packet back for half of the round trip or not at all. Slices with and without the
wait alternate, so that the wire's own cost is on both sides of the ratio.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any, Final

from scripts._bench.helper import Helper
from scripts._bench.lab import ADDRESSES, why_not
from scripts._bench.loads import BULK, Load, Stage
from scripts._bench.options import Options, fresh_nodes
from scripts._bench.verification import verify

ROUND_TRIP_S: Final = 0.090
NEAR: Final = "near"
FAR: Final = "far"
DELAYS_S: Final = {NEAR: 0.0, FAR: ROUND_TRIP_S / 2}
WARM_UP: Final = 3_000
LEAST: Final = 1_000

ONE_BY_ONE: Final = Load(name="one by one", lines=1, connections=1, rate=5)
FEW: Final = 20
"""Messages that travel alone before each slice. In life a line keeps its length, and the nodes know it from
messages like these (`gateway.node.window`); here it changes under them, and a slice of bulk has none."""


def run_distance(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure bulk with and without distance; return ``skipped``, a reason, where that cannot be done.

    Raises:
        LoadError: A message was refused, lost or repeated.
    """
    reason = why_not()
    if reason:
        say(f"distance: left out, {reason}")
        return {"skipped": reason}
    rates: dict[str, list[float]] = {name: [] for name in DELAYS_S}
    with (
        Helper("lab") as lab,
        open_namespaces(lab) as namespaces,
        fresh_nodes(options, addresses=ADDRESSES, namespaces=namespaces) as nodes,
        nodes.running(),
    ):
        setup = str(nodes.write_setup(nodes.folder / "setup.json"))
        with (
            Helper("load", setup, namespace=namespaces["FR"]) as generator,
            Helper("consumer", setup, namespace=namespaces["US"]) as consumer,
        ):
            consumer.ask(do="begin", nations=["US"])
            stage = Stage(nodes, generator, consumer)
            warmed = stage.run(replace(BULK, name="warm-up"), WARM_UP)
            count = options.count or max(LEAST, int(warmed[stage.rate_key] * options.seconds) // 100 * 100)
            for number in range(options.rounds):
                for name, delay_s in DELAYS_S.items():
                    lab.ask(delay_s=delay_s)
                    stage.run(ONE_BY_ONE, FEW)
                    say(f"distance: {name}, {count} messages, {number + 1} of {options.rounds}")
                    found = stage.run(replace(BULK, name=f"bulk-{name}"), count)
                    rates[name].append(found["received_per_s"])
            verified = verify(stage)
    return {
        "round_trip_ms": 1_000 * ROUND_TRIP_S,
        "received_per_s": {name: median(values) for name, values in rates.items()},
        "rates": rates,
        "verified": verified,
    }


@contextmanager
def open_namespaces(lab: Helper) -> Iterator[Mapping[str, int]]:
    """Open the namespaces of a wire that has just been started."""
    numbers: Mapping[str, int] = lab.answer()["namespaces"]
    opened = {
        nation: os.open(f"/proc/{lab.pid}/fd/{number}", os.O_RDONLY) for nation, number in numbers.items()
    }
    try:
        yield opened
    finally:
        for descriptor in opened.values():
            os.close(descriptor)
