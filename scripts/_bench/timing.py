"""Timing a function call fairly on a machine that others use as well.

Times are CPU time, not wall time: what other processes take is not counted. Each block is
measured in slices, all blocks in turn, so that a burst of somebody else's load touches all
of them alike; the median slice counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, process_time
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One step.

    Attributes:
        name: What it is called in the result.
        call: Does it once; takes the number of the call, so that inputs can differ.
        per_message: How often both nodes together do it for a message.
        per_bundle: How often they do it for a bundle of messages.
        each: By how many a call's time is divided: a commit of 100 rows is given per row.
    """

    name: str
    call: Callable[[int], Any] = field(repr=False)
    per_message: int = 0
    per_bundle: int = 0
    each: int = 1


def measure(blocks: Sequence[Block], *, slice_s: float, slices: int) -> dict[str, dict[str, float]]:
    """Return CPU and wall microseconds of each block, the medians of its slices.

    Args:
        blocks: What to measure.
        slice_s: About how long a slice runs.
        slices: Slices of each block.
    """
    calls = {block.name: _calls_for(block, slice_s) for block in blocks}
    cpu: dict[str, list[float]] = {block.name: [] for block in blocks}
    wall: dict[str, list[float]] = {block.name: [] for block in blocks}
    for _ in range(slices):
        for block in blocks:
            count = calls[block.name]
            began, began_cpu = perf_counter(), process_time()
            for number in range(count):
                block.call(number)
            per_call = 1e6 / (count * block.each)
            cpu[block.name].append((process_time() - began_cpu) * per_call)
            wall[block.name].append((perf_counter() - began) * per_call)
    return {
        block.name: {"cpu_us": median(cpu[block.name]), "wall_us": median(wall[block.name])}
        for block in blocks
    }


def _calls_for(block: Block, slice_s: float) -> int:
    """Return how many calls last about a slice."""
    # Twice: the first calls compile, read and cache what the later ones find, and would be taken for
    # the duration of each.
    _counted(block, slice_s)
    return _counted(block, slice_s)


def _counted(block: Block, slice_s: float) -> int:
    count = 1
    while True:
        began = perf_counter()
        for number in range(count):
            block.call(number)
        elapsed = perf_counter() - began
        if elapsed > slice_s / 8:
            return max(1, int(count * slice_s / elapsed))
        count *= 2
