"""One load, measured: prepared, let go, followed until the last message is collected."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scripts._bench.helper import Helper
from scripts._bench.measure import CommitCount, CpuCount, LinkCount, memory_bytes
from scripts._bench.nodes import Nodes
from scripts._bench.records import Progress, bundles_of, journeys, way_of

POLL_S: Final = 0.1
STALLED_S: Final = 120.0
LEAST: Final = 1_000
MOST: Final = 200_000
"""Bounds of a closed load, in messages."""

LAG_SHARE: Final = 0.1
"""A generator whose own lag p99 exceeds this share of the reported p99 has measured itself."""


class LoadError(Exception):
    """A load did not come to its end, or not as it has to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load by name; the fields are those of `scripts._bench.plans.Plan`."""

    name: str
    lines: int
    connections: int
    nations: tuple[str, ...] = ("FR",)
    rate: float | None = None
    arrivals: str = "fixed"
    urgent: bool = False
    mix: str = "flat"
    invalid: float = 0.0

    def plan(self, count: int) -> dict[str, Any]:
        """Return the question that prepares it."""
        return {
            "nations": self.nations,
            "lines": self.lines,
            "count": count,
            "connections": self.connections,
            "rate": self.rate,
            "arrivals": self.arrivals,
            "urgent": self.urgent,
            "mix": self.mix,
            "invalid": self.invalid,
        }


BULK: Final = Load(name="bulk", lines=100, connections=8)
SINGLE: Final = Load(name="single", lines=1, connections=128)


class Stage:
    """Nodes, generator and consumer, up and running."""

    def __init__(self, nodes: Nodes, generator: Helper, consumer: Helper | None) -> None:
        """Take them over; they are ended by whoever began them.

        Args:
            nodes: Both nodes.
            generator: Posts.
            consumer: Reads and acknowledges; without it, *received* is the last step.
        """
        self.nodes = nodes
        self.generator = generator
        self.consumer = consumer
        self.rate_key = "received_per_s" if consumer is None else "collected_per_s"

    def pids(self) -> dict[str, int]:
        """Return the processes of a run by name."""
        pids = {f"node_{nation.lower()}": node.pid for nation, node in self.nodes.by_nation.items()}
        for nation, node in self.nodes.by_nation.items():
            pids |= {f"crew_{nation.lower()}_{number}": pid for number, pid in enumerate(node.crew)}
        pids["generator"] = self.generator.pid
        if self.consumer is not None:
            pids["consumer"] = self.consumer.pid
        return pids

    def collected(self) -> dict[str, Any]:
        """Return what the consumer says that it has."""
        return {} if self.consumer is None else self.consumer.ask(do="report")

    def run(self, load: Load, count: int) -> dict[str, Any]:
        """Put a load on the nodes and return what came of it.

        The clock runs from the first request until the last message is collected; the
        kernel's counters are read at both ends.

        Raises:
            LoadError: A message was refused, or nothing moves any more.
        """
        progress = {nation: Progress(self.nodes[nation].database) for nation in load.nations}
        try:
            return self._run(load, count, progress)
        finally:
            for item in progress.values():
                item.close()

    def _run(self, load: Load, count: int, progress: dict[str, Progress]) -> dict[str, Any]:
        self.generator.ask(do="prepare", **load.plan(count))
        before = {nation: item.newest() for nation, item in progress.items()}
        link = LinkCount(node.ports.peer for node in self.nodes.by_nation.values())
        commits = CommitCount({nation: node.database for nation, node in self.nodes.by_nation.items()})
        cpu = CpuCount(self.pids())
        posted = self.generator.ask(do="go")
        check_posted(load, posted)
        self.await_end(list(progress.values()), link)
        messages = posted["accepted"] + posted["turned_away"]
        cpu_us = cpu.result(messages)
        commits_per_s = commits.result()
        carried = link.total()
        return {
            "load": load.name,
            "rate_asked": load.rate,
            "cpu_us_per_message": cpu_us,
            "commits_per_s": commits_per_s,
            "link_bytes_per_message": None if carried is None else carried / messages,
            "memory_peak_bytes": {
                nation: memory_bytes(node.pid, "VmHWM") for nation, node in self.nodes.by_nation.items()
            },
            **self._written(load, posted, before),
            **_posting(posted),
        }

    def await_end(self, progress: Sequence[Progress], link: LinkCount | None = None) -> None:
        """Wait until no message is on its way any more.

        Raises:
            LoadError: Nothing has moved for two minutes.
        """
        newest, since = -1, time.monotonic()
        collecting = self.consumer is not None
        while left := sum(item.unfinished(collecting=collecting) for item in progress):
            if left != newest:
                newest, since = left, time.monotonic()
            elif time.monotonic() - since > STALLED_S:
                msg = f"{left} messages are still on their way and nothing moves"
                raise LoadError(msg)
            time.sleep(POLL_S)
            if link is not None:
                link.look()

    def _written(self, load: Load, posted: dict[str, Any], before: dict[str, int]) -> dict[str, Any]:
        """Return what the nodes' databases say of the run."""
        due_ms = dict(posted.pop("due_ms"))
        found = [
            journey
            for nation in load.nations
            for journey in journeys(
                self.nodes[nation].database, self.nodes.peer_of(nation).database, after=before[nation]
            )
        ]
        result = way_of(found, started_ms=posted["started_ms"], due_ms=due_ms)
        result["bundles"] = {
            nation: bundles_of(node.database, since_ms=posted["started_ms"], until_ms=time.time() * 1_000)
            for nation, node in self.nodes.by_nation.items()
        }
        result["bundle_messages"] = result["bundles"][load.nations[0]]["messages"]
        return result


def count_for(per_s: float, seconds: float) -> int:
    """Return how many messages a closed load needs to last about so long, in whole hundreds."""
    return int(min(max(per_s * seconds, LEAST), MOST)) // 100 * 100


def check_posted(load: Load, posted: Mapping[str, Any]) -> None:
    """Check that the nodes accepted what is valid and refused what is not.

    Raises:
        LoadError: They did not.
    """
    if posted["accepted"] != posted["posted"] or posted["turned_away"] != posted["spoiled"]:
        msg = (
            f"{load.name}: {posted['accepted']} of {posted['posted']} valid messages accepted, "
            f"{posted['turned_away']} of {posted['spoiled']} invalid ones refused: {posted['problems']}"
        )
        raise LoadError(msg)


def is_void(*, lag: Mapping[str, float], answer: Mapping[str, float]) -> bool:
    """Return whether the generator was so late itself that an open run says nothing.

    Args:
        lag: Summary of how late it took up what was due; of a closed load, empty.
        answer: Summary of the latencies it reports.
    """
    return bool(lag["count"]) and lag["p99"] > LAG_SHARE * answer["p99"]


def _posting(posted: dict[str, Any]) -> dict[str, Any]:
    """Return what the generator measured, with its verdict about itself."""
    lag, answer = posted["lag_ms"], posted["answer_ms"]
    return {
        "answer_ms": answer,
        "lag_ms": lag,
        "void": is_void(lag=lag, answer=answer),
        "pushed_back": posted["pushed_back"],
        "turned_away": posted["turned_away"],
    }
