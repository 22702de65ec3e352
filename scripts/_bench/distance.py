"""Bulk between nodes that are far apart: 90 ms there and back, against the same without the wait.

Two pairs of nodes. Both nodes of a pair are in network namespaces of their own, joined by the wire of
`scripts._bench.lab`, which holds each packet back for half of the round trip, or not at all. The wire
of a pair keeps its length, as lines do: open connections do not follow a sudden change at once, and
that would be what is measured. Slices of both pairs alternate while the other pair idles, so that the
wire's own cost is on both sides of the ratio.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from statistics import median
from typing import Any, Final

from scripts._bench.helper import Helper
from scripts._bench.lab import ADDRESSES, why_not
from scripts._bench.loads import BULK, Stage
from scripts._bench.options import Options, fresh_nodes
from scripts._bench.verification import verify

ROUND_TRIP_S: Final = 0.090
NEAR: Final = "near"
FAR: Final = "far"
DELAYS_S: Final = {NEAR: 0.0, FAR: ROUND_TRIP_S / 2}
WARM_UP: Final = 3_000
LEAST: Final = 1_000


def run_distance(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure bulk with and without distance; return ``skipped``, a reason, where that cannot be done.

    Raises:
        LoadError: A message was refused, lost or repeated.
    """
    reason = why_not()
    if reason:
        say(f"distance: left out, {reason}")
        return {"skipped": reason}
    with ExitStack() as stack:
        stages = {name: stack.enter_context(_stage(options, delay_s)) for name, delay_s in DELAYS_S.items()}
        warmed = {name: stage.run(replace(BULK, name="warm-up"), WARM_UP) for name, stage in stages.items()}
        per_s = warmed[NEAR][stages[NEAR].rate_key]
        count = options.count or max(LEAST, int(per_s * options.seconds) // 100 * 100)
        rates: dict[str, list[float]] = {name: [] for name in stages}
        for number in range(options.rounds):
            for name, stage in stages.items():
                say(f"distance: {name}, {count} messages, {number + 1} of {options.rounds}")
                found = stage.run(replace(BULK, name=f"bulk-{name}"), count)
                rates[name].append(found["received_per_s"])
        verified = {name: verify(stage) for name, stage in stages.items()}
    return {
        "round_trip_ms": 1_000 * ROUND_TRIP_S,
        "received_per_s": {name: median(values) for name, values in rates.items()},
        "rates": rates,
        "verified": verified,
    }


@contextmanager
def _stage(options: Options, delay_s: float) -> Iterator[Stage]:
    """Run a pair of nodes on a wire of its own, with generator and consumer."""
    with (
        Helper("lab") as lab,
        open_namespaces(lab) as namespaces,
        fresh_nodes(options, addresses=ADDRESSES, namespaces=namespaces) as nodes,
    ):
        lab.ask(delay_s=delay_s)
        setup = str(nodes.write_setup(nodes.folder / "setup.json"))
        with (
            nodes.running(),
            Helper("load", setup, namespace=namespaces["FR"]) as generator,
            Helper("consumer", setup, namespace=namespaces["US"]) as consumer,
        ):
            consumer.ask(do="begin", nations=["US"])
            yield Stage(nodes, generator, consumer)


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
