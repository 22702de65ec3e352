"""The benchmark of the exchange: `scripts/bench` runs it, docs/performance.md reads it.

Two nodes, a load generator and a consumer, each a process of its own, on one machine over
mutual TLS, with everything on: checks, logs, syncs. Beside them, in the same run, the same
work in bare building blocks, because a rate alone says more about the machine than about
the program. Ratios come first, then numbers, then JSON.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import orjson

from scripts._bench.backlog import run_backlog
from scripts._bench.distance import run_distance
from scripts._bench.growth import run_growth
from scripts._bench.helper import ROOT, HelperError
from scripts._bench.loads import LoadError
from scripts._bench.machine import describe
from scripts._bench.mixed import run_mixed
from scripts._bench.nodes import NodeError
from scripts._bench.options import Options
from scripts._bench.parts import LOADS, PARTS, run_rounds
from scripts._bench.profiling import ProfileError, find_py_spy, share_lines
from scripts._bench.quantiles import side_by_side
from scripts._bench.report import append_history, make_report, print_report

APART: Final = {"mixes": run_mixed, "backlog": run_backlog, "growth": run_growth, "distance": run_distance}
"""Parts that have nodes of their own, and run once."""


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure two nodes on this machine.")
    add = parser.add_argument
    add("--quick", action="store_true", help="one short round and a small backlog: under two minutes")
    add("--part", action="append", choices=PARTS, help="run this part only; may be repeated")
    add("--rounds", type=int, help="rounds of the loads (3; quick: 1)")
    add("--seconds", type=float, help="about how long each load posts (8, closed ones 24; quick: 3)")
    add("--count", type=int, help="messages of each closed load, instead of --seconds")
    add("--backlog", type=int, help="messages of the backlog (1000000; quick: 10000)")
    add("--log", type=int, help="entries of the long log, in thousands of them (10000000; quick: 100000)")
    add("--no-collect", action="store_true", help="no consumer: a load ends when all is received")
    add("--profile", type=Path, metavar="DIR", help="profile both nodes under each load with py-spy")
    add("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    add("--history", type=Path, metavar="FILE", help="append the ratios and medians to FILE, a line a run")
    add("--home", type=Path, metavar="DIR", default=ROOT / "var" / "bench", help="where homes are made")
    add("--unbound", action="store_true", help="let both nodes use all cores, instead of half of them each")
    add("--crew", type=int, default=0, metavar="N", help="processes of the crew of each node (0)")
    add("--keep", action="store_true", help="leave the homes and logs of the nodes there")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the benchmark; return the exit status."""
    # Ended from outside, it stops its nodes and removes their homes like at any other end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    given = parse_arguments(arguments)
    options = Options(
        folder=given.home,
        parts=given.part or PARTS,
        rounds=given.rounds or (1 if given.quick else 3),
        seconds=given.seconds or (3.0 if given.quick else 8.0),
        closed_seconds=given.seconds or (3.0 if given.quick else 24.0),
        backlog=given.backlog or (10_000 if given.quick else 1_000_000),
        accepted=2_000 if given.quick else 100_000,
        log_entries=given.log or (100_000 if given.quick else 10_000_000),
        slices=2 if given.quick else 5,
        slice_messages=1_000 if given.quick else 4_000,
        count=given.count,
        collect=not given.no_collect,
        keep=given.keep,
        quick=given.quick,
        profile=given.profile,
        bound=not given.unbound,
        crew=given.crew,
    )
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        if options.profile is not None:
            find_py_spy()
        loads: dict[str, Any] = {"rounds": []}
        if {"blocks", *LOADS} & set(options.parts):
            loads = run_rounds(options, say)
        apart = {name: run(options, say) for name, run in APART.items() if name in options.parts}
    except (LoadError, NodeError, HelperError, ProfileError) as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    report = make_report(
        rounds=side_by_side(loads["rounds"], apart.get("mixes", {}).get("rounds", [])),
        loads=loads,
        apart=apart,
        machine=describe(options.folder) | {"bound": options.bound, "crew": options.crew},
        elapsed_s=time.monotonic() - began,
        quick=options.quick,
    )
    # Kept before anything else can go wrong: it was measured for half an hour.
    if given.json is not None:
        given.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    if given.history is not None:
        append_history(given.history, report)
    print_report(report)
    if options.profile is not None:
        print("\n".join(["", *share_lines(options.profile)]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
